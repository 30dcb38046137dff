//! A YAML document whose nodes know where they stand.

use std::borrow::Cow;

use saphyr::{MarkedYaml, Marker, ScalarStyle, YamlData, YamlLoader};
use saphyr_parser::{Parser, Span};

use super::{Problem, section::Table};

/// A problem whose file may not be known yet.
#[derive(Debug)]
pub(super) struct Fault {
    file: Option<String>,
    line: usize,
    column: usize,
    message: String,
}

/// A node of a document, or a text from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'n> {
    yaml: &'n MarkedYaml<'n>,
    /// Where it is from if not from the document.
    from: Option<&'n str>,
}

/// A document.
#[derive(Debug)]
pub(super) struct Document<'d>(MarkedYaml<'d>);

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
        Some(second) => Err(Node::of(&second).fault("a second document in the file")),
        None => Ok(first.map(Document)),
    }
}

impl Document<'_> {
    /// A single text that is in no file.
    pub(super) fn text(text: &str) -> Self {
        let data = YamlData::Representation(Cow::Owned(text.to_owned()), ScalarStyle::DoubleQuoted, None);
        Self(MarkedYaml { span: Span::empty(Marker::new(0, 0, 0)), data })
    }

    pub(super) fn node(&self) -> Node<'_> {
        Node::of(&self.0)
    }

    /// The node, with the name of where it is from.
    pub(super) fn node_from<'n>(&'n self, from: &'n str) -> Node<'n> {
        Node { yaml: &self.0, from: Some(from) }
    }
}

impl Fault {
    fn at(marker: Marker, message: String) -> Self {
        Self { file: None, line: marker.line(), column: marker.col() + 1, message }
    }

    /// A problem with something that has no lines.
    pub(super) fn of(from: &str, message: String) -> Self {
        Self { file: Some(from.to_owned()), line: 0, column: 0, message }
    }

    /// The problem, in that file unless it is known to be in another.
    pub(super) fn within(self, file: &str) -> Problem {
        let Self { file: known, line, column, message } = self;
        Problem { file: known.unwrap_or_else(|| file.to_owned()), line, column, message }
    }
}

impl<'n> Node<'n> {
    const fn of(yaml: &'n MarkedYaml<'n>) -> Self {
        Self { yaml, from: None }
    }

    pub(super) fn fault(self, message: impl Into<String>) -> Fault {
        match self.from {
            Some(from) => Fault::of(from, message.into()),
            None => Fault::at(self.yaml.span.start, message.into()),
        }
    }

    /// Whether nothing is said, as behind a key without a value.
    pub(super) fn is_null(self) -> bool {
        match &self.yaml.data {
            YamlData::Representation(text, ScalarStyle::Plain, None) => matches!(&**text, "" | "~" | "null"),
            YamlData::BadValue => true,
            _ => false,
        }
    }

    /// A scalar as it is written.
    pub(super) fn text(self) -> Result<&'n str, Fault> {
        match &self.yaml.data {
            _ if self.is_null() => Ok(""),
            YamlData::Representation(_, _, Some(tag)) if tag.suffix == "binary" => {
                Err(self.fault("expected text: `!!binary` is not read"))
            }
            YamlData::Representation(text, ..) => Ok(text),
            _ => Err(self.fault("expected a single value")),
        }
    }

    /// A scalar that `read` understands as `what`.
    pub(super) fn read<T>(self, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        let text = self.text()?;
        read(text).ok_or_else(|| self.fault(format!("expected {what}, not `{text}`")))
    }

    /// The items of a list; none if nothing is said.
    pub(super) fn list(self) -> Result<Vec<Self>, Fault> {
        match &self.yaml.data {
            YamlData::Sequence(items) => Ok(items.iter().map(Node::of).collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.fault("expected a list")),
        }
    }

    /// Keys and values in their order; none if nothing is said.
    pub(super) fn entries(self) -> Result<Vec<(Self, Self)>, Fault> {
        match &self.yaml.data {
            YamlData::Mapping(entries) => {
                Ok(entries.iter().map(|(key, value)| (Node::of(key), Node::of(value))).collect())
            }
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.fault("expected keys with values")),
        }
    }

    /// The entries of a section whose keys are read. Others give a warning if Prometheus has them, or an error.
    pub(super) fn section(
        self,
        table: &Table,
        warnings: &mut Vec<Fault>,
    ) -> Result<Vec<(&'n str, Self)>, Fault> {
        let mut section = Vec::new();
        for (key, value) in self.entries()? {
            let name = key.text()?;
            if table.idle.contains(&name) {
                warnings.push(key.fault(format!("key `{name}` is read and has no effect yet")));
            }
            if let Some(key) = table.keys.iter().find(|key| key.name == name) {
                // A key without a value has its default, but text is empty then, as in Prometheus.
                if !value.is_null() || (key.kind)() == "text" {
                    section.push((name, value));
                }
            } else if table.unsupported.contains(&name) {
                warnings.push(key.fault(format!("key `{name}` is not supported yet and has no effect")));
            } else if let Some((_, why)) = table.needless.iter().find(|(key, _)| *key == name) {
                warnings.push(key.fault(format!("key `{name}` has no effect: {why}")));
            } else {
                return Err(key.fault(table.unknown(name)));
            }
        }
        Ok(section)
    }
}

impl Table {
    /// What to say to a key that there is not.
    pub(super) fn unknown(&self, name: &str) -> String {
        let known = || self.keys.iter().map(|key| key.name);
        let others = self.unsupported.iter().chain(self.needless.iter().map(|(key, _)| key));
        let nearest = known().chain(others.copied()).min_by_key(|key| distance(name, key));
        match nearest {
            Some(key) if distance(name, key) <= 1 + name.len().max(key.len()) / 4 => {
                format!("unknown key `{name}`; did you mean `{key}`?")
            }
            _ => format!("unknown key `{name}`; expected one of {}", known().collect::<Vec<_>>().join(", ")),
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
