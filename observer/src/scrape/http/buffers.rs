//! Memory for bodies, which all targets share: one that waits for its next scrape holds none.

use std::{
    ops::{Deref, Range},
    sync::{Mutex, PoisonError},
};

/// Buffers that are kept: more than there are scrapes under way at one time, unless targets are slow to send.
const KEPT: usize = 16;

/// The most bytes that are kept in all of them together.
const KEPT_BYTES: usize = 8 << 20;

/// Empty buffers that keep their memory.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// The smallest free buffer with room for `expected` bytes, or else the largest, or else a new one without memory.
    pub(super) fn take(&self, expected: usize) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= expected;
        let each = || free.iter().enumerate();
        let best = each()
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, buffer)| buffer.capacity())
            .or_else(|| each().max_by_key(|(_, buffer)| buffer.capacity()));
        match best.map(|(at, _)| at) {
            Some(at) => free.swap_remove(at),
            None => Vec::new(),
        }
    }

    /// Keeps the memory for others, as far as there is room.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 {
            return;
        }
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.capacity() == 0 {
            free.reserve_exact(KEPT);
        }
        let held: usize = free.iter().map(Vec::capacity).sum();
        if free.len() < KEPT && held + buffer.capacity() <= KEPT_BYTES {
            free.push(buffer);
        }
    }
}

/// A body in a buffer of the pool: empty until it has come whole.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Body {
    /// What was read, the head included.
    pub(super) buffer: Vec<u8>,
    pub(super) range: Range<usize>,
}

impl Body {
    /// Gives the memory back.
    pub(super) fn release(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(self).buffer);
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacities(buffers: &Buffers) -> Vec<usize> {
        buffers.free.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn the_buffer_that_fits_best_is_taken() {
        let buffers = Buffers::default();
        for size in [100, 1000, 10] {
            buffers.give(Vec::with_capacity(size));
        }
        for (expected, capacity) in [(50, 100), (50, 1000), (50, 10), (50, 0)] {
            assert_eq!(buffers.take(expected).capacity(), capacity);
        }
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let buffers = Buffers::default();
        buffers.give(Vec::new());
        buffers.give(Vec::with_capacity(KEPT_BYTES + 1));
        assert!(capacities(&buffers).is_empty());
        buffers.give(vec![1; KEPT_BYTES - 10]);
        buffers.give(Vec::with_capacity(11));
        assert_eq!(capacities(&buffers), [KEPT_BYTES - 10]);
        assert!(buffers.take(0).is_empty());
        for _ in 0..KEPT + 1 {
            buffers.give(Vec::with_capacity(10));
        }
        assert_eq!(capacities(&buffers).len(), KEPT);
    }
}
