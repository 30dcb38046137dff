//! The places of a block's series, in pieces: a copy shares every piece that is the same in both.
//!
//! Closed windows keep the layout they were given, and with series that come and go every window is given another one.

use std::sync::Arc;

use super::layout::Series;
use crate::family::Suffix;

/// Places of a page: small enough that a change copies little, and that a small source wastes little.
const PAGE: usize = 32;

type Page = [Series; PAGE];

/// A list of series by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    pages: Vec<Arc<Page>>,
    len: usize,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The series of a slot that there is.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Series {
        let slot = slot as usize;
        debug_assert!(slot < self.len, "slot {slot} of {}", self.len);
        &self.pages[slot / PAGE][slot % PAGE]
    }

    /// The same, to be written.
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Series {
        let slot = slot as usize;
        debug_assert!(slot < self.len, "slot {slot} of {}", self.len);
        &mut Arc::make_mut(&mut self.pages[slot / PAGE])[slot % PAGE]
    }

    /// Adds a slot, and says which. `None` if there are as many as can be told apart.
    pub(super) fn push(&mut self, series: Series) -> Option<u32> {
        const NONE: Series = Series { head: 0, at: 0, len: 0, suffix: Suffix::None, birth: 0 };
        let slot = u32::try_from(self.len).ok()?;
        if self.len.is_multiple_of(PAGE) {
            // Not twice as many: a thousand series are thirty-two pages, and most sources do not grow.
            self.pages.reserve_exact(1);
            self.pages.push(Arc::new([NONE; PAGE]));
        }
        self.len += 1;
        *self.get_mut(slot) = series;
        Some(slot)
    }

    /// Bytes reserved, those included that other copies have too.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Arc<Page>>() + self.pages.len() * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_is_the_same() {
        let series = |birth| Series { head: 1, at: 2, len: 3, suffix: Suffix::None, birth };
        let mut pages = Pages::default();
        for nth in 0..100 {
            assert_eq!(pages.push(series(nth)), Some(nth));
        }
        let copy = pages.clone();
        pages.get_mut(40).birth = 1000;
        pages.push(series(100));
        assert_eq!((copy.len(), pages.len()), (100, 101));
        let births = |pages: &Pages| (0..100).map(|slot| pages.get(slot).birth).collect::<Vec<_>>();
        assert_eq!(births(&copy), (0..100).collect::<Vec<_>>());
        assert_eq!(births(&pages).iter().filter(|birth| **birth == 1000).count(), 1);
        let shared = copy.pages.iter().zip(&pages.pages).filter(|(one, other)| Arc::ptr_eq(one, other));
        // The page of slot 40 and the one that slot 100 is in are others.
        assert_eq!(shared.count(), 2);
    }
}
