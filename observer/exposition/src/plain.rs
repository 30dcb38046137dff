//! The short way for what nearly all lines are: `name{label="value",..} 1.5` with one blank and nothing to escape. In the text format
//! a blank may follow a comma between labels, as in the pages of programs that use VictoriaMetrics' library.

use std::borrow::Cow;

use crate::{Labels, Sample, bytes, labels::Grammar, name, number};

/// Labels whose names are compared with each other on this way.
const LABELS: usize = 16;

/// The sample line that the text starts with, and its length with its line feed. `None` says nothing about the line:
/// the grammar takes it from its start.
#[inline(always)]
pub(crate) fn sample(text: &str, grammar: Grammar) -> Option<(Sample<'_>, usize)> {
    let bytes = text.as_bytes();
    if !name::name_start(*bytes.first()?) {
        return None;
    }
    let name = bytes::name_end(bytes);
    let mut end = name;
    let mut block = "";
    if bytes.get(name) == Some(&b'{') {
        let length = labels(&bytes[name + 1..], grammar)?;
        block = text.get(name + 1..name + 1 + length)?;
        end = name + length + 2;
    }
    let [b' ', rest @ ..] = bytes.get(end..)? else { return None };
    let (value, length) = number::leading(rest)?;
    if rest.get(length) != Some(&b'\n') {
        return None;
    }
    let sample = Sample {
        series: text.get(..end)?,
        name: Cow::Borrowed(text.get(..name)?),
        labels: Labels::checked(block),
        value,
        timestamp_ms: None,
        exemplar: None,
    };
    Some((sample, end + length + 2))
}

/// What a metadata line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Help,
    Type,
    Unit,
}

impl Keyword {
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "HELP" => Self::Help,
            "TYPE" => Self::Type,
            "UNIT" => Self::Unit,
            _ => return None,
        })
    }
}

/// A metadata line.
pub(crate) struct Metadata<'a> {
    pub(crate) keyword: Keyword,
    /// A name without quotes.
    pub(crate) name: &'a str,
    /// What follows it behind one blank: not empty, and no blank at its start.
    pub(crate) text: &'a str,
    /// There is a backslash in it.
    pub(crate) escaped: bool,
    /// The line's length with its line feed.
    pub(crate) length: usize,
}

/// The metadata line that the text starts with, as [`sample`].
#[inline(always)]
pub(crate) fn metadata(text: &str) -> Option<Metadata<'_>> {
    let keyword = match text.as_bytes().first_chunk()? {
        b"# HELP " => Keyword::Help,
        b"# TYPE " => Keyword::Type,
        b"# UNIT " => Keyword::Unit,
        _ => return None,
    };
    let bytes = &text.as_bytes()[7..];
    if !name::name_start(*bytes.first()?) {
        return None;
    }
    let name = bytes::name_end(bytes);
    let [b' ', rest @ ..] = &bytes[name..] else { return None };
    if matches!(rest.first()?, b' ' | b'\t' | b'\n') {
        return None;
    }
    let mut end = bytes::text_end(rest);
    let escaped = rest.get(end) == Some(&b'\\');
    if escaped {
        end += bytes::find(&rest[end..], b'\n')?;
    }
    if rest.get(end) != Some(&b'\n') {
        return None;
    }
    let end = 8 + name + end;
    let (name, help) = (text.get(7..7 + name)?, text.get(8 + name..end)?);
    Some(Metadata { keyword, name, text: help, escaped, length: end + 1 })
}

/// The length of a block of labels up to its closing brace.
#[inline(always)]
fn labels(bytes: &[u8], grammar: Grammar) -> Option<usize> {
    // Start and length of each name. They fit, or the block is not for this way.
    let mut names = [(0_u16, 0_u16); LABELS];
    let mut count = 0;
    let mut at = 0;
    loop {
        if !name::label_start(*bytes.get(at)?) {
            return None;
        }
        let rest = &bytes[at..];
        let name = &rest[..bytes::label_end(rest)];
        let length = u16::try_from(name.len()).ok()?;
        let same =
            |&(start, other): &(u16, u16)| other == length && bytes[usize::from(start)..].starts_with(name);
        if names[..count].iter().any(same) {
            return None;
        }
        *names.get_mut(count)? = (u16::try_from(at).ok()?, length);
        count += 1;
        let [b'=', b'"', value @ ..] = &rest[name.len()..] else { return None };
        let length = bytes::quote_end(value);
        match value.get(length..length + 2)? {
            b"\"," => {
                at += name.len() + length + 4;
                at += usize::from(grammar == Grammar::Text && bytes.get(at) == Some(&b' '));
            }
            b"\"}" => return Some(at + name.len() + length + 3),
            _ => return None,
        }
    }
}
