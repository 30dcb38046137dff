//! What is queued.

use std::ops::{AddAssign, SubAssign};

use bytes::Bytes;

/// The body of one request, and what has to be known to send and to count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the queue. [`Queue::push`](crate::Queue::push) gives it; what stood there before does not matter.
    pub seq: u64,
    /// The protocol's number. The queue does not look at it.
    pub kind: u8,
    /// Which other entries it has to follow.
    pub lane: u16,
    /// The end of the newest window in it, in milliseconds since the Unix epoch.
    pub end_ms: i64,
    /// Whether, with it, all windows up to `end_ms` are in the queue as a whole.
    pub last: bool,
    /// Samples with one number.
    pub samples: u32,
    /// Samples that are native histograms.
    pub histograms: u32,
    /// Exemplars.
    pub exemplars: u32,
    /// What is sent. Shared, never copied, as long as it is in memory.
    pub body: Bytes,
}

/// Sums over entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of entries.
    pub entries: u64,
    /// Their bodies' bytes.
    pub bytes: u64,
    /// Their samples with one number.
    pub samples: u64,
    /// Their native histograms.
    pub histograms: u64,
    /// Their exemplars.
    pub exemplars: u64,
}

impl Entry {
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            entries: 1,
            bytes: self.body.len() as u64,
            samples: self.samples.into(),
            histograms: self.histograms.into(),
            exemplars: self.exemplars.into(),
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        let Self { entries, bytes, samples, histograms, exemplars } = self;
        *entries += other.entries;
        *bytes += other.bytes;
        *samples += other.samples;
        *histograms += other.histograms;
        *exemplars += other.exemplars;
    }
}

impl SubAssign for Totals {
    fn sub_assign(&mut self, other: Self) {
        let Self { entries, bytes, samples, histograms, exemplars } = self;
        *entries -= other.entries;
        *bytes -= other.bytes;
        *samples -= other.samples;
        *histograms -= other.histograms;
        *exemplars -= other.exemplars;
    }
}
