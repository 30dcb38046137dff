//! A YAML document whose nodes know where they stand.

use saphyr::{MarkedYaml, Marker, ScalarStyle, YamlData, YamlLoader};
use saphyr_parser::Parser;

use super::Problem;

/// A problem whose file is not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    line: usize,
    column: usize,
    message: String,
}

/// A node of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'n>(&'n MarkedYaml<'n>);

/// A document.
#[derive(Debug)]
pub(super) struct Document<'d>(MarkedYaml<'d>);

/// The keys of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Those that are read.
    pub(super) read: &'static [&'static str],
    /// Those that Prometheus has and that are left out with a warning.
    pub(super) known: &'static [&'static str],
}

/// Parses a text of at most one document; nothing for an empty one.
pub(super) fn root(text: &str) -> Result<Option<Document<'_>>, Fault> {
    let mut loader = YamlLoader::default();
    // Scalars stay as they are written: `1.10` is a label value, not a number.
    loader.early_parse(false);
    let fault = |error: &saphyr::ScanError| Fault::at(*error.marker(), error.info().to_owned());
    Parser::new_from_str(text).load(&mut loader, true).map_err(|error| fault(&error))?;
    if let Some(error) = loader.error() {
        return Err(fault(error));
    }
    let mut documents = loader.into_documents().into_iter();
    let first = documents.next();
    match documents.next() {
        Some(second) => Err(Node(&second).fault("a second document in the file")),
        None => Ok(first.map(Document)),
    }
}

impl Document<'_> {
    pub(super) const fn node(&self) -> Node<'_> {
        Node(&self.0)
    }
}

impl Fault {
    fn at(marker: Marker, message: String) -> Self {
        Self { line: marker.line(), column: marker.col() + 1, message }
    }

    pub(super) fn within(self, file: &str) -> Problem {
        let Self { line, column, message } = self;
        Problem { file: file.to_owned(), line, column, message }
    }
}

impl<'n> Node<'n> {
    pub(super) fn fault(self, message: impl Into<String>) -> Fault {
        Fault::at(self.0.span.start, message.into())
    }

    /// Whether nothing is said, as behind a key without a value.
    pub(super) fn is_null(self) -> bool {
        match &self.0.data {
            YamlData::Representation(text, ScalarStyle::Plain, None) => matches!(&**text, "" | "~" | "null"),
            YamlData::BadValue => true,
            _ => false,
        }
    }

    /// A scalar as it is written.
    pub(super) fn text(self) -> Result<&'n str, Fault> {
        match &self.0.data {
            YamlData::Representation(text, ..) => Ok(text),
            _ => Err(self.fault("expected a single value")),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, Fault> {
        match self.text()? {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.fault(format!("expected `true` or `false`, not `{other}`"))),
        }
    }

    /// A scalar that `read` understands as `what`.
    pub(super) fn read<T>(self, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        let text = self.text()?;
        read(text).ok_or_else(|| self.fault(format!("expected {what}, not `{text}`")))
    }

    /// The items of a list; none if nothing is said.
    pub(super) fn list(self) -> Result<Vec<Self>, Fault> {
        match &self.0.data {
            YamlData::Sequence(items) => Ok(items.iter().map(Node).collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.fault("expected a list")),
        }
    }

    /// Keys and values in their order; none if nothing is said.
    pub(super) fn entries(self) -> Result<Vec<(Self, Self)>, Fault> {
        match &self.0.data {
            YamlData::Mapping(entries) => {
                Ok(entries.iter().map(|(key, value)| (Node(key), Node(value))).collect())
            }
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.fault("expected keys with values")),
        }
    }

    /// The entries of a section whose keys are read. Others give a warning if Prometheus has them, or an error.
    pub(super) fn section(
        self,
        keys: Keys,
        warnings: &mut Vec<Fault>,
    ) -> Result<Vec<(&'n str, Self)>, Fault> {
        let mut section = Vec::new();
        for (key, value) in self.entries()? {
            let name = key.text()?;
            if keys.read.contains(&name) {
                section.push((name, value));
            } else if keys.known.contains(&name) {
                warnings.push(key.fault(format!("key `{name}` is not supported yet and has no effect")));
            } else {
                return Err(key.fault(keys.unknown(name)));
            }
        }
        Ok(section)
    }
}

impl Keys {
    fn unknown(self, name: &str) -> String {
        let nearest = self.read.iter().chain(self.known).min_by_key(|key| distance(name, key));
        match nearest {
            Some(key) if distance(name, key) <= 1 + name.len().max(key.len()) / 4 => {
                format!("unknown key `{name}`; did you mean `{key}`?")
            }
            _ => format!("unknown key `{name}`; expected one of {}", self.read.join(", ")),
        }
    }
}

/// How many characters to insert, remove or replace to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
