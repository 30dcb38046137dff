//! Which windows an endpoint gets, and how long after their end.
//!
//! The agents of many hosts differ in both, so that a receiver they have in common is equally busy at any time.

use std::time::Duration;

/// Of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Seconds from one window that is sent to the next.
    every: i64,
    /// Which of those seconds it is.
    second: i64,
    /// How long a window waits until it is encoded.
    hold: Duration,
    /// The number of the last interval of which a window was sent.
    sent: Option<i64>,
}

impl Schedule {
    /// Every window, at once.
    #[cfg(test)]
    pub(crate) const AT_ONCE: Self = Self { every: 1, second: 0, hold: Duration::ZERO, sent: None };

    /// One window an `interval` of whole seconds, up to `spread` after its end. What of both it is depends on `identity`, which each
    /// agent has for itself.
    pub(crate) fn new(interval: Duration, spread: Duration, identity: u64) -> Self {
        let every = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
        // Two parts of the number that have nothing to do with each other.
        let (high, low) = (identity >> 32, identity & u64::from(u32::MAX));
        let second = i64::try_from(high).unwrap_or(0) % every;
        let hold = Duration::from_nanos(((spread.as_nanos() * u128::from(low)) >> 32) as u64);
        Self { every, second, hold, sent: None }
    }

    /// Whether the window that ended then is sent: the first of each interval. One that follows a step of the clock back is the
    /// first of its interval too.
    pub(super) fn is_due(&mut self, end_ms: i64) -> bool {
        let interval = (end_ms.div_euclid(1000) - self.second).div_euclid(self.every);
        let is_due = self.every == 1 || self.sent != Some(interval);
        self.sent = Some(interval);
        is_due
    }

    /// How much longer a window that ended then has to wait.
    pub(super) fn wait(&self, end_ms: i64, now_ms: i64) -> Duration {
        let since = u64::try_from(now_ms.saturating_sub(end_ms)).unwrap_or(0);
        self.hold.saturating_sub(Duration::from_millis(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_window_of_each_interval_is_sent_and_agents_differ_in_which() {
        let mut seconds = Vec::new();
        for agent in 0..15_u64 {
            let mut schedule = Schedule::new(15 * SECOND, SECOND, agent << 32);
            // The first is sent whenever it comes.
            assert!(schedule.is_due(600_000));
            let due = (601..660).filter(|second| schedule.is_due(second * 1000));
            let due: Vec<i64> = due.filter(|second| *second >= 630).collect();
            assert_eq!((due.len(), due[1] - due[0]), (2, 15));
            seconds.push(due[0]);
        }
        assert_eq!(seconds, (630..645).collect::<Vec<_>>());
    }

    #[test]
    fn a_window_that_is_missing_is_made_up_for_by_the_next() {
        let mut schedule = Schedule::new(10 * SECOND, SECOND, 0);
        assert!(schedule.is_due(10_000) && !schedule.is_due(19_000));
        assert!(schedule.is_due(21_000) && !schedule.is_due(22_000) && schedule.is_due(30_000));
    }

    #[test]
    fn every_window_is_sent_where_nothing_else_is_said() {
        let mut schedule = Schedule::new(SECOND, SECOND, u64::MAX);
        assert!((0..5).all(|nth| schedule.is_due(nth * 500)));
    }

    #[test]
    fn a_window_waits_for_its_share_of_the_spread_once() {
        let schedule = Schedule::new(SECOND, SECOND, 1 << 31);
        assert_eq!(schedule.wait(1000, 1000), SECOND / 2);
        assert_eq!(schedule.wait(1000, 1400), SECOND / 10);
        assert_eq!(schedule.wait(1000, 9000), Duration::ZERO);
        // A clock that was set back does not make it longer.
        assert_eq!(schedule.wait(9000, 1000), SECOND / 2);
        assert_eq!(Schedule::new(SECOND, Duration::ZERO, u64::MAX).wait(1, 1), Duration::ZERO);
    }
}
