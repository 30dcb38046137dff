//! The queue and its lock.

use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    Cause, Entry, Fsync, Options, Place, Recovered, Stats, Totals,
    door::{Directory, Door},
    flow::{Busy, Flow},
    porch::Porch,
    store::Failure,
};

/// A bounded queue of one endpoint's entries. Shared by one who pushes and several who take.
#[derive(Debug)]
pub struct Queue {
    /// Held while the disk is written and read.
    flow: Mutex<Flow>,
    /// Never held for long. Who has both locks took that of the flow first, or did not wait for it. That of `known` is the last.
    porch: Mutex<Porch>,
    memory_bytes: u64,
    /// What the flow had in memory when it was last let go.
    held_bytes: AtomicU64,
    /// The queue without the porch, as it was when somebody asked and nobody was at the disk, and what was handed over since.
    known: Mutex<Stats>,
    syncs_always: bool,
    /// One sync at a time: each says that all before it is durable, and leaves out what another has begun with.
    syncing: Mutex<()>,
    notify: Notify,
}

/// The disk is busy, or has to be asked: see [`Queue::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow;

struct Notify(Option<Arc<dyn Fn() + Send + Sync>>);

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
        source: std::io::Error,
    },
}

impl Queue {
    /// Opens the queue of a directory, and says what is in it. A directory that cannot be used for another reason than its lock makes
    /// no error: the queue works in memory, [says so](Stats::error), and tries again.
    ///
    /// # Errors
    ///
    /// If another process has the directory open.
    pub fn open(options: Options) -> Result<(Self, Recovered), Error> {
        let door = options.dir.clone().map(|dir| Arc::new(Directory::new(dir)) as Arc<dyn Door>);
        Self::through(door, options)
    }

    pub(crate) fn through(door: Option<Arc<dyn Door>>, options: Options) -> Result<(Self, Recovered), Error> {
        let notify = Notify(options.notify.clone());
        let dir = options.dir.clone().unwrap_or_default();
        let (memory_bytes, syncs_always) = (options.memory_bytes, options.fsync == Fsync::Always);
        let mut flow = Flow::new(door, options);
        match flow.open() {
            Err(Failure { source, .. }) if source.kind() == ErrorKind::WouldBlock => {
                Err(Error::Locked { dir })
            }
            // The flow remembers it, and what it can do without.
            Ok(()) | Err(_) => {
                let recovered = flow.recovered();
                let known = Mutex::new(flow.stats());
                let this = Self {
                    known,
                    porch: Mutex::new(Porch::new(flow.numbers())),
                    flow: Mutex::new(flow),
                    memory_bytes,
                    held_bytes: AtomicU64::new(0),
                    syncs_always,
                    syncing: Mutex::new(()),
                    notify,
                };
                Ok((this, recovered))
            }
        }
    }

    /// Adds an entry and gives its number. May wait for the disk.
    pub fn push(&self, entry: Entry) -> u64 {
        let seq = {
            let mut flow = self.lock();
            let porch = self.porch();
            let entry = porch.number(entry);
            self.hand_over(porch, &mut flow);
            let seq = entry.seq;
            flow.push(entry);
            self.held_bytes.store(flow.memory().bytes, Relaxed);
            seq
        };
        if self.syncs_always {
            // The statistics have what went wrong, and that the entry is not durable.
            _ = self.sync(false);
        }
        self.notify.call();
        seq
    }

    /// Adds an entry and gives its number, without waiting for the disk: what it has to take waits for [`Self::settle`]. Only with
    /// [`Fsync::Always`] it is [`Self::push`]: who wants to be sure of each entry waits for each.
    ///
    /// What comes while the disk does not answer is in memory too. When there is no more of that, the oldest of it goes.
    pub fn offer(&self, entry: Entry) -> u64 {
        if self.syncs_always {
            return self.push(entry);
        }
        let mut porch = self.porch();
        let entry = porch.number(entry);
        let (seq, size) = (entry.seq, entry.body.len() as u64);
        match self.flow.try_lock() {
            Ok(mut flow) if porch.is_empty() && flow.is_for_memory(size) => {
                flow.push(entry);
                self.held_bytes.store(flow.memory().bytes, Relaxed);
            }
            _ => {
                // Also where memory is full of what only the disk can take, what comes is not lost at once.
                let free = self.memory_bytes.saturating_sub(self.held_bytes.load(Relaxed));
                porch.push(entry, free.max(self.memory_bytes / 8));
            }
        }
        drop(porch);
        self.notify.call();
        seq
    }

    /// Whether something that was offered waits for [`Self::settle`].
    pub fn is_unsettled(&self) -> bool {
        !self.porch().is_empty()
    }

    /// Takes in what was offered and what has ended, writes to disk what has to go there, and reads from it what [may
    /// go](Self::take_free). May wait for the disk. Whether there is something that may go.
    pub fn settle(&self, mut free: impl FnMut(u16) -> bool) -> bool {
        self.with(|flow| flow.find(&mut free)).is_some()
    }

    /// As [`Self::take_free`], without waiting for the disk: not now, if it is busy or has to be asked. After [`Self::settle`] it
    /// is worth another try.
    ///
    /// # Errors
    ///
    /// If there may be such an entry, but not now.
    pub fn try_take_free(&self, mut free: impl FnMut(u16) -> bool) -> Result<Option<Entry>, NotNow> {
        let Ok(mut flow) = self.flow.try_lock() else { return Err(NotNow) };
        let porch = self.porch();
        if !porch.is_empty() {
            if !flow.is_quick(porch.totals().bytes) {
                return Err(NotNow);
            }
            self.hand_over(porch, &mut flow);
        }
        let taken = flow.take_quick(&mut free);
        self.held_bytes.store(flow.memory().bytes, Relaxed);
        taken.map_err(|Busy| NotNow)
    }

    /// As [`Self::ack`], without waiting for the disk: where it has to be asked that waits for [`Self::settle`].
    pub fn ack_soon(&self, seq: u64) {
        self.end_soon(seq, false);
    }

    /// As [`Self::give_back`], without waiting for the disk: where it has to be asked that waits for [`Self::settle`].
    pub fn give_back_soon(&self, seq: u64) {
        self.end_soon(seq, true);
    }

    fn end_soon(&self, seq: u64, again: bool) {
        let mut porch = self.porch();
        porch.end(seq, again);
        if let Ok(mut flow) = self.flow.try_lock()
            && flow.is_quick(porch.totals().bytes)
        {
            self.hand_over(porch, &mut flow);
            self.held_bytes.store(flow.memory().bytes, Relaxed);
        }
    }

    /// Hands out the oldest entry that is not handed out. May wait for the disk to read.
    pub fn take(&self) -> Option<Entry> {
        self.take_free(|_lane| true)
    }

    /// Hands out the oldest entry that is not handed out and whose lane is free. May wait for the disk to read.
    ///
    /// A lane's entries come in order as long as no second one is taken before the first is acknowledged or given back.
    pub fn take_free(&self, mut free: impl FnMut(u16) -> bool) -> Option<Entry> {
        self.with(|flow| flow.take(&mut free))
    }

    /// Forgets an entry that was delivered, or refused for good. Whether it was handed out.
    pub fn ack(&self, seq: u64) -> bool {
        self.lock().ack(seq)
    }

    /// Takes an entry back that was not delivered. It is handed out again before all later ones. Whether it was handed out.
    pub fn give_back(&self, seq: u64) -> bool {
        self.lock().give_back(seq)
    }

    /// Does what is due: drops what is too old, writes what has waited for too long, syncs, tries a failing disk again. To be
    /// called about once a second. May wait for the disk, without holding others up while it syncs.
    pub fn tick(&self) {
        let trial = self.lock().trial();
        if let Some(trial) = trial {
            // Without the lock: nothing else is asked of a disk that fails, so others need not wait for it.
            let tried = trial.run();
            self.lock().tried(tried);
        }
        self.with(Flow::tick);
        // The statistics have what went wrong.
        _ = self.sync(false);
    }

    /// Writes everything that is not acknowledged to disk, handed out or not, and syncs it, whatever the policy. What is pushed or
    /// acknowledged later still counts. Gives the sum of what is in memory only all the same: everything, without a directory.
    ///
    /// # Errors
    ///
    /// If the disk fails. What was written stays.
    pub fn store_all(&self) -> Result<Totals, Error> {
        let stored = self.with(Flow::store_all);
        stored.and_then(|()| self.sync(true)).map_err(Error::from)?;
        Ok(self.with(|flow| flow.memory()))
    }

    /// Where files were not as they should be, since the last call. More than 64 places are only [counted](Stats::damage). While the
    /// disk is busy nothing is said.
    pub fn damaged(&self) -> Vec<Place> {
        self.flow.try_lock().map(|mut flow| flow.damaged()).unwrap_or_default()
    }

    /// Whether it is known that there is nothing, handed out or not. While the disk is busy it is not.
    pub fn is_empty(&self) -> bool {
        self.flow.try_lock().is_ok_and(|flow| flow.is_empty() && self.porch().is_empty())
    }

    /// Whether the disk works and has room, below its bound, for all that is in memory only.
    pub fn has_room_for_all(&self) -> bool {
        self.with(|flow| flow.has_room_for_all())
    }

    /// The queue as it is now; while the disk is busy, as it was before, with what came since.
    pub fn stats(&self) -> Stats {
        let flow = self.flow.try_lock();
        // Nothing goes from one to the other meanwhile.
        let porch = self.porch();
        let mut known = self.known();
        if let Ok(mut flow) = flow {
            *known = flow.stats();
        }
        let mut stats = known.clone();
        drop(known);
        stats.memory += porch.totals();
        stats.dropped[Cause::MemoryFull as usize] += porch.dropped();
        stats.oldest_end_ms = [stats.oldest_end_ms, porch.oldest_end_ms()].into_iter().flatten().min();
        stats
    }

    fn sync(&self, all: bool) -> Result<(), Failure> {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.lock().due(all);
        let Some(due) = due else { return Ok(()) };
        // Without the lock: others go on while the disk is waited for.
        let synced = due.run();
        self.lock().synced(synced)
    }

    /// Does something with all that there is.
    fn with<R>(&self, then: impl FnOnce(&mut Flow) -> R) -> R {
        let mut flow = self.lock();
        self.hand_over(self.porch(), &mut flow);
        let result = then(&mut flow);
        self.held_bytes.store(flow.memory().bytes, Relaxed);
        result
    }

    /// The flow takes in what is on the porch, and nobody waits for the porch meanwhile.
    fn hand_over(&self, mut porch: MutexGuard<'_, Porch>, flow: &mut Flow) {
        let totals = porch.totals();
        let arrived = porch.empty();
        self.known().memory += totals;
        drop(porch);
        flow.enter(arrived);
    }

    fn known(&self) -> MutexGuard<'_, Stats> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn porch(&self) -> MutexGuard<'_, Porch> {
        self.porch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notify {
    fn call(&self) {
        if let Some(notify) = &self.0 {
            notify();
        }
    }
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Notify(..)" } else { "Notify" })
    }
}

impl From<Failure> for Error {
    fn from(Failure { doing, path, source }: Failure) -> Self {
        Self::Disk { doing, path, source }
    }
}
