//! How many requests are on their way at a time, and when the next may go.
//!
//! A failure is taken for the whole receiver's: the endpoint rests, then sends a single request, and only what goes well opens it
//! again, one more for each success. What waits behind an outage so comes to the receiver as a ramp. The lane of the request that
//! failed rests for itself beside that, so that one request the receiver cannot digest does not stand before all others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::backoff::Backoff;

/// So many failures in a row are the receiver's.
const AWAY: u32 = 3;

#[derive(Debug)]
pub(super) struct Pace {
    least: usize,
    most: usize,
    allowed: usize,
    backoff: Backoff,
    /// The endpoint's rest.
    until: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    lanes: HashMap<u16, Resting>,
}

#[derive(Debug)]
struct Resting {
    backoff: Backoff,
    until: Instant,
}

impl Pace {
    pub(super) fn new(least: usize, most: usize, backoff: &Backoff) -> Self {
        let least = least.max(1);
        Self {
            least,
            most: most.max(least),
            allowed: least,
            backoff: backoff.clone(),
            until: None,
            failures: 0,
            lanes: HashMap::new(),
        }
    }

    /// How many requests may be on their way now.
    pub(super) fn allowed(&self, now: Instant) -> usize {
        if self.until.is_some_and(|until| now < until) { 0 } else { self.allowed }
    }

    /// The most there may be.
    pub(super) const fn shards(&self) -> usize {
        self.allowed
    }

    /// Whether the lane's next request may go.
    pub(super) fn is_rested(&self, lane: u16, now: Instant) -> bool {
        self.lanes.get(&lane).is_none_or(|resting| resting.until <= now)
    }

    /// The lanes whose next request may not go.
    pub(super) fn resting(&self, now: Instant) -> impl Iterator<Item = u16> {
        self.lanes.iter().filter(move |(_lane, resting)| now < resting.until).map(|(lane, _)| *lane)
    }

    /// Whether the endpoint rests because nothing has gone well lately: one failure may be chance.
    pub(super) fn is_away(&self, now: Instant) -> bool {
        self.failures >= AWAY && self.allowed(now) == 0
    }

    /// When something may go that may not now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let lanes = self.lanes.values().map(|resting| resting.until);
        lanes.chain(self.until).filter(|until| *until > now).min()
    }

    /// A request went well, or was refused for good: the receiver works.
    pub(super) fn succeeded(&mut self, lane: u16) {
        self.lanes.remove(&lane);
        self.backoff.reset();
        self.until = None;
        self.failures = 0;
        self.allowed = (self.allowed + 1).clamp(self.least, self.most);
    }

    /// A request is to be tried again, not before what the receiver asks for. Gives the endpoint's rest.
    pub(super) fn failed(&mut self, lane: u16, after: Option<Duration>, now: Instant) -> Duration {
        self.allowed = 1;
        self.failures = self.failures.saturating_add(1);
        let rest = self.backoff.next(after);
        self.until = self.until.max(Some(now + rest));
        let mut fresh = self.backoff.clone();
        fresh.reset();
        let resting = self.lanes.entry(lane).or_insert(Resting { backoff: fresh, until: now });
        resting.until = now + resting.backoff.next(after);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pace(least: usize, most: usize) -> Pace {
        Pace::new(least, most, &Backoff::new(MS(30), MS(5000)))
    }

    #[test]
    fn success_opens_and_failure_closes() {
        let mut pace = pace(2, 4);
        let now = clock::monotonic();
        assert_eq!(pace.allowed(now), 2);
        for expected in [3, 4, 4] {
            pace.succeeded(0);
            assert_eq!(pace.allowed(now), expected);
        }
        let rest = pace.failed(0, None, now);
        assert_eq!((pace.allowed(now), pace.allowed(now + rest)), (0, 1));
        pace.succeeded(0);
        assert_eq!(pace.allowed(now), 2);
    }

    #[test]
    fn a_receiver_is_away_after_failures_in_a_row() {
        let mut pace = pace(1, 8);
        let now = clock::monotonic();
        pace.failed(0, None, now);
        pace.succeeded(1);
        for expected in [false, false, true] {
            pace.failed(0, None, now);
            assert_eq!(pace.is_away(now), expected);
        }
        // It is time for another try.
        assert!(!pace.is_away(now + Duration::from_secs(1)));
    }

    #[test]
    fn an_outage_is_probed_ever_more_rarely() {
        let mut pace = pace(1, 8);
        let (start, mut now) = (clock::monotonic(), clock::monotonic());
        let mut probes = 0;
        while now < start + Duration::from_secs(60) {
            pace.failed(probes % 8, None, now);
            now = pace.until.unwrap();
            probes += 1;
        }
        // Two seconds and a half on average once the ceiling is reached.
        assert!((12..60).contains(&probes), "{probes}");
    }

    #[test]
    fn a_lane_that_fails_again_rests_for_itself() {
        let mut pace = pace(1, 8);
        let mut now = clock::monotonic();
        for _ in 0..10 {
            now = pace.lanes.get(&3).map_or(now, |resting| resting.until);
            pace.failed(3, None, now);
            pace.succeeded(4);
        }
        assert!(!pace.is_rested(3, now) && pace.is_rested(4, now));
        assert_eq!(pace.allowed(now), 2);
        assert!(pace.next(now).is_some_and(|until| until <= now + MS(5000)));
        pace.succeeded(3);
        assert!(pace.is_rested(3, now) && pace.next(now).is_none());
    }

    #[test]
    fn what_the_receiver_asks_for_holds_for_all() {
        let mut pace = pace(1, 8);
        let now = clock::monotonic();
        pace.failed(0, Some(MS(7000)), now);
        assert_eq!((pace.allowed(now + MS(6999)), pace.allowed(now + MS(7030))), (0, 1));
    }
}
