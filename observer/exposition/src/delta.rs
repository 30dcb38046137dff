//! Bodies of one exporter, each against the one before.
//!
//! An exporter writes the same lines in the same order, and few of their values change. What is the same text as before
//! is compared and not parsed; where only a value differs, only that is. A line that is not where it was sends the rest
//! of the body through the full parser, which repairs what is remembered.

mod common;
mod declared;
pub(crate) mod layout;
mod repair;
mod splice;
pub(crate) mod walk;

use std::fmt;

use self::{
    layout::{FILL, Layout, NO_SLOT, rule},
    walk::Walked,
};
use crate::{Error, Exemplar, Kind, Reason, Sample, cpu, hash::Hash};

/// Where the samples of a body go.
pub trait Sink {
    /// A sample whose series is new in this body, or whose family is another than before. Returns the slot it goes to,
    /// less than `u32::MAX`, or `None` if it is not to be kept. Either answer is remembered, and not asked for again
    /// while the line and its family's metadata stay in the body.
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32>;

    /// The value of a slot in this body; of every kept line exactly once, in the body's order, changed or not.
    /// `timestamp_ms` is in milliseconds since the Unix epoch.
    fn value(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>);

    /// The exemplar of a slot, behind its value, or `None` if it has none any more. Lines without one are not told, nor are most
    /// of those that have the one they had. A broken body ends all exemplars, and the next tells all it has.
    fn exemplar(&mut self, slot: u32, exemplar: Option<&Exemplar<'_>>) {
        let _not_kept = (slot, exemplar);
    }

    /// As [`Self::value`] for several lines at once, one behind the other in the body and none with a timestamp. Unless
    /// the last body was broken, these are the values that were reported for it. Both slices have the same length.
    fn unchanged(&mut self, slots: &[u32], values: &[f64]) {
        for (&slot, &value) in slots.iter().zip(values) {
            self.value(slot, value, None);
        }
    }
}

/// What is known of a family when one of its samples is met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyInfo<'a> {
    /// The OpenMetrics name, without a suffix. The text format's counters lose their `_total`.
    pub name: &'a str,
    /// The type.
    pub kind: Kind,
    /// The help text, unescaped; empty for none.
    pub help: &'a str,
    /// The unit; empty for none.
    pub unit: &'a str,
    /// What the sample's name has behind the family's: `_total`, `_bucket`, or nothing.
    pub suffix: &'a str,
}

/// A text format to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The Prometheus text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What a body had, in sample lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All of them.
    pub samples: u64,
    /// Those with the same text as in the body before.
    pub unchanged: u64,
    /// Those that went through the full parser because something else stood in their place.
    pub repaired: u64,
    /// Those whose series stands in a line before; they are not reported.
    pub duplicates: u64,
    /// Series came or went, or a family's metadata is another. The order of lines does not count.
    pub layout_changed: bool,
}

/// The reader of one exporter's bodies.
///
/// Remembers the text of the last body and 33 bytes for each of its samples. Allocates when lines come, go or move, and
/// not otherwise.
pub struct Delta {
    dialect: Dialect,
    layout: Layout,
    hash: Hash,
    gone: Vec<u32>,
    /// Slots that samples of broken bodies were given.
    orphans: Vec<u32>,
}

impl Delta {
    /// A reader that knows no body yet.
    #[must_use]
    pub fn new(format: Dialect) -> Self {
        Self {
            dialect: format,
            layout: Layout::default(),
            hash: Hash::new(),
            gone: Vec::new(),
            orphans: Vec::new(),
        }
    }

    /// Reads a body and reports its samples.
    ///
    /// # Errors
    ///
    /// The body breaks the format: the same error as of the full parser. What was reported up to it is to be ignored;
    /// the lines known stay known.
    pub fn decode<S: Sink>(&mut self, body: &[u8], sink: &mut S) -> Result<Stats, Error> {
        self.gone.clear();
        if u32::try_from(body.len()).is_ok_and(|length| length < u32::MAX) {
            let mut stats = Stats::default();
            let read = match cpu::walk(self.dialect, &mut self.layout, body, sink, &mut stats) {
                Walked::All => {
                    self.settle(&[], &mut stats);
                    Ok(())
                }
                Walked::Until(record) => self.repair(body, record, sink, &mut stats),
            };
            if read.is_err() {
                self.layout.tell_exemplars_again();
            }
            read.map(|()| stats)
        } else {
            Err(Error { line: 1, column: 1, reason: Reason::TooLong })
        }
    }

    /// After a body whose layout changed: the slots that no line has any more. Empty after any other.
    #[must_use]
    pub fn gone(&self) -> &[u32] {
        &self.gone
    }

    /// The slots of the last body's lines, in its order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.layout.slots.iter().copied().filter(|slot| *slot != NO_SLOT)
    }

    /// Heap memory in use.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.layout.memory_bytes() + 4 * (self.gone.capacity() + self.orphans.capacity())
    }

    /// Lines of the last body that the sink did not keep.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.layout.rules.iter().filter(|rule| **rule & rule::REFUSED != 0).count()
    }

    /// Has the next body ask about the lines that the sink did not keep, as if they were new.
    pub fn ask_again(&mut self) {
        for record in 0..self.layout.records() {
            if self.layout.rules[record] & rule::REFUSED != 0 {
                // No line is the same as this one.
                self.layout.text[self.layout.tails[record] as usize - 1] = FILL;
            }
        }
    }

    /// Forgets everything, as if no body had been read; [`Self::gone`] does not tell what was known.
    pub fn clear(&mut self) {
        self.layout = Layout::default();
        self.gone = Vec::new();
        self.orphans = Vec::new();
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("dialect", &self.dialect)
            .field("records", &self.layout.records())
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
