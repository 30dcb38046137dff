//! Label blocks: checked once, then iterated without failing.

use std::borrow::Cow;

use crate::{Error, Reason, bytes, name, scan::Cursor};

/// The checked label block of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels<'a> {
    /// What stands between the braces.
    block: &'a str,
    /// The block starts with the metric's name in quotes.
    named: bool,
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// The value as it stands between its quotes; see [`unescape`].
    pub value: &'a str,
}

/// What two formats see differently within a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Blanks between all parts, a comma behind the last label, three escapes.
    Text,
    /// No blank, no comma at the end, a backslash before anything.
    OpenMetrics,
}

impl<'a> Labels<'a> {
    /// A block that nobody has checked; what does not parse ends the iteration.
    #[must_use]
    pub const fn unchecked(block: &'a str) -> Self {
        Self { block, named: false }
    }

    /// A block without a quoted name that is known to parse.
    pub(crate) const fn checked(block: &'a str) -> Self {
        Self { block, named: false }
    }

    /// What stands between the braces, the quoted metric name included.
    #[must_use]
    pub const fn block(&self) -> &'a str {
        self.block
    }

    /// The labels in their order.
    pub fn iter(&self) -> impl Iterator<Item = Label<'a>> + use<'a> {
        let mut cursor = Cursor::over(self.block);
        let mut skip_name = self.named;
        std::iter::from_fn(move || {
            if std::mem::take(&mut skip_name) {
                cursor.skip_blanks();
                cursor.quoted(Grammar::OpenMetrics).ok()?;
                cursor.skip_blanks();
                cursor.eat(b',');
            }
            cursor.skip_blanks();
            cursor.peek()?;
            // The reader has seen the block without an error, and OpenMetrics' quotes are the wider ones.
            let label = cursor.label(Grammar::Text, Grammar::OpenMetrics).ok()?;
            cursor.skip_blanks();
            cursor.eat(b',');
            Some(label)
        })
    }

    /// Whether a name may stand in quotes. A value that ends in a comma looks alike, and only costs the longer way.
    #[must_use]
    pub fn may_need_quotes(&self) -> bool {
        // A quoted name stands at the start or behind a comma.
        self.block.starts_with('"') || self.block.contains(",\"")
    }

    /// The value of a label, as it stands between its quotes.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|label| label.name == name).map(|label| label.value)
    }

    /// A name that stands there twice.
    fn repeats(&self) -> bool {
        let mut names: Vec<_> = self.iter().map(|label| label.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl<'a> Cursor<'a> {
    fn over(block: &'a str) -> Self {
        Self { line: block, at: 0, number: 1 }
    }

    /// A block in braces, and the metric name in it if there is one. `unnamed`: no name stands before the block.
    pub(crate) fn block(
        &mut self,
        grammar: Grammar,
        unnamed: bool,
    ) -> Result<(Option<Cow<'a, str>>, Labels<'a>), Error> {
        let opening = self.at;
        self.at += 1;
        let start = self.at;
        let mut name = None;
        let mut first = true;
        // Few labels with plain names are compared here; the rest takes the way with an allocation.
        let mut names = [""; 16];
        let mut count = 0_usize;
        let mut repeated = false;
        let mut plain = true;
        loop {
            self.blanks(grammar);
            if self.peek() == Some(b'}') && (first || grammar == Grammar::Text) {
                break;
            }
            let before = self.at;
            if first && unnamed {
                if self.peek() != Some(b'"') {
                    return Err(self.fail(Reason::MetricName));
                }
                name = Some(unescape(self.quoted(grammar)?));
                if name.as_deref() == Some("") {
                    return Err(self.fail_at(before, Reason::MetricName));
                }
            } else {
                let label = self.label(grammar, grammar)?;
                match (label.name, names.get_mut(count)) {
                    (Cow::Borrowed(name), Some(slot)) => {
                        *slot = name;
                        repeated |= names[..count].contains(&name);
                    }
                    _ => plain = false,
                }
                count += 1;
            }
            first = false;
            self.blanks(grammar);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.fail(Reason::OpenBlock)),
            }
        }
        let labels = Labels { block: &self.line[start..self.at], named: name.is_some() };
        self.at += 1;
        if repeated || (!plain && labels.repeats()) {
            return Err(self.fail_at(opening, Reason::DuplicateLabel));
        }
        Ok((name, labels))
    }

    fn label(&mut self, spacing: Grammar, quotes: Grammar) -> Result<Label<'a>, Error> {
        let start = self.at;
        let name = if self.peek() == Some(b'"') {
            unescape(self.quoted(quotes)?)
        } else {
            Cow::Borrowed(self.word(name::label_start, bytes::label_end))
        };
        if name.is_empty() {
            return Err(self.fail_at(start, Reason::LabelName));
        }
        self.blanks(spacing);
        if !self.eat(b'=') {
            return Err(self.fail(Reason::Equals));
        }
        self.blanks(spacing);
        if self.peek() != Some(b'"') {
            return Err(self.fail(Reason::Quote));
        }
        Ok(Label { name, value: self.quoted(quotes)? })
    }

    fn blanks(&mut self, grammar: Grammar) {
        if grammar == Grammar::Text {
            self.skip_blanks();
        }
    }
}

/// The text behind the escapes `\\`, `\"` and `\n`; a backslash before anything else stays.
#[must_use]
pub fn unescape(raw: &str) -> Cow<'_, str> {
    unescape_all(raw, &['\\', '"'])
}

/// As [`unescape`]; `bare` are the characters that a backslash before them stands for.
pub(crate) fn unescape_all<'a>(raw: &'a str, bare: &[char]) -> Cow<'a, str> {
    let Some(first) = bytes::find(raw.as_bytes(), b'\\') else { return Cow::Borrowed(raw) };
    let mut text = String::with_capacity(raw.len());
    text.push_str(&raw[..first]);
    let mut chars = raw[first..].chars();
    while let Some(char) = chars.next() {
        let mut rest = chars.clone();
        match (char, rest.next()) {
            ('\\', Some(escaped)) if bare.contains(&escaped) => text.push(escaped),
            ('\\', Some('n')) => text.push('\n'),
            _ => {
                text.push(char);
                continue;
            }
        }
        chars = rest;
    }
    Cow::Owned(text)
}

/// Escapes a label value, or a name for quotes: `\`, `"` and the line feed.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(text);
    }
    let mut raw = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\\' => raw.push_str("\\\\"),
            '"' => raw.push_str("\\\""),
            '\n' => raw.push_str("\\n"),
            _ => raw.push(char),
        }
    }
    Cow::Owned(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_read_back() {
        for text in ["", "plain", "a\\b", "say \"hi\"", "two\nlines", "\\n", "\\\\n", "ünï", "\\"] {
            assert_eq!(unescape(&escape(text)), text);
        }
    }

    #[test]
    fn a_backslash_before_anything_else_stays() {
        assert_eq!(unescape("C:\\dir\\new"), "C:\\dir\new");
        assert_eq!(unescape("\\é\\"), "\\é\\");
    }
}
