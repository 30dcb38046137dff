//! How long to wait before a request is tried again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// Waits between the tries of a request: at random up to a ceiling that doubles. Agents that lost one receiver at the same moment so
/// come back one by one (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    ceiling: Duration,
    random: RandomState,
    drawn: u64,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most: most.max(least), ceiling: least, random: RandomState::new(), drawn: 0 }
    }

    /// The next wait. `asked` is what the receiver said: never less than that, and up to the ceiling more, as everybody was told
    /// the same.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.most);
        match asked {
            Some(asked) => asked + self.draw(ceiling),
            // A wait of nothing would be a try without one.
            None => self.least / 2 + self.draw(ceiling - self.least / 2),
        }
    }

    /// A request went well.
    pub(super) fn reset(&mut self) {
        self.ceiling = self.least;
    }

    /// Anything from nothing to `most`.
    pub(super) fn draw(&mut self, most: Duration) -> Duration {
        self.drawn += 1;
        // The keys of the hasher come from the system's randomness.
        let share = (self.random.hash_one(self.drawn) >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn waits_stay_between_half_the_least_and_a_ceiling_that_doubles() {
        for _ in 0..100 {
            let mut backoff = Backoff::new(MS(30), MS(5000));
            let mut ceiling = 30;
            for _ in 0..20 {
                let wait = backoff.next(None);
                assert!((MS(15)..=MS(ceiling)).contains(&wait), "{wait:?} of {ceiling} ms");
                ceiling = (ceiling * 2).min(5000);
            }
            backoff.reset();
            assert!(backoff.next(None) <= MS(30));
        }
    }

    #[test]
    fn what_the_receiver_asks_for_is_the_least() {
        let mut backoff = Backoff::new(MS(30), MS(5000));
        for n in 0..20 {
            let wait = backoff.next(Some(MS(2000)));
            assert!((MS(2000)..=MS(2000 + (30 << n).min(5000))).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn two_agents_do_not_wait_alike() {
        let waits = |mut backoff: Backoff| (0..8).map(|_| backoff.next(None)).collect::<Vec<_>>();
        let new = || Backoff::new(MS(30), MS(5000));
        assert_ne!(waits(new()), waits(new()));
    }
}
