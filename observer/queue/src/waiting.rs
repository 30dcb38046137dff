//! The entries whose bodies are in memory.

use std::collections::VecDeque;

use crate::{Entry, Totals};

/// In the order of their numbers: first those in `front`, then those in `tail`.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Handed out, given back, or passed over because their lane was busy.
    front: VecDeque<Slot>,
    /// Never looked at.
    tail: VecDeque<Slot>,
    memory: Totals,
    taken: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    taken: bool,
}

/// How many entries are passed over in search for a lane that is free.
const AHEAD: usize = 32;

impl Waiting {
    /// Adds the newest entry of all.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.memory += entry.totals();
        self.tail.push_back(Slot { entry, taken: false });
    }

    /// Hands out the oldest entry that is free to go.
    pub(crate) fn take(&mut self, free: &mut dyn FnMut(u16) -> bool) -> Option<Entry> {
        let mut at = 0;
        loop {
            if at == self.front.len() {
                let passed_over = self.front.iter().filter(|slot| !slot.taken).count();
                let next = if passed_over < AHEAD { self.tail.pop_front() } else { None };
                self.front.push_back(next?);
            }
            if let Some(slot) = self.front.get_mut(at).filter(|slot| !slot.taken && free(slot.entry.lane)) {
                slot.taken = true;
                self.taken += 1;
                return Some(slot.entry.clone());
            }
            at += 1;
        }
    }

    /// Forgets an entry that is done. Whether it was handed out at some time.
    pub(crate) fn remove(&mut self, seq: u64) -> bool {
        let slot = self.find(seq).and_then(|at| self.front.remove(at));
        if let Some(slot) = &slot {
            self.taken -= u64::from(slot.taken);
            self.memory -= slot.entry.totals();
        }
        slot.is_some()
    }

    /// Takes an entry back that was handed out. Whether it was.
    pub(crate) fn give_back(&mut self, seq: u64) -> bool {
        let slot = self.find(seq).and_then(|at| self.front.get_mut(at)).filter(|slot| slot.taken);
        let known = slot.is_some();
        if let Some(slot) = slot {
            slot.taken = false;
            self.taken -= 1;
        }
        known
    }

    /// Drops the oldest entry that nobody holds.
    pub(crate) fn drop_oldest(&mut self) -> Option<Totals> {
        let slot = match self.front.iter().position(|slot| !slot.taken) {
            Some(at) => self.front.remove(at)?,
            None => self.tail.pop_front()?,
        };
        self.memory -= slot.entry.totals();
        Some(slot.entry.totals())
    }

    /// Drops entries that nobody holds and that end before `oldest_ms`.
    pub(crate) fn drop_older(&mut self, oldest_ms: i64) -> Totals {
        let mut dropped = Totals::default();
        self.front.retain(|slot| {
            let old = !slot.taken && slot.entry.end_ms < oldest_ms;
            if old {
                dropped += slot.entry.totals();
            }
            !old
        });
        while let Some(slot) = self.tail.pop_front_if(|slot| slot.entry.end_ms < oldest_ms) {
            dropped += slot.entry.totals();
        }
        self.memory -= dropped;
        dropped
    }

    /// The oldest entry.
    pub(crate) fn oldest(&self) -> Option<&Entry> {
        self.front.front().or_else(|| self.tail.front()).map(|slot| &slot.entry)
    }

    /// Entries that are in memory only.
    pub(crate) const fn memory(&self) -> Totals {
        self.memory
    }

    /// How many are handed out.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    fn find(&self, seq: u64) -> Option<usize> {
        self.front.binary_search_by_key(&seq, |slot| slot.entry.seq).ok()
    }
}
