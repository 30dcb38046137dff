//! What all targets have together, and how much it may be.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::shown::Shown;

/// Counts series and their memory, of all targets, against limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    per_target: usize,
    bytes_limit: usize,
    series: AtomicUsize,
    used: AtomicUsize,
    reserved: AtomicUsize,
    exemplars_limit: usize,
    exemplars: AtomicUsize,
    /// Which families they show.
    pub(super) shown: Shown,
}

/// Why a series is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are as many as there may be, of all targets or of this one.
    Series,
    /// Those there are have all the memory there is for them.
    Memory,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// In use.
    pub(crate) used: usize,
    /// Taken from the system.
    pub(crate) reserved: usize,
}

impl Budget {
    /// Limits in series, of all targets and of each, and in bytes.
    pub(crate) fn new(limit: usize, per_target: usize, bytes_limit: usize) -> Self {
        let (series, used, reserved, exemplars_limit, exemplars, shown) = Default::default();
        Self { limit, per_target, bytes_limit, series, used, reserved, exemplars_limit, exemplars, shown }
    }

    /// As it is, with so many exemplars of all targets; without this there are none.
    pub(crate) fn with_exemplars(self, limit: usize) -> Self {
        Self { exemplars_limit: limit, ..self }
    }

    /// Takes room for one more series of a target that holds so many, and for so many bytes, which count until
    /// [`Self::account`] says better.
    pub(super) fn take(&self, held: usize, bytes: usize) -> Result<(), Refused> {
        if held >= self.per_target {
            return Err(Refused::Series);
        }
        let more = |limit, by| move |n: usize| n.checked_add(by).filter(|sum| *sum <= limit);
        let reserved = &self.reserved;
        reserved
            .fetch_update(Relaxed, Relaxed, more(self.bytes_limit, bytes))
            .map_err(|_| Refused::Memory)?;
        self.series.fetch_update(Relaxed, Relaxed, more(self.limit, 1)).map_err(|_| {
            reserved.fetch_sub(bytes, Relaxed);
            Refused::Series
        })?;
        Ok(())
    }

    /// Whether a target that holds so many may have one more.
    pub(super) fn has_room(&self, held: usize) -> bool {
        held < self.per_target
            && self.series.load(Relaxed) < self.limit
            && self.reserved.load(Relaxed) < self.bytes_limit
    }

    /// Gives room for series back. Their memory is told by [`Self::account`].
    pub(super) fn release(&self, series: usize) {
        self.series.fetch_sub(series, Relaxed);
    }

    /// Whether exemplars are kept at all.
    pub(super) fn keeps_exemplars(&self) -> bool {
        self.exemplars_limit > 0
    }

    /// Takes room for one more exemplar. False if there is none.
    pub(super) fn take_exemplar(&self) -> bool {
        let more = |n: usize| (n < self.exemplars_limit).then_some(n + 1);
        self.exemplars.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Gives room for exemplars back.
    pub(super) fn release_exemplars(&self, exemplars: usize) {
        self.exemplars.fetch_sub(exemplars, Relaxed);
    }

    /// Exemplars there are, and exemplars there may be.
    pub(crate) fn exemplars_of(&self) -> (usize, usize) {
        (self.exemplars.load(Relaxed), self.exemplars_limit)
    }

    /// A target has other memory than before.
    pub(super) fn account(&self, before: Memory, now: Memory) {
        // Sums of differences wrap, and come out right.
        self.used.fetch_add(now.used.wrapping_sub(before.used), Relaxed);
        self.reserved.fetch_add(now.reserved.wrapping_sub(before.reserved), Relaxed);
    }

    /// Series there are, and series there may be.
    pub(crate) fn used_of(&self) -> (usize, usize) {
        (self.series.load(Relaxed), self.limit)
    }

    /// Memory there is, and how much may be reserved.
    pub(crate) fn memory_of(&self) -> (Memory, usize) {
        let (used, reserved) = (self.used.load(Relaxed), self.reserved.load(Relaxed));
        (Memory { used, reserved }, self.bytes_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses_and_room_that_comes_back_is_taken_again() {
        let budget = Budget::new(2, 2, 100);
        assert_eq!(budget.take(2, 1), Err(Refused::Series));
        assert_eq!(budget.take(0, 101), Err(Refused::Memory));
        assert_eq!(budget.take(0, 60), Ok(()));
        assert_eq!(budget.take(0, 60), Err(Refused::Memory));
        budget.account(Memory { used: 0, reserved: 60 }, Memory { used: 20, reserved: 30 });
        assert_eq!(budget.memory_of(), (Memory { used: 20, reserved: 30 }, 100));
        assert_eq!(budget.take(1, 60), Ok(()));
        assert_eq!(budget.take(0, 0), Err(Refused::Series));
        assert!(!budget.has_room(0));
        budget.release(1);
        assert!(budget.has_room(1) && !budget.has_room(2));
        assert_eq!(budget.used_of(), (1, 2));
    }

    #[test]
    fn exemplars_have_a_limit_of_their_own() {
        let budget = Budget::new(1, 1, 1);
        assert!(!budget.keeps_exemplars() && !budget.take_exemplar());
        let budget = budget.with_exemplars(2);
        assert!(budget.keeps_exemplars() && budget.take_exemplar() && budget.take_exemplar());
        assert!(!budget.take_exemplar());
        budget.release_exemplars(1);
        assert_eq!(budget.exemplars_of(), (1, 2));
    }
}
