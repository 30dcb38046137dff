//! Series that a receiver has refused lately, each alone. What is wrong with a series is mostly wrong with it in the next window too:
//! so they are looked for once, and then cost two requests more a window and not as many as it took to find them.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use observer_export::Piece;

use super::Parcel;
use crate::clock;

/// How long a series is suspected. Behind it those are found that are good again.
const LATELY: Duration = Duration::from_secs(60);

/// The most that are known at a time.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Suspects {
    known: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

impl Suspects {
    /// Cuts a refused request with such [keys](Self::key) in two: what is not suspected and what is, if there is both, else its
    /// halves. Notes a series that is alone.
    pub(crate) fn halve(
        &self,
        parcel: &Parcel,
        keys: &[u64],
        part: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<[Piece; 2]>,
    ) -> Option<[Parcel; 2]> {
        match self.suspected(keys, clock::monotonic()) {
            Some(suspected) => {
                let [others, known] = part(&|index| suspected.get(index) != Some(&true))?;
                Some(
                    [(others, false), (known, true)]
                        .map(|(piece, refused_lately)| Parcel { refused_lately, ..parcel.part(piece) }),
                )
            }
            None => Some(part(&|index| index < keys.len() / 2)?.map(|piece| parcel.part(piece))),
        }
    }

    /// Which of them are suspected, if some are and some are not.
    fn suspected(&self, keys: &[u64], now: Instant) -> Option<Vec<bool>> {
        let mut known = self.lock();
        known.retain(|_, since| now.duration_since(*since) < LATELY);
        if let [alone] = *keys {
            if known.len() < MOST {
                // From the first time on, so that it is looked at again whatever happens.
                known.entry(alone).or_insert(now);
            }
            return None;
        }
        let suspected: Vec<bool> = keys.iter().map(|key| known.contains_key(key)).collect();
        (suspected.contains(&true) && suspected.contains(&false)).then_some(suspected)
    }

    /// What stands for a series.
    pub(crate) fn key(&self, series: impl Hash) -> u64 {
        self.hasher.hash_one(series)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        // Whole after every step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_alone_is_apart_for_a_minute() {
        let (suspects, now) = (Suspects::default(), clock::monotonic());
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| suspects.key(name));
        let all = [a, b, c, d];
        assert_eq!(suspects.suspected(&all, now), None);
        for bad in [b, d] {
            assert_eq!(suspects.suspected(&[bad], now), None);
        }
        let apart = Some(vec![false, true, false, true]);
        assert_eq!(suspects.suspected(&all, now + LATELY / 2), apart);
        // There is nothing to tell apart.
        assert_eq!(suspects.suspected(&[b, d], now), None);
        assert_eq!(suspects.suspected(&[a, c], now), None);
        // To be refused again does not make it longer.
        assert_eq!(suspects.suspected(&[b], now + LATELY / 2), None);
        assert_eq!(suspects.suspected(&all, now + LATELY), None);
    }
}
