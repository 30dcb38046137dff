//! Making bytes durable, in three steps, so that the disk is waited for without the queue's lock.

use std::{sync::Arc, time::Duration};

use super::{Failure, Store};
use crate::{
    Fsync, done,
    door::{Door, File},
};

/// What has to be synced.
#[derive(Debug)]
pub(crate) struct Due {
    door: Arc<dyn Door>,
    /// Files with their numbers and how long they were.
    files: Vec<(u64, Arc<dyn File>, u64)>,
    done: Option<Arc<dyn File>>,
    names: bool,
    /// The number that the entries in it stay below.
    written: u64,
}

/// How that went.
#[derive(Debug)]
pub(crate) struct Synced {
    due: Due,
    calls: u64,
    result: Result<(), Failure>,
}

impl Store {
    /// What is due by the policy, or all that is not synced.
    pub(crate) fn due(&mut self, now: Duration, all: bool) -> Option<Due> {
        let due = match self.fsync {
            Fsync::Always => true,
            Fsync::Interval(every) => now.saturating_sub(self.synced_at) >= every,
            Fsync::Never => false,
        };
        if !all && !due {
            return None;
        }
        self.synced_at = now;
        let unsynced = self.segments.iter().filter(|segment| segment.unsynced);
        let files: Vec<_> =
            unsynced.map(|segment| (segment.id, Arc::clone(&segment.file), segment.len)).collect();
        let done = self.done.file.clone().filter(|_file| self.done.unsynced);
        let names = self.names_unsynced;
        (!files.is_empty() || done.is_some() || names).then(|| {
            self.done.unsynced = false;
            self.names_unsynced = false;
            Due { door: Arc::clone(&self.door), files, done, names, written: self.written }
        })
    }

    /// Takes in how a sync went.
    pub(crate) fn synced(&mut self, synced: Synced, now: Duration) -> Result<(), Failure> {
        let Synced { due, calls, result } = synced;
        self.counts.fsyncs += calls;
        match result {
            Ok(()) => {
                for (id, _file, len) in &due.files {
                    if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == *id) {
                        segment.unsynced = segment.len > *len;
                    }
                }
                for (id, _file, _len) in &due.files {
                    self.check_linked(*id, now)?;
                }
                self.synced = self.synced.max(due.written);
                Ok(())
            }
            Err(failure) => {
                // What the kernel could not write it forgets, and says so once. Another call would succeed, with nothing written.
                self.distrust(due.written);
                self.names_unsynced |= due.names;
                self.done.unsynced |= due.done.is_some();
                Err(self.fail(failure, now))
            }
        }
    }

    /// What is not synced, up to that number, cannot be relied on, whatever a later sync says.
    pub(super) fn distrust(&mut self, to: u64) {
        let (from, end) = self.suspect.unwrap_or((self.synced, to));
        self.suspect = Some((from.min(self.synced), end.max(to)));
        self.writable = false;
        for segment in &mut self.segments {
            segment.unsynced = false;
        }
    }

    /// Whether an entry on disk is durable.
    pub(crate) fn is_durable(&self, seq: u64) -> bool {
        seq < self.synced && self.suspect.is_none_or(|(first, end)| seq < first || seq >= end)
    }

    /// The first number of an unread entry that may not be durable.
    pub(crate) fn first_unread_not_durable(&self) -> Option<u64> {
        let unread = self.oldest_seq()?;
        let suspect =
            self.suspect.filter(|(_first, end)| unread < *end).map(|(first, _end)| first.max(unread));
        let unsynced = (self.synced < self.written).then(|| self.synced.max(unread));
        suspect.into_iter().chain(unsynced).min()
    }
}

impl Due {
    /// Waits for the disk.
    pub(crate) fn run(self) -> Synced {
        let mut calls = 0;
        let result = self.sync(&mut calls);
        Synced { due: self, calls, result }
    }

    fn sync(&self, calls: &mut u64) -> Result<(), Failure> {
        let failure = |name: &str, source| Failure { doing: "sync", path: self.door.path(name), source };
        for (id, file, _len) in &self.files {
            *calls += 1;
            file.sync().map_err(|source| failure(&super::name(*id), source))?;
        }
        if let Some(file) = &self.done {
            *calls += 1;
            file.sync().map_err(|source| failure(done::NAME, source))?;
        }
        if self.names {
            *calls += 1;
            self.door.sync().map_err(|source| failure("", source))?;
        }
        Ok(())
    }
}
