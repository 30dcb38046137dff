//! The Prometheus text format, version 0.0.4.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::borrow::Cow;

use crate::{
    Error, Event, Kind, Reason, Sample, labels,
    labels::Grammar,
    number,
    plain::{Keyword, Metadata},
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
}

impl<'a> Iterator for Text<'a> {
    type Item = Result<Event<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            if let Some(sample) = self.lines.plain_sample(Grammar::Text) {
                return Some(Ok(Event::Sample(sample)));
            }
            if let Some((Metadata { keyword, name, text, escaped, length: _ }, cursor)) =
                self.lines.plain_metadata()
            {
                let name = Cow::Borrowed(name);
                let event = match keyword {
                    Keyword::Help if escaped => Event::Help { name, text: unescape_help(text) },
                    Keyword::Help => Event::Help { name, text: Cow::Borrowed(text) },
                    Keyword::Unit => continue,
                    Keyword::Type => match kind(text) {
                        Some(kind) => Event::Type { name, kind },
                        // Blanks may follow.
                        None => match metadata(keyword, name, cursor) {
                            Ok(event) => event,
                            Err(error) => {
                                self.failed = true;
                                return Some(Err(error));
                            }
                        },
                    },
                };
                return Some(Ok(event));
            }
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
pub(crate) fn line(mut cursor: Cursor<'_>) -> Result<Option<Event<'_>>, Error> {
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
    let Some(keyword @ (Keyword::Help | Keyword::Type)) = Keyword::of(cursor.token()) else {
        return Ok(None);
    };
    cursor.skip_blanks();
    let name = cursor.metric_name(Grammar::Text)?;
    if !cursor.skip_blanks() && cursor.peek().is_some() {
        return Err(cursor.fail(Reason::MetricName));
    }
    metadata(keyword, name, cursor).map(Some)
}

/// A line of `# HELP` or `# TYPE` whose text starts at the cursor.
fn metadata<'a>(keyword: Keyword, name: Cow<'a, str>, mut cursor: Cursor<'a>) -> Result<Event<'a>, Error> {
    if keyword == Keyword::Help {
        return Ok(Event::Help { name, text: unescape_help(cursor.rest()) });
    }
    let start = cursor.at;
    let kind = kind(cursor.token()).ok_or_else(|| cursor.fail_at(start, Reason::Type))?;
    end(cursor)?;
    Ok(Event::Type { name, kind })
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        "untyped" => Kind::Unknown,
        _ => return None,
    })
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
