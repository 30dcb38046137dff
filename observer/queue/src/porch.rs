//! Where entries wait that came while the disk was busy, so that who pushes does not wait for it.

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

    /// Hands over all that waits, and what is to be known of what had to go before it.
    pub(crate) fn empty(&mut self) -> (Option<(u64, i64)>, VecDeque<Entry>) {
        self.totals = Totals::default();
        (self.passed.take(), std::mem::take(&mut self.entries))
    }

    /// Whether there is nothing to hand over.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.passed.is_none()
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
