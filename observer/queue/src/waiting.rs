//! The entries whose bodies are in memory.

use std::{collections::VecDeque, time::Duration};

use crate::{Entry, Totals};

/// In the order of their numbers: first those in `front`, then whatever is unread on disk, then those in `tail`.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Handed out, given back, or passed over because their lane was busy.
    front: VecDeque<Slot>,
    /// Never looked at. None of them is on disk.
    tail: VecDeque<Slot>,
    memory: Totals,
    disk: Totals,
    taken: u64,
}

/// An entry, and what became of it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Entry,
    pub(crate) home: Home,
    /// When it came, on the clock that never goes back.
    since: Duration,
    taken: bool,
}

/// Where an entry is besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nowhere.
    Memory,
    /// In the file of that number.
    Disk(u64),
    /// Nowhere: its file was dropped while it was handed out.
    Dropped,
}

impl Waiting {
    /// Adds the newest entry of all.
    pub(crate) fn push(&mut self, entry: Entry, since: Duration) {
        self.memory += entry.totals();
        self.tail.push_back(Slot { entry, home: Home::Memory, since, taken: false });
    }

    /// Adds an entry that was read from a file.
    pub(crate) fn loaded(&mut self, entry: Entry, file: u64) {
        self.disk += entry.totals();
        let at = self.front.partition_point(|slot| slot.entry.seq < entry.seq);
        self.front.insert(at, Slot { entry, home: Home::Disk(file), since: Duration::ZERO, taken: false });
    }

    /// Looks at one more of `tail`, which is right when nothing is unread on disk. Whether there was one.
    pub(crate) fn advance(&mut self) -> bool {
        self.tail.pop_front().map(|slot| self.front.push_back(slot)).is_some()
    }

    /// How many before that number were looked at and are still here.
    pub(crate) fn passed_over(&self, before: u64) -> usize {
        self.front.iter().filter(|slot| !slot.taken && slot.entry.seq < before).count()
    }

    /// The oldest of those looked at that is before that number and free to go.
    pub(crate) fn find_free(&self, before: u64, free: &mut dyn FnMut(u16) -> bool) -> Option<u64> {
        let mut front = self.front.iter().take_while(|slot| slot.entry.seq < before);
        front.find(|slot| !slot.taken && free(slot.entry.lane)).map(|slot| slot.entry.seq)
    }

    /// Hands out one of those looked at.
    pub(crate) fn take(&mut self, seq: u64) -> Option<Entry> {
        let slot = self.find(seq).and_then(|at| self.front.get_mut(at)).filter(|slot| !slot.taken)?;
        slot.taken = true;
        self.taken += 1;
        Some(slot.entry.clone())
    }

    /// Forgets an entry that is done, if it was looked at. Says where it was.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Slot> {
        let slot = self.find(seq).and_then(|at| self.front.remove(at))?;
        self.forget(&slot);
        Some(slot)
    }

    /// Takes an entry back that was handed out, and says where else it is.
    pub(crate) fn give_back(&mut self, seq: u64) -> Option<Home> {
        let slot = self.find(seq).and_then(|at| self.front.get_mut(at)).filter(|slot| slot.taken)?;
        slot.taken = false;
        self.taken -= 1;
        Some(slot.home)
    }

    /// Drops the oldest entry that is in memory only and that nobody holds.
    pub(crate) fn drop_oldest(&mut self) -> Option<Totals> {
        let slot = match self.front.iter().position(|slot| !slot.taken && slot.home == Home::Memory) {
            Some(at) => self.front.remove(at)?,
            None => self.tail.pop_front()?,
        };
        self.forget(&slot);
        Some(slot.entry.totals())
    }

    /// Takes out the oldest entry, if nobody holds it and it ends before `oldest_ms`.
    pub(crate) fn pop_older(&mut self, oldest_ms: i64) -> Option<Slot> {
        let old = |slot: &Slot| !slot.taken && slot.entry.end_ms < oldest_ms;
        let slot = match self.front.iter().position(old) {
            Some(at) => self.front.remove(at)?,
            None => self.tail.pop_front_if(|slot| old(slot))?,
        };
        self.forget(&slot);
        Some(slot)
    }

    /// The oldest entry that is in memory only, and whether it was looked at.
    pub(crate) fn first_in_memory(&self) -> Option<(&Entry, bool)> {
        let looked_at =
            self.front.iter().find(|slot| slot.home == Home::Memory).map(|slot| (&slot.entry, true));
        looked_at.or_else(|| self.tail.front().map(|slot| (&slot.entry, false)))
    }

    /// When the oldest entry came that is in memory only.
    pub(crate) fn oldest_since(&self) -> Option<Duration> {
        let mut front = self.front.iter().filter(|slot| slot.home == Home::Memory);
        front.next().or_else(|| self.tail.front()).map(|slot| slot.since)
    }

    /// The [first in memory](Self::first_in_memory) is in that file now. If nobody looked at it, it is left to the file.
    pub(crate) fn written(&mut self, file: u64) {
        if let Some(slot) = self.front.iter_mut().find(|slot| slot.home == Home::Memory) {
            slot.home = Home::Disk(file);
            self.memory -= slot.entry.totals();
            self.disk += slot.entry.totals();
        } else if let Some(slot) = self.tail.pop_front() {
            self.forget(&slot);
        }
    }

    /// A file is dropped: so are its entries, but those that are handed out. Gives the sum of those dropped.
    pub(crate) fn drop_file(&mut self, file: u64) -> Totals {
        let mut dropped = Totals::default();
        let Self { front, tail: _, memory, disk, taken: _ } = self;
        front.retain_mut(|slot| {
            if slot.home != Home::Disk(file) {
                return true;
            }
            *disk -= slot.entry.totals();
            if slot.taken {
                *memory += slot.entry.totals();
                slot.home = Home::Dropped;
            } else {
                dropped += slot.entry.totals();
            }
            slot.taken
        });
        dropped
    }

    /// Those looked at, oldest first.
    pub(crate) fn front(&self) -> impl Iterator<Item = &Slot> {
        self.front.iter()
    }

    /// The oldest that nobody looked at.
    pub(crate) fn tail(&self) -> Option<&Entry> {
        self.tail.front().map(|slot| &slot.entry)
    }

    /// Entries that are in memory only.
    pub(crate) const fn memory(&self) -> Totals {
        self.memory
    }

    /// Entries that are on disk too.
    pub(crate) const fn disk(&self) -> Totals {
        self.disk
    }

    /// How many are handed out.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    fn find(&self, seq: u64) -> Option<usize> {
        self.front.binary_search_by_key(&seq, |slot| slot.entry.seq).ok()
    }

    fn forget(&mut self, slot: &Slot) {
        match slot.home {
            Home::Memory | Home::Dropped => self.memory -= slot.entry.totals(),
            Home::Disk(_file) => self.disk -= slot.entry.totals(),
        }
        self.taken -= u64::from(slot.taken);
    }
}
