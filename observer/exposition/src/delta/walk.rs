//! The way through a body whose lines are where they were.

use std::ops::Range;

use super::{
    Dialect, Sink, Stats,
    common::common,
    layout::{FILL, Layout, NO_SLOT, rule},
};
use crate::{Exemplar, Sample, bytes, number, openmetrics, scan::Cursor, text};

/// How far a body is as it was.
pub(crate) enum Walked {
    /// To its end; everything is reported.
    All,
    /// Up to this record, whose line is not there or is another. The records before it are reported.
    Until(usize),
}

/// Walks a body along the layout of the one before, reports the samples and remembers their values.
#[inline(always)]
pub(crate) fn walk<S: Sink>(
    dialect: Dialect,
    layout: &mut Layout,
    body: &[u8],
    sink: &mut S,
    stats: &mut Stats,
) -> Walked {
    let records = layout.records();
    if !layout.known {
        return Walked::Until(0);
    }
    // Where the record that comes next starts, in the body and in the text.
    let (mut at, mut from) = (0, 0);
    let mut record = 0;
    while record < records {
        let reach = from + common(&body[at..], &layout.text[from..]);
        let first = record;
        while record < records && layout.ends[record] as usize <= reach {
            record += 1;
        }
        if record > first {
            report(dialect, layout, first..record, sink);
            stats.unchanged += (record - first) as u64;
            let end = layout.ends[record - 1] as usize;
            at += end - from;
            from = end;
            if record == records {
                break;
            }
        }
        let tail = layout.tails[record] as usize;
        if reach < tail {
            return Walked::Until(record);
        }
        let line = Line { body, at, tail: at + (tail - from), rule: layout.rules[record] };
        let Some(Tail { value, timestamp_ms, exemplar, length }) = line.read(dialect) else {
            return Walked::Until(record);
        };
        let end = layout.ends[record] as usize;
        let is_other = (exemplar.is_some() || line.rule & rule::EXEMPLIFIED != 0)
            && layout.exemplify(record, &line, exemplar.is_some(), length);
        replace(&mut layout.text[tail..end], &body[line.tail..line.tail + length]);
        layout.values[record] = value;
        if timestamp_ms.is_some() != (line.rule & rule::TIMED != 0) {
            layout.rules[record] ^= rule::TIMED;
            layout.plain &= timestamp_ms.is_none();
        }
        let slot = layout.slots[record];
        if slot != NO_SLOT {
            sink.value(slot, value, timestamp_ms);
            if is_other {
                sink.exemplar(slot, exemplar.as_ref());
            }
        }
        at = line.tail + length;
        from = end;
        record += 1;
    }
    if body[at..] != layout.text[from..] {
        return Walked::Until(records);
    }
    stats.samples = records as u64;
    stats.duplicates = layout.duplicates;
    Walked::All
}

/// Reports records that are as they were.
#[inline(always)]
fn report<S: Sink>(dialect: Dialect, layout: &Layout, records: Range<usize>, sink: &mut S) {
    if layout.plain {
        sink.unchanged(&layout.slots[records.clone()], &layout.values[records]);
    } else {
        report_special(dialect, layout, records, sink);
    }
}

/// [`report`] where some have no slot or have a timestamp.
#[inline(never)]
fn report_special<S: Sink>(dialect: Dialect, layout: &Layout, mut records: Range<usize>, sink: &mut S) {
    while !records.is_empty() {
        let rules = &layout.rules[records.clone()];
        let plain = rules.iter().take_while(|&&rule| rule & rule::SPECIAL == 0).count();
        let special = records.start + plain;
        if plain > 0 {
            sink.unchanged(&layout.slots[records.start..special], &layout.values[records.start..special]);
        }
        if special < records.end && layout.slots[special] != NO_SLOT {
            sink.value(layout.slots[special], layout.values[special], layout.timestamp_ms(dialect, special));
        }
        records.start = special + 1;
    }
}

/// Puts the part of a line behind its series in the place of the one before, if there is room.
#[inline(always)]
fn replace(place: &mut [u8], tail: &[u8]) {
    if tail.last() != Some(&b'\n') {
        // Only a line feed shows that the value ends where it does.
        place.fill(FILL);
    } else if tail.len() == place.len() {
        place.copy_from_slice(tail);
    } else if let Some((room, rest)) = place.split_at_mut_checked(tail.len()) {
        room.copy_from_slice(tail);
        rest.fill(FILL);
    } else {
        place.fill(FILL);
    }
}

/// A sample line whose series is known.
pub(super) struct Line<'b> {
    pub(super) body: &'b [u8],
    /// Where it starts in the body, or a line before it that belongs to its record.
    pub(super) at: usize,
    /// Where the part behind the series starts.
    pub(super) tail: usize,
    pub(super) rule: u8,
}

/// The part of a line behind its series.
pub(super) struct Tail<'b> {
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) exemplar: Option<Exemplar<'b>>,
    /// In bytes, with the line feed if there is one.
    pub(super) length: usize,
}

impl<'b> Line<'b> {
    /// Reads the value. Nothing if the line is another, whose series only starts like this one, or is broken: the full
    /// parser will tell.
    #[inline(always)]
    pub(super) fn read(&self, dialect: Dialect) -> Option<Tail<'b>> {
        if let [b' ', rest @ ..] = &self.body[self.tail..]
            && let Some((value, length)) = number::leading(rest)
            && allowed(self.rule, value)
        {
            let end = rest.get(length);
            if end == Some(&b'\n') {
                return Some(Tail { value, timestamp_ms: None, exemplar: None, length: length + 2 });
            }
            if end == Some(&b' ')
                && dialect == Dialect::Text
                && let Some((millis, more)) = number::leading_millis(&rest[length + 1..])
                && rest.get(length + 1 + more) == Some(&b'\n')
            {
                let length = length + more + 3;
                return Some(Tail { value, timestamp_ms: Some(millis), exemplar: None, length });
            }
        }
        match dialect {
            Dialect::Text => self.read_slowly(),
            Dialect::OpenMetrics => self.read_all(),
        }
    }

    /// [`Self::read`] for any line of the text format.
    #[inline(never)]
    fn read_slowly(&self) -> Option<Tail<'b>> {
        let before = &self.body[self.at..self.tail];
        let start = self.at + bytes::rfind(before, b'\n').map_or(0, |at| at + 1);
        let (end, length) = self.end();
        let line = std::str::from_utf8(&self.body[start..end]).ok()?;
        let mut cursor = Cursor { line, at: 0, number: 0 };
        cursor.skip_blanks();
        let Sample { series, value, timestamp_ms, .. } = text::sample(cursor).ok()?;
        let fits = allowed(self.rule, value) && line[..self.tail - start].ends_with(series);
        fits.then_some(Tail { value, timestamp_ms, exemplar: None, length })
    }

    /// [`Self::read`] for any line of OpenMetrics, where a series ends before a blank and nowhere else.
    #[inline(never)]
    fn read_all(&self) -> Option<Tail<'b>> {
        let (end, length) = self.end();
        let line = std::str::from_utf8(&self.body[self.tail..end]).ok()?;
        let mut cursor = Cursor { line, at: 0, number: 0 };
        let (value, timestamp_ms, exemplar) = openmetrics::behind_series(&mut cursor).ok()?;
        let fits = allowed(self.rule, value) && (exemplar.is_none() || self.rule & rule::EXEMPLAR != 0);
        fits.then_some(Tail { value, timestamp_ms, exemplar, length })
    }

    /// Where the line ends, without its line feed, and the length of the part behind the series with it.
    fn end(&self) -> (usize, usize) {
        let rest = &self.body[self.tail..];
        match bytes::find(rest, b'\n') {
            Some(at) => (self.tail + at, at + 1),
            None => (self.body.len(), rest.len()),
        }
    }
}

/// Whether the type of a line allows the value.
#[inline(always)]
const fn allowed(rule: u8, value: f64) -> bool {
    match rule & rule::VALUES {
        rule::NOT_NEGATIVE => value >= 0.0,
        rule::ONE => value == 1.0,
        rule::ZERO_OR_ONE => value == 0.0 || value == 1.0,
        _ => true,
    }
}

impl Layout {
    /// Notes whether a line has an exemplar, before its text is replaced. False if it has the one of before.
    #[inline(never)]
    fn exemplify(&mut self, record: usize, line: &Line<'_>, has_exemplar: bool, length: usize) -> bool {
        let had = line.rule & rule::EXEMPLIFIED != 0;
        if had != has_exemplar {
            self.rules[record] ^= rule::EXEMPLIFIED;
            return true;
        }
        let (old, new) = (&self.text[self.tails[record] as usize..self.ends[record] as usize], line.tail);
        let new = &line.body[new..new + length];
        // An exemplar is the only part with braces, and within quotes nothing ends as one does. So the same end is the same exemplar.
        let start = bytes::find(new, b'#').unwrap_or(0);
        !(new.ends_with(b"\n") && old.ends_with(&new[start..]))
    }

    /// Has the next body tell the exemplars it has, also those of lines that are as they were.
    pub(super) fn tell_exemplars_again(&mut self) {
        for record in (0..self.records()).filter(|record| self.rules[*record] & rule::EXEMPLIFIED != 0) {
            self.text[self.tails[record] as usize..self.ends[record] as usize].fill(FILL);
        }
    }

    /// The timestamp of a record that has one and is as it was.
    fn timestamp_ms(&self, dialect: Dialect, record: usize) -> Option<i64> {
        let rule = self.rules[record];
        let line = Line { body: &self.text, at: self.start(record), tail: self.tails[record] as usize, rule };
        line.read(dialect)?.timestamp_ms
    }
}
