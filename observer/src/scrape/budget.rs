//! How many scraped series there may be.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the series of all targets against one limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A limit in series.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Takes room for one series. False if there is none.
    pub(super) fn take(&self) -> bool {
        self.used.fetch_update(Relaxed, Relaxed, |used| (used < self.limit).then_some(used + 1)).is_ok()
    }

    /// Gives room back.
    pub(super) fn release(&self, series: usize) {
        self.used.fetch_sub(series, Relaxed);
    }

    /// Series there are, and series there may be.
    pub(crate) fn used_of(&self) -> (usize, usize) {
        (self.used.load(Relaxed), self.limit)
    }
}
