//! The way through one body: lines, and a cursor within the line.

use std::borrow::Cow;

use crate::{
    Error, Labels, Reason, Sample, bytes,
    labels::{self, Grammar},
    name, number,
    plain::{self, Metadata},
};

/// The lines of a body that is text.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a str,
    /// Bytes of text.
    length: usize,
    number: usize,
    /// Where the body stops being UTF-8, told when the lines before it are read.
    broken: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        let (rest, broken) = match std::str::from_utf8(body) {
            Ok(text) => (text, false),
            Err(error) => (std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(), true),
        };
        Self { rest, length: rest.len(), number: 0, broken }
    }

    /// Bytes read, with the line feed of the last line.
    pub(crate) const fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next line if it is a plain sample.
    #[inline(always)]
    pub(crate) fn plain_sample(&mut self, grammar: Grammar) -> Option<Sample<'a>> {
        let (sample, length) = plain::sample(self.rest, grammar)?;
        self.number += 1;
        self.rest = &self.rest[length..];
        Some(sample)
    }

    /// The next line if it is plain metadata, and a cursor before its text.
    #[inline(always)]
    pub(crate) fn plain_metadata(&mut self) -> Option<(Metadata<'a>, Cursor<'a>)> {
        let metadata = plain::metadata(self.rest)?;
        self.number += 1;
        let (line, rest) = self.rest.split_at(metadata.length);
        self.rest = rest;
        let at = metadata.length - 1 - metadata.text.len();
        Some((metadata, Cursor { line: &line[..line.len() - 1], at, number: self.number }))
    }

    /// What the next line gives as the type of a family, if it is that and `read` knows it.
    #[inline]
    pub(crate) fn type_of<T>(&mut self, family: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let rest = self.rest.strip_prefix("# TYPE ")?.strip_prefix(family)?.strip_prefix(' ')?;
        let end = bytes::text_end(rest.as_bytes());
        let (word, rest) = rest.split_at(end);
        let found = read(word)?;
        self.rest = rest.strip_prefix('\n')?;
        self.number += 1;
        Some(found)
    }

    /// The next line, without its line feed.
    pub(crate) fn next(&mut self) -> Option<Result<Cursor<'a>, Error>> {
        if self.rest.is_empty() && !self.broken {
            return None;
        }
        self.number += 1;
        let (line, rest) = match bytes::find(self.rest.as_bytes(), b'\n') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None if self.broken => {
                let column = self.rest.chars().count() + 1;
                self.broken = false;
                self.rest = "";
                return Some(Err(Error { line: self.number, column, reason: Reason::Utf8 }));
            }
            None => (self.rest, ""),
        };
        self.rest = rest;
        Some(Ok(Cursor { line, at: 0, number: self.number }))
    }

    /// The number of the line that was read last, from 1.
    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// Whether nothing follows.
    pub(crate) const fn is_done(&self) -> bool {
        self.rest.is_empty() && !self.broken
    }

    /// An error at the line behind the last one read.
    pub(crate) const fn fail_at_end(&self, reason: Reason) -> Error {
        Error { line: self.number + 1, column: 1, reason }
    }
}

/// A place in a line.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) line: &'a str,
    /// A byte offset, always on a character's first byte.
    pub(crate) at: usize,
    pub(crate) number: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn fail(&self, reason: Reason) -> Error {
        self.fail_at(self.at, reason)
    }

    pub(crate) fn fail_at(&self, at: usize, reason: Reason) -> Error {
        let column = self.line.get(..at).unwrap_or(self.line).chars().count() + 1;
        Error { line: self.number, column, reason }
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    /// Steps over `byte`, which is ASCII, if it comes next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over blanks and says whether there were any.
    pub(crate) fn skip_blanks(&mut self) -> bool {
        let before = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        self.at != before
    }

    /// What stands before the next blank.
    pub(crate) fn token(&mut self) -> &'a str {
        let rest = self.rest();
        let end = bytes::blank(rest.as_bytes());
        self.at += end;
        &rest[..end]
    }

    /// A run of ASCII bytes of one alphabet, empty if the first cannot start it; `end` finds its end.
    pub(crate) fn word(&mut self, start: fn(u8) -> bool, end: fn(&[u8]) -> usize) -> &'a str {
        let rest = self.rest();
        let end = match rest.as_bytes() {
            [first, ..] if start(*first) => end(rest.as_bytes()),
            _ => 0,
        };
        self.at += end;
        &rest[..end]
    }

    /// What stands between double quotes, escapes checked and kept. The opening quote comes next.
    pub(crate) fn quoted(&mut self, grammar: Grammar) -> Result<&'a str, Error> {
        let opening = self.at;
        self.at += 1;
        let start = self.at;
        let bytes = self.line.as_bytes();
        loop {
            match bytes.get(self.at) {
                None => return Err(self.fail_at(opening, Reason::OpenQuote)),
                Some(b'"') => break,
                Some(b'\\') => match bytes.get(self.at + 1) {
                    Some(b'\\' | b'"' | b'n') => self.at += 2,
                    None => return Err(self.fail_at(opening, Reason::OpenQuote)),
                    // OpenMetrics allows a backslash before any character and means both.
                    Some(_) if grammar == Grammar::OpenMetrics => self.at += 1,
                    Some(_) => return Err(self.fail(Reason::Escape)),
                },
                Some(_) => self.at += 1,
            }
        }
        let inner = &self.line[start..self.at];
        self.at += 1;
        Ok(inner)
    }

    /// A metric name on a metadata line.
    pub(crate) fn metric_name(&mut self, grammar: Grammar) -> Result<Cow<'a, str>, Error> {
        let start = self.at;
        let name = if self.peek() == Some(b'"') {
            labels::unescape(self.quoted(grammar)?)
        } else {
            Cow::Borrowed(self.word(name::name_start, bytes::name_end))
        };
        if name.is_empty() { Err(self.fail_at(start, Reason::MetricName)) } else { Ok(name) }
    }

    /// Name, labels and the value behind them; the cursor stops behind the value.
    pub(crate) fn sample(&mut self, grammar: Grammar) -> Result<Sample<'a>, Error> {
        let start = self.at;
        let bare = self.word(name::name_start, bytes::name_end);
        let mut end = self.at;
        if grammar == Grammar::Text {
            self.skip_blanks();
        }
        let (name, labels) = if self.peek() == Some(b'{') {
            let (quoted, labels) = self.block(grammar, bare.is_empty())?;
            end = self.at;
            (quoted.unwrap_or(Cow::Borrowed(bare)), labels)
        } else {
            self.at = end;
            (Cow::Borrowed(bare), Labels::default())
        };
        if name.is_empty() {
            return Err(self.fail_at(start, Reason::MetricName));
        }
        let series = &self.line[start..end];
        self.gap(grammar)?;
        let value = self.number(number::value)?;
        Ok(Sample { series, name, labels, value, timestamp_ms: None, exemplar: None })
    }

    /// The next token as a number; an error points at its first character.
    pub(crate) fn number<T>(&mut self, read: fn(&str) -> Result<T, Reason>) -> Result<T, Error> {
        let start = self.at;
        read(self.token()).map_err(|reason| self.fail_at(start, reason))
    }

    /// The blank between two parts: any in the text format, one space in OpenMetrics.
    pub(crate) fn gap(&mut self, grammar: Grammar) -> Result<(), Error> {
        match grammar {
            Grammar::Text => {
                // A value may follow a closing brace at once; a name ends with its alphabet.
                if !self.skip_blanks() && self.peek().is_some() && !self.line[..self.at].ends_with('}') {
                    return Err(self.fail(Reason::MetricName));
                }
                Ok(())
            }
            Grammar::OpenMetrics => {
                if self.eat(b' ') && !matches!(self.peek(), Some(b' ' | b'\t')) {
                    Ok(())
                } else {
                    Err(self.fail(Reason::Space))
                }
            }
        }
    }
}
