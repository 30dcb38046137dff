//! The values of a block: one copy that is written, and those that closed windows share.

use std::{collections::BTreeMap, mem, sync::Arc};

use super::NO_TIME;
use crate::{exemplars::Exemplars, native::Native};

/// Values as a window has them. Immutable as long as one does.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// By slot.
    pub(crate) values: Vec<f64>,
    /// By slot; empty as long as no sample brings a time of its own.
    pub(crate) times: Vec<i64>,
    /// By slot, rising. What lies behind `native` is memory to be used again.
    natives: Vec<(u32, Native)>,
    native: usize,
    pub(crate) exemplars: Exemplars,
}

/// What is written, and what was handed out.
///
/// Handing out costs the same for any number of values: the two are exchanged. The next writer brings what he got back up
/// to date, so the copy is made when a body comes and not when the window closes.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Behind `shared` while `is_shared`.
    own: Values,
    /// Of the slots whose suffix is [`crate::family::Suffix::Native`].
    natives: BTreeMap<u32, Native>,
    exemplars: Exemplars,
    shared: Arc<Values>,
    /// Nothing was written since `shared` was handed out.
    is_shared: bool,
    /// Handed out before. What no window has any more is used again.
    before: Vec<Arc<Values>>,
}

impl Values {
    pub(crate) fn natives(&self) -> &[(u32, Native)] {
        &self.natives[..self.native]
    }

    fn take_natives(&mut self, natives: &BTreeMap<u32, Native>) {
        self.native = natives.len();
        for (at, (slot, native)) in natives.iter().enumerate() {
            match self.natives.get_mut(at) {
                Some((of, copy)) => {
                    *of = *slot;
                    copy.clone_from(native);
                }
                None => self.natives.push((*slot, native.clone())),
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let Self { values, times, natives, native: _, exemplars } = self;
        values.capacity() * size_of::<f64>()
            + times.capacity() * size_of::<i64>()
            + natives.iter().map(|(_, native)| native.memory_bytes()).sum::<usize>()
            + exemplars.memory_bytes()
    }
}

impl Store {
    pub(super) fn values(&self) -> &[f64] {
        &self.now().values
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.now().times
    }

    fn now(&self) -> &Values {
        if self.is_shared { &self.shared } else { &self.own }
    }

    pub(super) fn natives(&self) -> &BTreeMap<u32, Native> {
        &self.natives
    }

    /// The values, to be written.
    #[inline]
    pub(super) fn write(&mut self) -> &mut Values {
        if self.is_shared {
            self.catch_up();
        }
        &mut self.own
    }

    /// One more slot.
    pub(super) fn push(&mut self, value: f64) {
        let Values { values, times, .. } = self.write();
        values.push(value);
        if !times.is_empty() {
            times.push(NO_TIME);
        }
    }

    /// A native histogram whose slot's value is written too.
    pub(super) fn native(&mut self, slot: u32) -> &mut Native {
        self.natives.entry(slot).or_default()
    }

    pub(super) fn forget_native(&mut self, slot: u32) {
        self.natives.remove(&slot);
    }

    pub(super) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// The exemplars, to be written.
    pub(super) fn write_exemplars(&mut self) -> &mut Exemplars {
        // What was handed out is not what is now.
        self.write();
        &mut self.exemplars
    }

    #[cold]
    fn catch_up(&mut self) {
        let Values { values, times, .. } = &mut self.own;
        values.clear();
        values.extend_from_slice(&self.shared.values);
        times.clear();
        times.extend_from_slice(&self.shared.times);
        self.is_shared = false;
    }

    /// Whether these are the values of now.
    pub(super) fn is_now(&self, values: &Arc<Values>) -> bool {
        self.is_shared && Arc::ptr_eq(&self.shared, values)
    }

    /// The values of now, to be kept. A window that goes round lets go of its old ones first, so that these are used again.
    pub(super) fn share(&mut self) -> Arc<Values> {
        if !self.is_shared {
            let free = self.before.iter_mut().position(|values| Arc::get_mut(values).is_some());
            let mut next = free.map(|at| self.before.swap_remove(at)).unwrap_or_default();
            // One is enough for the next time.
            self.before.retain_mut(|values| Arc::get_mut(values).is_none());
            if let Some(free) = Arc::get_mut(&mut next) {
                mem::swap(&mut free.values, &mut self.own.values);
                mem::swap(&mut free.times, &mut self.own.times);
                free.take_natives(&self.natives);
                free.exemplars.copy(&self.exemplars);
            }
            self.before.push(mem::replace(&mut self.shared, next));
            self.is_shared = true;
        }
        Arc::clone(&self.shared)
    }

    /// Bytes reserved, for values that windows have too.
    pub(super) fn memory_bytes(&self) -> usize {
        let Self { own, natives, exemplars, shared, is_shared: _, before } = self;
        let handed_out: usize = before.iter().chain([shared]).map(|values| values.memory_bytes()).sum();
        let natives: usize = natives.values().map(Native::memory_bytes).sum();
        own.memory_bytes() + handed_out + natives + exemplars.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_stays_as_it_was() {
        let mut store = Store::default();
        store.push(1.0);
        let first = store.share();
        assert!(store.is_now(&first));
        store.write().values[0] = 2.0;
        assert!(!store.is_now(&first));
        store.push(3.0);
        let second = store.share();
        assert_eq!((&first.values[..], &second.values[..]), (&[1.0][..], &[2.0, 3.0][..]));
        assert_eq!(store.values(), [2.0, 3.0]);
        assert!(Arc::ptr_eq(&second, &store.share()));
    }

    #[test]
    fn memory_that_was_let_go_of_is_used_again() {
        let mut store = Store::default();
        store.push(0.0);
        let mut windows = [store.share(), Arc::default()];
        let mut seen = Vec::new();
        for round in 1..20 {
            store.write().values[0] = f64::from(round);
            let window = &mut windows[round as usize % 2];
            *window = Arc::default();
            *window = store.share();
            assert_eq!(window.values, [f64::from(round)]);
            seen.push(window.values.as_ptr());
        }
        seen.drain(..3);
        seen.sort();
        seen.dedup();
        assert!(seen.len() <= 3, "{} buffers", seen.len());
    }
}
