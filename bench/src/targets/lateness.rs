//! How late scrapes come, as their targets see it.

use serde::{Deserialize, Serialize};

/// What every scraper is told to keep.
const INTERVAL_US: u64 = 1_000_000;
/// How much earlier than its grid a scrape may come before it counts for the second before. The first one makes the grid, and
/// may have been late itself.
const EARLY_US: u64 = 400_000;

/// The grid of whole seconds that one target's scrapes stand on, from the earliest phase seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grid {
    /// Where slot 0 is, and the slot of the last scrape.
    last: Option<(u64, u64)>,
}

/// Where a scrape came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) late_us: u64,
    /// Slots without a scrape since the last one.
    pub(crate) missed: u64,
    /// There was one in this slot already.
    pub(crate) extra: bool,
}

impl Grid {
    pub(crate) fn arrive(&mut self, at_us: u64) -> Arrival {
        let Some((start, last)) = self.last else {
            self.last = Some((at_us, 0));
            return Arrival { late_us: 0, missed: 0, extra: false };
        };
        let slot = (at_us + EARLY_US).saturating_sub(start) / INTERVAL_US;
        let due = start + slot * INTERVAL_US;
        self.last = Some((start - due.saturating_sub(at_us).min(start), slot));
        Arrival {
            late_us: at_us.saturating_sub(due),
            missed: slot.saturating_sub(last + 1),
            extra: slot == last,
        }
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.last.is_some()
    }

    /// Slots that passed without a scrape, until now. The one that runs now may still get its own.
    pub(crate) fn missed_until(&self, now_us: u64, measured_since_us: u64) -> u64 {
        match self.last {
            Some((start, last)) => (now_us.saturating_sub(start) / INTERVAL_US).saturating_sub(last + 1),
            None => now_us.saturating_sub(measured_since_us) / INTERVAL_US,
        }
    }
}

/// Durations in buckets of at most 3 %, from a microsecond to a minute. Memory is fixed.
pub(crate) struct Latencies {
    counts: Vec<u64>,
    largest: u64,
}

const STEPS: u32 = 5;

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; bucket(60_000_000) + 1], largest: 0 }
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, us: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(us).min(last)] += 1;
        self.largest = self.largest.max(us);
    }

    /// In milliseconds.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let total: u64 = self.counts.iter().sum();
        let at = |share: f64| {
            let rank = (total as f64 * share).ceil() as u64;
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            (found.map_or(0, upper).min(self.largest)) as f64 / 1e3
        };
        Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.largest as f64 / 1e3 }
    }
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// 32 buckets an octave; below 32 one each.
fn bucket(us: u64) -> usize {
    let shift = us.max(1).ilog2().saturating_sub(STEPS);
    ((u64::from(shift) << STEPS) + (us >> shift)) as usize
}

/// The largest value in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 1 << (STEPS + 1) {
        return bucket;
    }
    let shift = (bucket >> STEPS) - 1;
    ((bucket - (shift << STEPS) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arrivals: &[(u64, u64, u64, bool)]) {
        let mut grid = Grid::default();
        for &(at_us, late_us, missed, extra) in arrivals {
            assert_eq!(grid.arrive(at_us), Arrival { late_us, missed, extra }, "at {at_us}");
        }
    }

    #[test]
    fn lateness_is_behind_the_grid_and_not_behind_the_last_scrape() {
        check(&[(5_000, 0, 0, false), (1_045_000, 40_000, 0, false), (2_005_000, 0, 0, false)]);
    }

    #[test]
    fn an_early_scrape_moves_the_grid() {
        check(&[(500_000, 0, 0, false), (1_450_000, 0, 0, false), (2_500_000, 50_000, 0, false)]);
    }

    #[test]
    fn a_late_first_scrape_makes_no_other_late() {
        check(&[(400_000, 0, 0, false), (1_050_000, 0, 0, false), (2_060_000, 10_000, 0, false)]);
    }

    #[test]
    fn slots_without_a_scrape_are_missed() {
        check(&[(0, 0, 0, false), (3_200_000, 200_000, 2, false)]);
    }

    #[test]
    fn a_second_scrape_in_a_slot_is_extra() {
        check(&[(0, 0, 0, false), (400_000, 400_000, 0, true)]);
    }

    #[test]
    fn what_never_came_is_missed_too() {
        let mut grid = Grid::default();
        assert_eq!(grid.missed_until(5_500_000, 1_000_000), 4);
        grid.arrive(5_600_000);
        assert_eq!(grid.missed_until(6_700_000, 1_000_000), 0);
        assert_eq!(grid.missed_until(8_700_000, 1_000_000), 2);
    }

    #[test]
    fn every_value_is_within_its_bucket() {
        for us in (0..5_000).chain([1 << 20, 59_999_999]) {
            let upper = upper(bucket(us));
            assert!(upper >= us && upper - us <= us / 32, "{us}: {upper}");
        }
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|ms| latencies.add(ms * 1000));
        let Percentiles { p50, p99, max, .. } = latencies.percentiles();
        assert!((50.0..52.0).contains(&p50) && (99.0..=100.0).contains(&p99) && max == 100.0);
    }
}
