//! How many scraped series there may be.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the series of all targets against one limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    per_target: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Limits in series: of all targets, and of each.
    pub(crate) fn new(limit: usize, per_target: usize) -> Self {
        Self { limit, per_target, used: AtomicUsize::new(0) }
    }

    /// Takes room for one more series of a target that holds so many. False if there is none.
    pub(super) fn take(&self, held: usize) -> bool {
        held < self.per_target
            && self
                .used
                .fetch_update(Relaxed, Relaxed, |used| (used < self.limit).then_some(used + 1))
                .is_ok()
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
