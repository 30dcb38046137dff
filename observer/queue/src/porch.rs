//! Where entries wait that came while the disk was busy, and the ends of others, so that nobody who works in memory waits for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{Entry, Totals};

/// The newest entries, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Porch {
    numbers: Arc<AtomicU64>,
    entries: VecDeque<Entry>,
    totals: Totals,
    dropped: Totals,
    /// The number and the end of the newest entry that had to go and completes a window.
    passed: Option<(u64, i64)>,
    /// Entries that were handed out, and whether they come back.
    ended: Vec<(u64, bool)>,
}

/// What waited on the porch.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) entries: VecDeque<Entry>,
    /// The number and the end of the newest entry that had to go before these and completes a window.
    pub(crate) passed: Option<(u64, i64)>,
    /// Entries that were handed out and came to their end, and whether they are to be handed out again.
    pub(crate) ended: Vec<(u64, bool)>,
}

impl Porch {
    /// `numbers`: that of the next entry.
    pub(crate) fn new(numbers: Arc<AtomicU64>) -> Self {
        Self {
            numbers,
            entries: VecDeque::new(),
            totals: Totals::default(),
            dropped: Totals::default(),
            passed: None,
            ended: Vec::new(),
        }
    }

    /// Gives an entry its number, above all others.
    pub(crate) fn number(&self, entry: Entry) -> Entry {
        Entry { seq: self.numbers.fetch_add(1, Relaxed), ..entry }
    }

    /// Lets an entry wait. Beyond so many bytes the oldest here goes.
    pub(crate) fn push(&mut self, entry: Entry, bytes: u64) {
        self.totals += entry.totals();
        self.entries.push_back(entry);
        while self.totals.bytes > bytes
            && let Some(oldest) = self.entries.pop_front()
        {
            self.totals -= oldest.totals();
            self.dropped += oldest.totals();
            if oldest.last {
                self.passed = Some((oldest.seq, oldest.end_ms));
            }
        }
    }

    /// Lets the end of an entry wait that was handed out.
    pub(crate) fn end(&mut self, seq: u64, again: bool) {
        self.ended.push((seq, again));
    }

    /// Hands over all that waits.
    pub(crate) fn empty(&mut self) -> Arrived {
        self.totals = Totals::default();
        Arrived {
            entries: std::mem::take(&mut self.entries),
            passed: self.passed.take(),
            ended: std::mem::take(&mut self.ended),
        }
    }

    /// Whether there is nothing to hand over.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.passed.is_none() && self.ended.is_empty()
    }

    /// What waits.
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// What had to go.
    pub(crate) const fn dropped(&self) -> Totals {
        self.dropped
    }

    /// The end of the oldest.
    pub(crate) fn oldest_end_ms(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.end_ms)
    }
}
