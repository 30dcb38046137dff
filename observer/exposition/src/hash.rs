//! A hash that strangers cannot foresee: what an exporter writes must not make its own look-ups slow.

use std::{
    borrow::Cow,
    collections::HashSet,
    hash::{BuildHasher, Hasher, RandomState},
};

/// Hashes series and families.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash {
    seed: u64,
}

const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hash {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0) | 1 }
    }

    pub(crate) fn of(&self, bytes: &[u8]) -> u64 {
        self.and(self.seed, bytes)
    }

    /// The hash of what `hash` stands for and then `bytes`.
    pub(crate) fn and(&self, hash: u64, bytes: &[u8]) -> u64 {
        let (chunks, rest) = bytes.as_chunks::<16>();
        let mut state = mix(hash ^ bytes.len() as u64, self.seed);
        for chunk in chunks {
            let (words, _) = chunk.as_chunks::<8>();
            state = mix(state ^ u64::from_le_bytes(words[0]), self.seed ^ u64::from_le_bytes(words[1]));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let (words, _) = last.as_chunks::<8>();
        state = mix(state ^ u64::from_le_bytes(words[0]), self.seed ^ u64::from_le_bytes(words[1]));
        mix(state, SPREAD)
    }
}

/// Both halves of the product depend on all bits of both factors.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hashes names of families.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names(pub(crate) Hash);

/// A name that is being hashed.
pub(crate) struct Name {
    hash: Hash,
    state: u64,
}

impl BuildHasher for Names {
    type Hasher = Name;

    fn build_hasher(&self) -> Name {
        Name { hash: self.0, state: 0 }
    }
}

impl Hasher for Name {
    fn write(&mut self, bytes: &[u8]) {
        self.state = self.hash.and(self.state, bytes);
    }

    // Ends a text, and the length is already in its hash.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Names that were met, each once. Most bodies have their families sorted, or nearly.
#[derive(Clone, Debug)]
pub(crate) struct Met<'a> {
    /// Names that were above all before them.
    rising: Vec<Cow<'a, str>>,
    others: HashSet<Cow<'a, str>, Names>,
}

impl<'a> Met<'a> {
    /// Room for about so many names; more cost a little.
    pub(crate) fn with_capacity(names: usize) -> Self {
        Self { rising: Vec::with_capacity(names), others: HashSet::with_hasher(Names(Hash::new())) }
    }

    /// Whether the name is new.
    pub(crate) fn insert(&mut self, name: Cow<'a, str>) -> bool {
        let Self { rising, others } = self;
        if rising.last().is_none_or(|last| *last < name) {
            rising.push(name);
            return true;
        }
        rising.binary_search(&name).is_err() && others.insert(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_alike_have_hashes_that_are_not() {
        let hash = Hash::new();
        let texts: HashSet<String> = (0..10_000).map(|i| format!("a{{x=\"{i}\"}}")).collect();
        let hashes: HashSet<u64> = texts.iter().map(|text| hash.of(text.as_bytes())).collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 0xFFFF).collect();
        assert_eq!(hashes.len(), texts.len());
        assert!(low.len() > 8_000, "{}", low.len());
    }

    #[test]
    fn a_name_is_new_once() {
        let mut met = Met::with_capacity(2);
        for round in 0..2 {
            // Rising by length, falling within it.
            for name in (0..1000_u32).map(|at| at ^ 7) {
                assert_eq!(met.insert(Cow::Owned(format!("a{name}"))), round == 0, "{name}");
            }
        }
    }

    #[test]
    fn where_a_part_ends_matters() {
        let hash = Hash::new();
        let two = |a: &[u8], b: &[u8]| hash.and(hash.of(a), b);
        assert_ne!(two(b"ab", b"c"), two(b"a", b"bc"));
        assert_ne!(hash.of(b""), hash.of(b"\0"));
    }
}
