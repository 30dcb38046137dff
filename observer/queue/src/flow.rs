//! Which entry goes where: memory, disk, out, or overboard.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    Cause, Entry, Harm, Options, Place, Recovered, State, Stats, Totals,
    done::Done,
    door::Door,
    porch::Arrived,
    record::BODY,
    store::{Due, Failure, Store, Synced},
    trial::{Trial, Tried},
    waiting::{Home, Waiting},
};

#[derive(Debug)]
pub(crate) struct Flow {
    options: Options,
    waiting: Waiting,
    door: Option<Arc<dyn Door>>,
    /// `None` without a directory, or as long as it cannot be read.
    store: Option<Store>,
    closed: Option<Closed>,
    open_errors: u64,
    /// The number of this process' first entry, and one above the newest that came here.
    first: u64,
    next: u64,
    /// The number of the next entry.
    numbers: Arc<AtomicU64>,
    /// The number and the end of each entry that completes a window and is not durable yet.
    marks: VecDeque<(u64, i64)>,
    dropped: [Totals; Cause::ALL.len()],
    durable_end_ms: Option<i64>,
    newest_end_ms: Option<i64>,
    recovered: Recovered,
}

/// Why there is no store.
#[derive(Debug)]
struct Closed {
    says: String,
    retry_at: Duration,
}

/// Something that only the disk can do.
#[derive(Debug)]
pub(crate) struct Busy;

/// What became of a search in memory.
enum Look {
    /// The number of the entry that may go.
    Found(u64),
    /// None may go now.
    Nothing,
    /// The next is on disk.
    Unread,
}

/// How many entries are passed over in search for a lane that is free.
const AHEAD: usize = 32;

impl Flow {
    pub(crate) fn new(door: Option<Arc<dyn Door>>, options: Options) -> Self {
        // Numbers rise from one process to the next even if nothing is left of the first.
        let now_ms = options.clock.wall_ms().max(0).unsigned_abs();
        let first = (now_ms << 20).max(1);
        Self {
            options,
            waiting: Waiting::default(),
            door,
            store: None,
            closed: None,
            open_errors: 0,
            first,
            next: first,
            numbers: Arc::new(first.into()),
            marks: VecDeque::new(),
            dropped: [Totals::default(); Cause::ALL.len()],
            durable_end_ms: None,
            newest_end_ms: None,
            recovered: Recovered::default(),
        }
    }

    /// Opens the directory, if there is one and it is not open.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        let Some(door) = self.door.clone().filter(|_door| self.store.is_none()) else { return Ok(()) };
        self.opened(&door, Store::open(&door, &self.options))
    }

    /// Takes in how a directory was opened.
    fn opened(
        &mut self,
        door: &Arc<dyn Door>,
        opened: Result<(Store, Recovered), Failure>,
    ) -> Result<(), Failure> {
        let opened = opened.and_then(|(store, recovered)| self.take_over(door, store, recovered));
        self.closed = opened.as_ref().err().map(|failure| {
            self.open_errors += 1;
            Closed { says: failure.to_string(), retry_at: self.now() + self.options.retry_after }
        });
        opened
    }

    fn take_over(
        &mut self,
        door: &Arc<dyn Door>,
        mut store: Store,
        mut recovered: Recovered,
    ) -> Result<(), Failure> {
        let higher = self.first.max(store.next());
        // Unless there is an entry that has its number.
        if self.numbers.compare_exchange(self.first, higher, Relaxed, Relaxed).is_ok() {
            (self.first, self.next) = (higher, higher);
        }
        if store.next() > self.first {
            // The clock went back, and the directory could not be read at first.
            let aside = store.set_all_aside()?;
            (store, recovered) = Store::open(door, &self.options)?;
            aside.into_iter().for_each(|path| store.found.note(path, Harm::Foreign { version: None }));
            recovered.damage = store.found.damage;
        }
        self.newest_end_ms = self.newest_end_ms.max(recovered.newest_end_ms);
        self.recovered = recovered;
        self.store = Some(store);
        Ok(())
    }

    /// What gives entries their numbers.
    pub(crate) fn numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.numbers)
    }

    /// Whether the disk is not asked for an entry of that size.
    pub(crate) fn is_for_memory(&self, size: u64) -> bool {
        !self.is_for_disk(size)
    }

    /// Whether taking in entries of that size in all, and the ends of others, asks nothing of the disk.
    pub(crate) fn is_quick(&self, size: u64) -> bool {
        self.is_for_memory(size) && !self.has_files()
    }

    fn has_files(&self) -> bool {
        self.store.as_ref().is_some_and(Store::has_files)
    }

    /// Takes in what came meanwhile.
    pub(crate) fn enter(&mut self, Arrived { entries, passed, ended }: Arrived) {
        for (seq, again) in ended {
            if again {
                self.give_back(seq)
            } else {
                self.ack(seq)
            };
        }
        if let Some((seq, end_ms)) = passed {
            self.marks.push_back((seq, end_ms));
            self.newest_end_ms = self.newest_end_ms.max(Some(end_ms));
            self.next = seq + 1;
        }
        entries.into_iter().for_each(|entry| self.push(entry));
    }

    /// Takes in an entry that has its number, the highest of all.
    pub(crate) fn push(&mut self, entry: Entry) {
        let seq = entry.seq;
        self.next = seq + 1;
        if entry.last {
            self.marks.push_back((seq, entry.end_ms));
        }
        self.newest_end_ms = self.newest_end_ms.max(Some(entry.end_ms));
        let Options { max_bytes, memory_bytes, .. } = self.options;
        let size = entry.body.len() as u64;
        let fits = if self.door.is_some() { Store::fits(size, max_bytes) } else { size <= memory_bytes };
        if !fits || size > BODY as u64 {
            self.dropped[Cause::TooLarge as usize] += entry.totals();
            return;
        }
        if self.is_for_disk(size) && self.spill().is_ok() && self.write(&entry, false).is_ok() {
            return;
        }
        while self.waiting.memory().bytes + size > memory_bytes {
            let dropped = if size > memory_bytes { None } else { self.waiting.drop_oldest() };
            self.dropped[Cause::MemoryFull as usize] += dropped.unwrap_or_else(|| entry.totals());
            if dropped.is_none() {
                return;
            }
        }
        self.waiting.push(entry, self.now());
    }

    /// Whether a new entry goes to disk, and all before it.
    fn is_for_disk(&self, size: u64) -> bool {
        self.store.as_ref().is_some_and(|store| {
            let full = self.waiting.memory().bytes + size > self.options.memory_bytes;
            store.works()
                && (full
                    || store.unread().entries > 0
                    || self.options.spill_after.is_zero()
                    || self.is_stale())
        })
    }

    /// Whether an entry has waited in memory for too long.
    fn is_stale(&self) -> bool {
        let since = self.waiting.oldest_since();
        since.is_some_and(|since| self.now().saturating_sub(since) >= self.options.spill_after)
    }

    /// Writes what is in memory only, oldest first.
    fn spill(&mut self) -> Result<(), Failure> {
        while let Some((entry, held)) = self.waiting.first_in_memory() {
            let entry = entry.clone();
            let file = self.write(&entry, held)?;
            self.waiting.written(file);
        }
        Ok(())
    }

    /// Writes one entry, for which older ones may have to go.
    fn write(&mut self, entry: &Entry, held: bool) -> Result<u64, Failure> {
        let now = self.now();
        let Some(store) = &mut self.store else { return Ok(0) };
        while let Some(file) = store.in_the_way(entry.body.len() as u64) {
            self.dropped[Cause::DiskFull as usize] += self.waiting.drop_file(file);
            store.drop_file(file);
        }
        store.append(entry, held, now)
    }

    pub(crate) fn take(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Option<Entry> {
        self.find(free).and_then(|seq| self.waiting.take(seq))
    }

    /// The oldest entry that may go, in memory by now.
    pub(crate) fn find(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Option<u64> {
        self.drop_old();
        let (oldest_ms, now) = (self.oldest_ms(), self.now());
        loop {
            let store = match self.look(free) {
                Look::Found(seq) => return Some(seq),
                Look::Nothing => return None,
                Look::Unread => self.store.as_mut(),
            };
            match store.map(|store| (store.read(oldest_ms, now), store.unread().entries)) {
                Some((Some((entry, file)), _left)) => self.waiting.loaded(entry, file),
                // Later ones must not overtake what cannot be read now.
                Some((None, 1..)) | None => return None,
                Some((None, 0)) => {}
            }
        }
    }

    /// As [`Self::take`], unless the disk is needed for it. What is too old is dropped when it is asked.
    pub(crate) fn take_quick(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Result<Option<Entry>, Busy> {
        if !self.has_files() {
            self.drop_old();
        }
        match self.look(free) {
            Look::Found(seq) => Ok(self.waiting.take(seq)),
            Look::Nothing => Ok(None),
            Look::Unread => Err(Busy),
        }
    }

    /// Looks for the oldest entry that may go among those in memory.
    fn look(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Look {
        loop {
            // A directory that could be read only late has older ones than those looked at.
            let unread = self.store.as_ref().and_then(Store::oldest_seq);
            let before = unread.unwrap_or(u64::MAX);
            if let Some(seq) = self.waiting.find_free(before, free) {
                return Look::Found(seq);
            }
            if self.waiting.passed_over(before) >= AHEAD {
                return Look::Nothing;
            }
            if unread.is_some() {
                return Look::Unread;
            }
            if !self.waiting.advance() {
                return Look::Nothing;
            }
        }
    }

    pub(crate) fn ack(&mut self, seq: u64) -> bool {
        let slot = self.waiting.remove(seq);
        if let Some(slot) = &slot {
            // First: a file that is gone before it is known to be done counts as missing.
            self.note_done(false).unwrap_or_default();
            self.release(slot.home);
        }
        slot.is_some()
    }

    pub(crate) fn give_back(&mut self, seq: u64) -> bool {
        let home = self.waiting.give_back(seq);
        if home == Some(Home::Dropped)
            && let Some(slot) = self.waiting.remove(seq)
        {
            self.dropped[Cause::DiskFull as usize] += slot.entry.totals();
        }
        home.is_some()
    }

    /// What is to be tried again now, for the disk has failed at it.
    pub(crate) fn trial(&mut self) -> Option<Trial> {
        let now = self.now();
        if self.closed.as_ref().is_some_and(|closed| now >= closed.retry_at) {
            return self.door.clone().map(|door| Trial::Open(door, self.options.clone()));
        }
        self.store.as_mut()?.trial(now, false).map(Trial::Probe)
    }

    /// Takes in how that went.
    pub(crate) fn tried(&mut self, tried: Tried) {
        match tried {
            // If it was not opened otherwise meanwhile. It stays closed if that fails, and says why.
            Tried::Opened(door, opened) if self.store.is_none() => {
                self.opened(&door, *opened).unwrap_or_default();
            }
            Tried::Opened(..) => {}
            Tried::Probed(result) => {
                let now = self.now();
                if let Some(store) = &mut self.store {
                    store.probed(result, now);
                }
            }
        }
    }

    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.drop_old();
        if self.is_stale() && self.store.as_ref().is_some_and(Store::works) {
            // What could not be written stays in memory.
            self.spill().unwrap_or_default();
        }
        self.note_done(false).unwrap_or_default();
        if let Some(store) = &mut self.store {
            store.tidy(now);
        }
        self.note_durable();
    }

    pub(crate) fn store_all(&mut self) -> Result<(), Failure> {
        self.open()?;
        let now = self.now();
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(probe) = store.trial(now, true) {
            store.probed(probe.run(), now);
        }
        self.spill()?;
        self.note_done(true)
    }

    pub(crate) fn has_room_for_all(&self) -> bool {
        let memory = self.waiting.memory();
        self.store.as_ref().is_some_and(|store| store.works() && store.has_room(memory))
    }

    pub(crate) fn due(&mut self, all: bool) -> Option<Due> {
        let now = self.now();
        self.store.as_mut()?.due(now, all)
    }

    pub(crate) fn synced(&mut self, synced: Synced) -> Result<(), Failure> {
        let now = self.now();
        self.store.as_mut().map_or(Ok(()), |store| store.synced(synced, now))
    }

    pub(crate) fn is_empty(&self) -> bool {
        let unread = self.store.as_ref().map_or(0, |store| store.unread().entries);
        self.waiting.memory().entries + self.waiting.disk().entries + unread == 0
    }

    pub(crate) fn memory(&self) -> Totals {
        self.waiting.memory()
    }

    pub(crate) fn damaged(&mut self) -> Vec<Place> {
        self.store.as_mut().map(|store| store.found.take()).unwrap_or_default()
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.recovered.clone()
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.note_durable();
        let counts = self.store.as_ref().map(|store| store.counts).unwrap_or_default();
        let unread = self.store.as_ref().map(Store::unread).unwrap_or_default();
        let mut disk = self.waiting.disk();
        disk += unread;
        let mut dropped = self.dropped;
        dropped.iter_mut().zip(counts.dropped).for_each(|(sum, more)| *sum += more);
        let says = match (&self.store, &self.closed) {
            (Some(store), _) => store.says(),
            (None, closed) => closed.as_ref().map(|closed| closed.says.as_str()),
        };
        let state = match says {
            Some(_) => State::DiskFailing,
            None if self.is_for_disk(0) => State::Disk,
            None => State::Memory,
        };
        let front = self.waiting.front().map(|slot| slot.entry.end_ms);
        let on_disk = self.store.as_ref().and_then(Store::oldest_end_ms);
        let tail = self.waiting.tail().map(|entry| entry.end_ms);
        Stats {
            memory: self.waiting.memory(),
            disk,
            taken: self.waiting.taken(),
            file_bytes: self.store.as_ref().map_or(0, Store::file_bytes),
            oldest_end_ms: front.chain(on_disk).chain(tail).min(),
            durable_end_ms: self.durable_end_ms,
            dropped,
            written_bytes: counts.written_bytes,
            fsyncs: counts.fsyncs,
            disk_errors: counts.errors + self.open_errors,
            state,
            error: says.map(str::to_owned),
            recovered: self.recovered.clone(),
            damage: self.store.as_ref().map(|store| store.found.damage).unwrap_or_default(),
        }
    }

    fn release(&mut self, home: Home) {
        if let (Home::Disk(file), Some(store)) = (home, &mut self.store) {
            store.release(file);
        }
    }

    fn drop_old(&mut self) {
        let oldest_ms = self.oldest_ms();
        while let Some(slot) = self.waiting.pop_older(oldest_ms) {
            self.dropped[Cause::Age as usize] += slot.entry.totals();
            self.release(slot.home);
        }
        if let Some(store) = &mut self.store {
            store.drop_older(oldest_ms);
        }
    }

    fn note_done(&mut self, always: bool) -> Result<(), Failure> {
        let now = self.now();
        let Some(store) = self.store.as_mut().filter(|store| always || store.has_files()) else {
            return Ok(());
        };
        let front = self.waiting.front().map(|slot| slot.entry.seq);
        let done: Done = store.done(front, self.newest_end_ms);
        store.note_done(done, now)
    }

    /// Moves the durable end up to the first entry that could still be lost.
    fn note_durable(&mut self) {
        let on_disk = |seq| self.store.as_ref().is_some_and(|store| store.is_durable(seq));
        let front = self.waiting.front().find(|slot| match slot.home {
            Home::Memory | Home::Dropped => true,
            Home::Disk(_file) => !on_disk(slot.entry.seq),
        });
        let front = front.map(|slot| slot.entry.seq);
        let tail = self.waiting.tail().map(|entry| entry.seq);
        let unread = self.store.as_ref().and_then(Store::first_unread_not_durable);
        let pending = [front, unread, tail].into_iter().flatten().min().unwrap_or(self.next);
        while let Some((_seq, end_ms)) = self.marks.pop_front_if(|(seq, _end_ms)| *seq < pending) {
            self.durable_end_ms = self.durable_end_ms.max(Some(end_ms));
        }
    }

    fn oldest_ms(&self) -> i64 {
        let age = i64::try_from(self.options.max_age.as_millis()).unwrap_or(i64::MAX);
        self.options.clock.wall_ms().saturating_sub(age)
    }

    fn now(&self) -> Duration {
        self.options.clock.monotonic()
    }
}
