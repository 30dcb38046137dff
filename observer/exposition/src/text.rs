//! The Prometheus text format, version 0.0.4.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::borrow::Cow;

use crate::{
    Error, Event, Kind, Reason, Sample, labels,
    labels::Grammar,
    number,
    scan::{Cursor, Lines},
};

/// The events of a body in the text format; ends behind the first error.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    lines: Lines<'a>,
    failed: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { lines: Lines::new(body), failed: false }
    }

    /// Bytes read, with the line feed of the last line.
    pub(crate) const fn offset(&self) -> usize {
        self.lines.offset()
    }
}

impl<'a> Iterator for Text<'a> {
    type Item = Result<Event<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let event = self.lines.next()?.and_then(line).transpose();
            self.failed = matches!(event, Some(Err(_)));
            if event.is_some() {
                return event;
            }
        }
        None
    }
}

/// What a line says; nothing if it is blank or a comment.
fn line(mut cursor: Cursor<'_>) -> Result<Option<Event<'_>>, Error> {
    cursor.skip_blanks();
    match cursor.peek() {
        None => Ok(None),
        Some(b'#') => comment(cursor),
        Some(_) => Ok(Some(Event::Sample(sample(cursor)?))),
    }
}

fn comment(mut cursor: Cursor<'_>) -> Result<Option<Event<'_>>, Error> {
    cursor.at += 1;
    if !cursor.skip_blanks() {
        return Ok(None);
    }
    let keyword = cursor.token();
    if !matches!(keyword, "HELP" | "TYPE") {
        return Ok(None);
    }
    cursor.skip_blanks();
    let name = cursor.metric_name(Grammar::Text)?;
    if !cursor.skip_blanks() && cursor.peek().is_some() {
        return Err(cursor.fail(Reason::MetricName));
    }
    if keyword == "HELP" {
        return Ok(Some(Event::Help { name, text: unescape_help(cursor.rest()) }));
    }
    let start = cursor.at;
    let kind = match cursor.token() {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        "untyped" => Kind::Unknown,
        _ => return Err(cursor.fail_at(start, Reason::Type)),
    };
    end(cursor)?;
    Ok(Some(Event::Type { name, kind }))
}

/// A sample line that starts at the cursor.
pub(crate) fn sample(mut cursor: Cursor<'_>) -> Result<Sample<'_>, Error> {
    let mut sample = cursor.sample(Grammar::Text)?;
    cursor.skip_blanks();
    if cursor.peek().is_some() {
        sample.timestamp_ms = Some(cursor.number(number::millis)?);
    }
    end(cursor)?;
    Ok(sample)
}

fn end(mut cursor: Cursor<'_>) -> Result<(), Error> {
    cursor.skip_blanks();
    if cursor.peek().is_some() { Err(cursor.fail(Reason::Trailing)) } else { Ok(()) }
}

/// Quotes need no escape in a help text, so `\"` is two characters there. A stray backslash stays: Prometheus reads
/// such a body, and a help text decides nothing.
fn unescape_help(raw: &str) -> Cow<'_, str> {
    labels::unescape_all(raw, &['\\'])
}

#[cfg(test)]
mod tests;
