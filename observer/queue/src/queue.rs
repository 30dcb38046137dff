//! The queue and its lock.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Cause, Entry, Options, Recovered, State, Stats, Totals, waiting::Waiting};

/// A bounded queue of one endpoint's entries. Shared by one who pushes and several who take.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
}

/// Why a queue cannot be opened or stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error("`{}` is in use by another process: give each agent and each endpoint a directory of its own", .dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A file or the directory failed.
    #[error("cannot {doing} `{}`", .path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

#[derive(Debug)]
struct Inner {
    options: Options,
    waiting: Waiting,
    /// The number of the next entry.
    next: u64,
    /// The number and the end of each entry that completes a window and is not durable yet.
    marks: VecDeque<(u64, i64)>,
    dropped: [Totals; Cause::ALL.len()],
    durable_end_ms: Option<i64>,
}

impl Queue {
    /// Opens the queue of a directory, and says what is in it.
    ///
    /// # Errors
    ///
    /// If another process has the directory open.
    pub fn open(options: Options) -> Result<(Self, Recovered), Error> {
        let inner = Inner {
            options,
            waiting: Waiting::default(),
            next: 1,
            marks: VecDeque::new(),
            dropped: [Totals::default(); Cause::ALL.len()],
            durable_end_ms: None,
        };
        Ok((Self { inner: Mutex::new(inner) }, Recovered::default()))
    }

    /// Adds an entry and gives its number. May wait for the disk.
    pub fn push(&self, entry: Entry) -> u64 {
        let mut inner = self.lock();
        let seq = inner.push(entry);
        self.announce(inner);
        seq
    }

    /// Hands out the oldest entry that is not handed out. May wait for the disk to read.
    pub fn take(&self) -> Option<Entry> {
        self.take_free(|_lane| true)
    }

    /// Hands out the oldest entry that is not handed out and whose lane is free. May wait for the disk to read.
    ///
    /// A lane's entries come in order as long as no second one is taken before the first is acknowledged or given back.
    pub fn take_free(&self, mut free: impl FnMut(u16) -> bool) -> Option<Entry> {
        self.lock().take(&mut free)
    }

    /// Forgets an entry that was delivered, or refused for good. Whether it was handed out.
    pub fn ack(&self, seq: u64) -> bool {
        self.lock().ack(seq)
    }

    /// Takes an entry back that was not delivered. It is handed out again before all later ones. Whether it was handed out.
    pub fn give_back(&self, seq: u64) -> bool {
        let mut inner = self.lock();
        let known = inner.waiting.give_back(seq);
        self.announce(inner);
        known
    }

    /// Does what is due: drops what is too old, writes what has waited for too long, syncs, tries a failing disk again. To be
    /// called about once a second. May wait for the disk.
    pub fn tick(&self) {
        self.lock().tick();
    }

    /// Writes everything that is not acknowledged to disk, handed out or not, and syncs it. What is pushed or acknowledged later
    /// still counts.
    ///
    /// # Errors
    ///
    /// If the disk fails. What was written stays.
    pub fn store_all(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The queue as it is now.
    pub fn stats(&self) -> Stats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, inner: MutexGuard<'_, Inner>) {
        let notify = inner.options.notify.clone();
        drop(inner);
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl Inner {
    fn push(&mut self, mut entry: Entry) -> u64 {
        let seq = self.next;
        self.next += 1;
        entry.seq = seq;
        if entry.last {
            self.marks.push_back((seq, entry.end_ms));
        }
        let (size, bound) = (entry.body.len() as u64, self.options.memory_bytes);
        while self.waiting.memory().bytes + size > bound {
            let dropped = if size > bound { None } else { self.waiting.drop_oldest() };
            let Some(dropped) = dropped else {
                let cause = if size > bound { Cause::TooLarge } else { Cause::MemoryFull };
                self.dropped[cause as usize] += entry.totals();
                return seq;
            };
            self.dropped[Cause::MemoryFull as usize] += dropped;
        }
        self.waiting.push(entry);
        seq
    }

    fn take(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Option<Entry> {
        self.drop_old();
        self.waiting.take(free)
    }

    fn ack(&mut self, seq: u64) -> bool {
        self.waiting.remove(seq)
    }

    fn tick(&mut self) {
        self.drop_old();
        self.note_durable();
    }

    fn drop_old(&mut self) {
        let age = i64::try_from(self.options.max_age.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.options.clock.wall_ms().saturating_sub(age);
        self.dropped[Cause::Age as usize] += self.waiting.drop_older(oldest);
    }

    /// Moves the durable end up to the first entry that could still be lost.
    fn note_durable(&mut self) {
        let pending = self.waiting.oldest().map_or(self.next, |entry| entry.seq);
        while let Some((_seq, end_ms)) = self.marks.pop_front_if(|(seq, _end_ms)| *seq < pending) {
            self.durable_end_ms = self.durable_end_ms.max(Some(end_ms));
        }
    }

    fn stats(&mut self) -> Stats {
        self.note_durable();
        Stats {
            memory: self.waiting.memory(),
            taken: self.waiting.taken(),
            oldest_end_ms: self.waiting.oldest().map(|entry| entry.end_ms),
            durable_end_ms: self.durable_end_ms,
            dropped: self.dropped,
            state: State::Memory,
            ..Stats::default()
        }
    }
}
