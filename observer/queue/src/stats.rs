//! What a queue says about itself.

use crate::{Damage, Totals};

/// A queue at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that are in memory only.
    pub memory: Totals,
    /// Entries that are on disk.
    pub disk: Totals,
    /// How many of both are handed out.
    pub taken: u64,
    /// The bytes of all files.
    pub file_bytes: u64,
    /// The oldest `end_ms` of what is queued. Where it is on disk and was not read yet it may be that of the entry before.
    pub oldest_end_ms: Option<i64>,
    /// Every window up to here is delivered, or on disk and synced, as far as no bound has dropped it since.
    pub durable_end_ms: Option<i64>,
    /// What was dropped, by [`Cause`].
    pub dropped: [Totals; Cause::ALL.len()],
    /// Bytes written to disk, since the queue was opened.
    pub written_bytes: u64,
    /// Calls to `fsync`.
    pub fsyncs: u64,
    /// Calls that the disk has failed.
    pub disk_errors: u64,
    /// Where new entries go.
    pub state: State,
    /// What the disk said last, with the path, while it is failing.
    pub error: Option<String>,
    /// What was found on disk.
    pub recovered: Recovered,
    /// What was not as it should be in the files, when they were found and since.
    pub damage: Damage,
}

/// Where new entries go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// To memory: the receiver keeps up, or there is no directory.
    #[default]
    Memory,
    /// To disk, behind what waits there.
    Disk,
    /// To memory, for the disk does not take them. It is tried again.
    DiskFailing,
}

/// Why an entry was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// The files were over their bound.
    DiskFull,
    /// The bodies in memory were over their bound, and there was no disk to take them.
    MemoryFull,
    /// It was too old.
    Age,
    /// It does not fit at all.
    TooLarge,
    /// Its checksum is wrong.
    Damaged,
    /// The disk did not give it back.
    Unreadable,
}

/// What was found on disk when the queue was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The entries that are delivered now.
    pub totals: Totals,
    /// The newest `end_ms` that an earlier process had queued, as far as it is known.
    pub newest_end_ms: Option<i64>,
    /// What was not as it should be. [`Queue::damaged`](crate::Queue::damaged) says where.
    pub damage: Damage,
}

impl Cause {
    /// Each of them, in the order of [`Stats::dropped`].
    pub const ALL: [Self; 6] =
        [Self::DiskFull, Self::MemoryFull, Self::Age, Self::TooLarge, Self::Damaged, Self::Unreadable];

    /// Its name as a label's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::MemoryFull => "memory_full",
            Self::Age => "age",
            Self::TooLarge => "too_large",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Stats {
    /// What was dropped for that cause.
    #[must_use]
    pub const fn dropped(&self, cause: Cause) -> Totals {
        self.dropped[cause as usize]
    }
}
