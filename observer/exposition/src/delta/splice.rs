//! The repair of a body in the text format: only lines that are not where they were are parsed.
//!
//! In this format a line says the same wherever it stands, but for the metadata before it. So a line that is known goes
//! to its slot again, unless metadata that may be about it came, went or moved.

use std::borrow::Cow;

use super::{
    Dialect, Sink, Stats,
    declared::Declared,
    layout::{Layout, NO_SLOT, Record, has_comment, rule},
    repair::{Known, Repair, family_hash, record as record_of},
    walk::{Line, Tail},
};
use crate::{Error, Event, Reason, bytes, hash::Hash, labels::Grammar, plain, scan::Cursor, text};

/// More names than this, and every line is looked at.
const TOUCHED: usize = 32;

/// The metadata of a body, as far as it is needed.
pub(super) struct Context<'b> {
    /// Names of families whose metadata is not as it was at the same place before.
    touched: Vec<Cow<'b, str>>,
    /// Too many of them.
    everything: bool,
    /// The records of the old layout that have lines before their sample's.
    commented: Vec<u32>,
    /// How many of these may still be looked at; a body in another order would have them looked at again and again.
    patience: usize,
    declared: Declared<'b>,
    /// Records of the new layout whose metadata is in `declared`.
    replayed: usize,
}

impl<'b> Context<'b> {
    pub(super) fn new(old: &Layout, hash: Hash) -> Self {
        let is_commented = |&record: &u32| has_comment(&old.text[old.start(record as usize)..]);
        let commented: Vec<u32> = (0..old.records() as u32).filter(is_commented).collect();
        let patience = commented.len() * 2 + TOUCHED;
        let declared = Declared::new(hash);
        Self { touched: Vec::new(), everything: false, commented, patience, declared, replayed: 0 }
    }

    fn touch(&mut self, name: Cow<'b, str>) {
        if !self.touched.contains(&name) {
            self.everything |= self.touched.len() >= TOUCHED;
            if !self.everything {
                self.touched.push(name);
            }
        }
    }

    /// Touches the families that the metadata of some old records is about.
    fn touch_records(&mut self, old: &'b Layout, first: usize, end: usize) {
        let from = self.commented.partition_point(|&record| (record as usize) < first);
        for at in from..self.commented.len() {
            let record = self.commented[at] as usize;
            if record >= end || self.everything {
                return;
            }
            match self.patience.checked_sub(1) {
                Some(less) => self.patience = less,
                None => self.everything = true,
            }
            let key = &old.text[old.start(record)..old.tails[record] as usize];
            for event in text::Text::new(&key[..key.len() - old.series(&old.text, record).len()]) {
                if let Ok(Event::Help { name, .. } | Event::Type { name, .. }) = event {
                    self.touch(name);
                }
            }
        }
    }

    /// Whether a line's family may be another than before.
    fn is_touched(&self, series: &[u8]) -> bool {
        // Both the sample's name and its family's are what the series starts with, if not in quotes.
        self.everything
            || (!self.touched.is_empty()
                && (series.starts_with(b"{")
                    || self.touched.iter().any(|name| series.starts_with(name.as_bytes()))))
    }

    /// Declares what the metadata of the new layout's records says, as far as it is not declared, and of `rest`, which
    /// is what stands before the next sample.
    fn declare(&mut self, body: &'b [u8], new: &Layout, rest: &'b [u8]) {
        if self.replayed == 0 {
            // Mostly, metadata stands before the first sample of its family.
            self.declared.reserve(self.commented.len());
        }
        let before = self.replayed..new.records();
        self.replayed = before.end;
        let comments = before
            .map(|record| &body[new.start(record)..new.tails[record] as usize])
            .filter(|key| has_comment(key));
        for comment in comments.map(without_last_line).chain([rest]) {
            for event in text::Text::new(comment) {
                match event {
                    Ok(Event::Help { name, text }) => self.declared.declare(name).help = text,
                    Ok(Event::Type { name, kind }) => self.declared.declare(name).kind = kind,
                    _ => {}
                }
            }
        }
    }
}

fn without_last_line(key: &[u8]) -> &[u8] {
    &key[..bytes::rfind(key, b'\n').map_or(0, |at| at + 1)]
}

impl<'o> Repair<'o> {
    /// Reads a body in the text format whose samples up to number `reported` are as they were.
    pub(super) fn splice<S: Sink>(
        &mut self,
        body: &'o [u8],
        reported: usize,
        sink: &mut S,
        given: &mut Vec<u32>,
        stats: &mut Stats,
    ) -> Result<(), Error> {
        let mut at = 0;
        for record in 0..reported {
            let tail = at + self.old.tails[record] as usize - self.old.start(record);
            at = tail + line_length(&body[tail..]);
            self.push_again(body, record, at, tail, self.old.values[record], self.old.rules[record]);
        }
        let mut context = Context::new(self.old, self.hash);
        while at < body.len() {
            at = match self.same(body, at, &context, sink, stats) {
                Some(end) => end,
                None => self.other(body, at, &mut context, sink, given, stats)?,
            };
        }
        Ok(())
    }

    /// The next old record again, with what may have changed.
    fn push_again(&mut self, body: &[u8], record: usize, end: usize, tail: usize, value: f64, rule: u8) {
        let old = self.old;
        self.taken[record] = true;
        self.next = record + 1;
        self.new.push(&Record {
            // A line feed is added behind the last line.
            end: if body[end - 1] == b'\n' { end } else { end + 1 },
            tail,
            slot: Some(old.slots[record]),
            value,
            rule,
            hash: old.hashes[record],
            family: old.families[record],
        });
    }

    /// Takes the record at `at` if it is the one that comes next in the old layout, and gives its end.
    fn same<S: Sink>(
        &mut self,
        body: &[u8],
        at: usize,
        context: &Context<'_>,
        sink: &mut S,
        stats: &mut Stats,
    ) -> Option<usize> {
        let (old, record) = (self.old, self.next);
        if record >= old.records() || self.taken[record] || old.rules[record] & rule::DUPLICATE != 0 {
            return None;
        }
        let (start, tail, end) = (old.start(record), old.tails[record] as usize, old.ends[record] as usize);
        let rest = body[at..].strip_prefix(&old.text[start..tail])?;
        if (context.everything || !context.touched.is_empty())
            && context.is_touched(old.series(&old.text, record))
        {
            return None;
        }
        let line = Line { body, at, tail: at + tail - start, rule: old.rules[record] };
        let unchanged = rest.starts_with(&old.text[tail..end]);
        let Tail { value, timestamp_ms, length, .. } = if unchanged && line.rule & rule::TIMED == 0 {
            Tail { value: old.values[record], timestamp_ms: None, exemplar: None, length: end - tail }
        } else {
            line.read(Dialect::Text)?
        };
        stats.unchanged += u64::from(unchanged);
        let timed = if timestamp_ms.is_some() { rule::TIMED } else { 0 };
        let end = line.tail + length;
        self.push_again(body, record, end, line.tail, value, line.rule & !rule::TIMED | timed);
        if old.slots[record] != NO_SLOT {
            sink.value(old.slots[record], value, timestamp_ms);
        }
        Some(end)
    }

    /// Takes the record at `at` by the full parser, and gives its end.
    fn other<S: Sink>(
        &mut self,
        body: &'o [u8],
        at: usize,
        context: &mut Context<'o>,
        sink: &mut S,
        given: &mut Vec<u32>,
        stats: &mut Stats,
    ) -> Result<usize, Error> {
        let mut start = at;
        let (sample, end) = loop {
            if start == body.len() {
                return Ok(start);
            }
            let end = start + line_length(&body[start..]);
            match line(body, start, end)? {
                Some(Event::Sample(sample)) => break (sample, end),
                Some(Event::Help { name, .. } | Event::Type { name, .. }) => context.touch(name),
                _ => {}
            }
            start = end;
        };
        stats.repaired += 1;
        let series = sample.series.as_bytes();
        let mut record = record_of(body, &sample, end);
        let before = self.next;
        let known = self.find(body, series, &mut record.hash);
        // These came between in one of the bodies and not in the other.
        context.touch_records(self.old, before.min(self.next), before.max(self.next));
        match known {
            Known::Old(old) if !context.is_touched(series) => {
                record.family = self.old.families[old];
                record.slot = Some(self.old.slots[old]);
                record.rule |= self.old.rules[old] & rule::REFUSED;
            }
            known => {
                context.declare(body, &self.new, &body[at..start]);
                let family = context.declared.family(&sample.name);
                record.family = family_hash(self.hash, &family);
                self.give_slot(known, &mut record, &family, &sample, sink, given);
            }
        }
        if let Some(slot) = record.slot.filter(|&slot| slot != NO_SLOT) {
            sink.value(slot, sample.value, sample.timestamp_ms);
        }
        self.new.push(&record);
        Ok(end)
    }
}

/// The length of the first line with its line feed.
fn line_length(body: &[u8]) -> usize {
    bytes::find(body, b'\n').map_or(body.len(), |at| at + 1)
}

/// What the line from `start` to `end` says.
fn line(body: &[u8], start: usize, end: usize) -> Result<Option<Event<'_>>, Error> {
    let result = match std::str::from_utf8(&body[start..end]) {
        Ok(line) => match plain::sample(line, Grammar::Text) {
            Some((sample, _)) => return Ok(Some(Event::Sample(sample))),
            None => text::line(Cursor { line: line.strip_suffix('\n').unwrap_or(line), at: 0, number: 0 }),
        },
        Err(error) => {
            let good = str::from_utf8(&body[start..start + error.valid_up_to()]).unwrap_or_default();
            Err(Error { line: 0, column: good.chars().count() + 1, reason: Reason::Utf8 })
        }
    };
    // Only an error needs the line's number.
    result.map_err(|error| Error { line: bytes::count(&body[..start], b'\n') + 1, ..error })
}
