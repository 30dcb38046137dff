//! Series that a receiver has refused lately, each alone. What is wrong with a series is mostly wrong with it in the next window too:
//! so they are looked for once, and then cost two requests more a window and not as many as it took to find them.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use observer_export::{
    Piece,
    remote_write::decode::{Request, Series},
};

/// How long a series is suspected. Behind it those are found that are good again.
const LATELY: Duration = Duration::from_secs(60);

/// The most that are known at a time.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Suspects {
    known: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

impl Suspects {
    /// Cuts a refused request into what is not suspected and what is, if there is both. Notes a series that is alone.
    pub(super) fn part(&self, request: &Request, now: Instant) -> Option<(Piece, Piece)> {
        let keys: Vec<u64> = request.series().iter().map(|series| self.key(series)).collect();
        let mut known = self.lock();
        known.retain(|_, since| now.duration_since(*since) < LATELY);
        if let [alone] = keys[..] {
            if known.len() < MOST {
                // From the first time on, so that it is looked at again whatever happens.
                known.entry(alone).or_insert(now);
            }
            return None;
        }
        let suspected: Vec<bool> = keys.iter().map(|key| known.contains_key(key)).collect();
        drop(known);
        if !suspected.contains(&true) {
            return None;
        }
        request.part(|index| suspected.get(index) != Some(&true))
    }

    fn key(&self, series: &Series<'_>) -> u64 {
        self.hasher.hash_one(&series.labels)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        // Whole after every step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use observer_export::{Protocol, wire};

    use super::*;
    use crate::clock;

    /// A request of version 1.0 with a sample of each series.
    fn request(series: &[&str]) -> Request {
        let mut raw = Vec::new();
        for name in series {
            let (mut label, mut message) = (Vec::new(), Vec::new());
            wire::bytes(&mut label, 1, b"__name__");
            wire::bytes(&mut label, 2, name.as_bytes());
            wire::bytes(&mut message, 1, &label);
            wire::bytes(&mut message, 2, &[0x10, 1]);
            wire::bytes(&mut raw, 1, &message);
        }
        read(&zstd::bulk::compress(&raw, 1).unwrap())
    }

    fn read(body: &[u8]) -> Request {
        Request::of(Protocol::RemoteWrite1Zstd, body, 1 << 20).unwrap().unwrap()
    }

    fn names(piece: &Piece) -> Vec<String> {
        read(&piece.body).series().iter().map(|series| series.labels[0].1.to_owned()).collect()
    }

    #[test]
    fn what_was_refused_alone_is_apart_for_a_minute() {
        let (suspects, now) = (Suspects::default(), clock::monotonic());
        let all = request(&["a", "b", "c", "d"]);
        assert_eq!(suspects.part(&all, now), None);
        for bad in ["b", "d"] {
            assert_eq!(suspects.part(&request(&[bad]), now), None);
        }
        let (others, known) = suspects.part(&all, now + LATELY / 2).unwrap();
        assert_eq!(
            (names(&others), names(&known)),
            (vec!["a".into(), "c".into()], vec!["b".into(), "d".into()])
        );
        // There is nothing to tell apart.
        assert_eq!(suspects.part(&request(&["b", "d"]), now), None);
        assert_eq!(suspects.part(&request(&["a", "c"]), now), None);
        // To be refused again does not make it longer.
        assert_eq!(suspects.part(&request(&["b"]), now + LATELY / 2), None);
        assert_eq!(suspects.part(&all, now + LATELY), None);
    }
}
