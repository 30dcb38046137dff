//! Whether each scrape of each target arrived, and only once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The counts of scrapes that have arrived, by instance, in any order.
#[derive(Default)]
pub(super) struct Sequences(HashMap<Box<[u8]>, Vec<u64>>, u64);

/// A day of seconds. What a target counts past that is not followed.
const LARGEST: u64 = 86_400;

/// What is known about the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) instances: u64,
    pub(crate) received: u64,
    /// Between the first and the last of an instance.
    pub(crate) missing: u64,
    pub(crate) twice: u64,
}

impl Sequences {
    pub(super) fn add(&mut self, instance: &[u8], value: f64) {
        let value = value as u64;
        if value > LARGEST {
            return;
        }
        let seen = match self.0.get_mut(instance) {
            Some(seen) => seen,
            None => self.0.entry(instance.into()).or_default(),
        };
        let (word, bit) = ((value / 64) as usize, 1 << (value % 64));
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        self.1 += u64::from(seen[word] & bit != 0);
        seen[word] |= bit;
    }

    pub(super) fn report(&self) -> Sequence {
        let mut report = Sequence { instances: self.0.len() as u64, twice: self.1, ..Sequence::default() };
        for seen in self.0.values() {
            let count: u64 = seen.iter().map(|word| u64::from(word.count_ones())).sum();
            let before: usize = seen.iter().take_while(|word| **word == 0).count();
            let first =
                before as u64 * 64 + u64::from(seen.get(before).map_or(0, |word| word.trailing_zeros()));
            let last =
                seen.len() as u64 * 64 - 1 - u64::from(seen.last().map_or(0, |word| word.leading_zeros()));
            report.received += count;
            report.missing += last + 1 - first - count;
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], missing: u64, twice: u64) {
        let mut sequences = Sequences::default();
        values.iter().for_each(|value| sequences.add(b"a", *value as f64));
        let received = values.len() as u64 - twice;
        assert_eq!(sequences.report(), Sequence { instances: 1, received, missing, twice });
    }

    #[test]
    fn the_order_does_not_matter() {
        check(&[130, 128, 129, 131], 0, 0);
        check(&[63, 64, 62], 0, 0);
    }

    #[test]
    fn a_gap_is_missing() {
        check(&[1, 2, 70], 67, 0);
    }

    #[test]
    fn what_comes_again_is_counted() {
        check(&[1, 2, 2, 2], 0, 2);
    }
}
