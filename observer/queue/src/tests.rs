mod damage;
mod disk;
mod faults;
mod memory;
mod model;
mod sham;
mod threads;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{Clock, Entry, Fsync, Options, Queue, Recovered, door::Door};

/// A clock that is set by hand.
#[derive(Default)]
struct Hand(AtomicI64);

impl Hand {
    fn set(&self, ms: i64) {
        self.0.store(ms, Relaxed);
    }

    fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Relaxed);
    }
}

impl Clock for Hand {
    fn wall_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed).unsigned_abs())
    }
}

/// An entry of ten bytes and ten samples that completes the window of that end.
fn entry(lane: u16, end_ms: i64) -> Entry {
    Entry {
        seq: 0,
        kind: 2,
        lane,
        end_ms,
        last: true,
        samples: 10,
        histograms: 1,
        exemplars: 2,
        body: Bytes::from(format!("{end_ms:010}")),
    }
}

/// Small bounds, everything to disk at once, and a clock that is set by hand.
fn options(clock: &Arc<Hand>) -> Options {
    Options {
        max_bytes: 32 * 1000,
        memory_bytes: 1000,
        spill_after: Duration::ZERO,
        fsync: Fsync::Interval(Duration::from_secs(1)),
        retry_after: Duration::from_secs(10),
        ..Options::new(Arc::clone(clock) as Arc<dyn Clock>)
    }
}

fn open(door: &Arc<impl Door + 'static>, options: &Options) -> (Queue, Recovered) {
    Queue::through(Some(Arc::clone(door) as Arc<dyn Door>), options.clone()).unwrap()
}

/// The ends of all that can be taken. It stays taken.
fn ends(queue: &Queue) -> Vec<i64> {
    std::iter::from_fn(|| queue.take()).map(|entry| entry.end_ms).collect()
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
