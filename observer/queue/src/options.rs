//! What a queue is told when it is opened.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// How a queue behaves.
#[derive(Clone)]
pub struct Options {
    /// The queue's own directory; it is made if it is not there. `None`: nothing is ever written.
    pub dir: Option<PathBuf>,
    /// The bound of the files in `dir` that hold entries, in bytes; 8 KiB more say which are done. The oldest file goes first, and
    /// what it holds with it: a 32nd of the bound, of large bounds 8 MiB or a 256th, whichever is more. Each file is kept open.
    pub max_bytes: u64,
    /// How old an entry may become, from its `end_ms` on and by the wall clock: if that leaps forward by more, all there is goes.
    pub max_age: Duration,
    /// The bound of all bodies that are in memory only. Beyond it they go to disk, or the oldest is dropped where there is none.
    pub memory_bytes: u64,
    /// How long an entry may wait in memory before it goes to disk. Zero: every entry goes to disk at once.
    pub spill_after: Duration,
    /// When written bytes are made durable.
    pub fsync: Fsync,
    /// How long a failing disk is left alone before it is tried again.
    pub retry_after: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Called after each push, outside any lock. Not after `give_back`: who gives back waits before another try.
    pub notify: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// When written bytes are made durable. Without a power failure or a crash of the kernel none of them loses anything that was
/// written; a killed process loses only what was in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// With every entry that is written, before `push` returns. A power failure loses what was in memory.
    Always,
    /// So often, by [`Queue::tick`](crate::Queue::tick). A power failure loses this much more.
    Interval(Duration),
    /// When the kernel likes, on Linux within about 30 s. Entries count as durable once they are written.
    Never,
}

/// The time, so that tests can make it.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;

    /// A time that never goes back, since whenever.
    fn monotonic(&self) -> Duration;
}

impl Options {
    /// A queue in memory with the usual bounds.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: None,
            max_bytes: 1 << 30,
            max_age: Duration::from_hours(6),
            memory_bytes: 32 << 20,
            spill_after: Duration::from_secs(5),
            fsync: Fsync::Interval(Duration::from_secs(1)),
            retry_after: Duration::from_secs(10),
            clock,
            notify: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dir,
            max_bytes,
            max_age,
            memory_bytes,
            spill_after,
            fsync,
            retry_after,
            clock: _,
            notify: _,
        } = self;
        f.debug_struct("Options")
            .field("dir", dir)
            .field("max_bytes", max_bytes)
            .field("max_age", max_age)
            .field("memory_bytes", memory_bytes)
            .field("spill_after", spill_after)
            .field("fsync", fsync)
            .field("retry_after", retry_after)
            .finish_non_exhaustive()
    }
}
