//! Memory for bodies, which all targets share: one that waits for its next scrape holds none.

use std::{
    ops::{Deref, Range},
    sync::{Arc, Mutex, PoisonError},
};

use crate::telemetry::{Telemetry, set_count};

/// Empty buffers that keep their memory.
#[derive(Debug)]
pub(in crate::scrape) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    /// How many are kept, and bytes in all of them together.
    kept: usize,
    kept_bytes: usize,
    telemetry: Arc<Telemetry>,
}

impl Buffers {
    pub(in crate::scrape) fn new(kept: usize, kept_bytes: usize, telemetry: &Arc<Telemetry>) -> Self {
        set_count(&telemetry.body_buffers_limit, kept);
        set_count(&telemetry.body_buffer_limit_bytes, kept_bytes);
        let free = Mutex::new(Vec::with_capacity(kept));
        Self { free, kept, kept_bytes, telemetry: Arc::clone(telemetry) }
    }

    /// The smallest free buffer with room for `expected` bytes, or else the largest, or else a new one without memory.
    pub(super) fn take(&self, expected: usize) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= expected;
        let each = || free.iter().enumerate();
        let best = each()
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, buffer)| buffer.capacity())
            .or_else(|| each().max_by_key(|(_, buffer)| buffer.capacity()));
        let Some(at) = best.map(|(at, _)| at) else {
            self.telemetry.body_buffer_misses.inc();
            return Vec::new();
        };
        let buffer = free.swap_remove(at);
        self.note(&free);
        buffer
    }

    /// Keeps the memory for others, as far as there is room.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 {
            return;
        }
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = free.iter().map(Vec::capacity).sum();
        if free.len() < self.kept && held + buffer.capacity() <= self.kept_bytes {
            free.push(buffer);
            self.note(&free);
        }
    }

    fn note(&self, free: &[Vec<u8>]) {
        set_count(&self.telemetry.body_buffers_free, free.len());
        set_count(&self.telemetry.body_buffer_free_bytes, free.iter().map(Vec::capacity).sum());
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

    const KEPT: usize = 16;
    const KEPT_BYTES: usize = 8 << 20;

    fn buffers() -> (Buffers, Arc<Telemetry>) {
        let telemetry = Telemetry::new();
        (Buffers::new(KEPT, KEPT_BYTES, &telemetry), telemetry)
    }

    fn capacities(buffers: &Buffers) -> Vec<usize> {
        buffers.free.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn the_buffer_that_fits_best_is_taken() {
        let (buffers, telemetry) = buffers();
        for size in [100, 1000, 10] {
            buffers.give(Vec::with_capacity(size));
        }
        for (expected, capacity) in [(50, 100), (50, 1000), (50, 10), (50, 0)] {
            assert_eq!(buffers.take(expected).capacity(), capacity);
        }
        assert_eq!((telemetry.body_buffer_misses.get(), telemetry.body_buffers_free.get()), (1, 0));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let (buffers, telemetry) = buffers();
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
        let bytes = capacities(&buffers).iter().sum::<usize>();
        let told = (&telemetry.body_buffers_free, &telemetry.body_buffer_free_bytes);
        assert_eq!((told.0.get(), told.1.get()), (KEPT as i64, bytes as i64));
    }
}
