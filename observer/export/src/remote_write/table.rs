//! Byte strings that many series share, each kept once.

use std::hash::{BuildHasher as _, RandomState};

/// Strings that carry their own length, so that none is the beginning of another, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Table {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<u32>,
    /// Numbers of strings plus one, by hash; 0 is free.
    index: Vec<u32>,
    hasher: RandomState,
}

/// A string of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interned {
    /// Its place among all strings.
    pub(crate) number: u32,
    /// Where its bytes begin.
    pub(crate) at: u32,
}

impl Table {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + (self.starts.capacity() + self.index.capacity()) * size_of::<u32>()
    }

    /// Forgets all strings and gives their memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self { hasher: self.hasher.clone(), ..Self::default() };
    }

    /// Forgets all strings and keeps their memory.
    pub(crate) fn empty(&mut self) {
        if !self.starts.is_empty() {
            self.bytes.clear();
            self.starts.clear();
            self.index.fill(0);
        }
    }

    /// How many strings there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The number of the string of these bytes, if it is kept.
    pub(crate) fn number(&self, bytes: &[u8]) -> Option<u32> {
        if self.starts.is_empty() { None } else { self.find(bytes).ok() }
    }

    /// The string of these bytes, kept from now on. `None` once the table holds as much as its numbers can tell.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> Option<Interned> {
        if 4 * (self.starts.len() + 1) > 3 * self.index.len() {
            self.grow();
        }
        let slot = match self.find(bytes) {
            Ok(number) => return Some(Interned { number, at: self.starts[number as usize] }),
            Err(slot) => slot,
        };
        let number = u32::try_from(self.starts.len()).ok()?;
        let at = u32::try_from(self.bytes.len()).ok()?;
        self.index[slot] = number.checked_add(1)?;
        self.starts.push(at);
        self.bytes.extend_from_slice(bytes);
        Some(Interned { number, at })
    }

    /// The number of a string, or where in the index it belongs.
    fn find(&self, bytes: &[u8]) -> Result<u32, usize> {
        let mask = self.index.len() - 1;
        let mut slot = self.hasher.hash_one(bytes) as usize & mask;
        loop {
            let Some(number) = self.index[slot].checked_sub(1) else { return Err(slot) };
            if self.bytes[self.starts[number as usize] as usize..].starts_with(bytes) {
                return Ok(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (2 * self.index.len()).max(16);
        self.index = vec![0; size];
        for number in 0..self.starts.len() {
            let start = self.starts[number] as usize;
            let end = self.starts.get(number + 1).map_or(self.bytes.len(), |end| *end as usize);
            if let Err(slot) = self.find(&self.bytes[start..end]) {
                self.index[slot] = number as u32 + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_kept_once() {
        let mut table = Table::default();
        let text = |n: u32| [&[4_u8][..], &n.to_le_bytes()].concat();
        for n in 0..10_000 {
            assert_eq!(table.intern(&text(n)), Some(Interned { number: n, at: 5 * n }));
        }
        for n in (0..10_000).rev() {
            assert_eq!(table.intern(&text(n)), Some(Interned { number: n, at: 5 * n }));
        }
        assert_eq!((table.bytes().len(), table.len()), (50_000, 10_000));
        assert_eq!((table.number(&text(7)), table.number(&text(10_000))), (Some(7), None));
        table.empty();
        assert_eq!((table.number(&text(7)), table.len()), (None, 0));
        assert_eq!(table.intern(&text(7)), Some(Interned { number: 0, at: 0 }));
    }
}
