//! When a quantile that the agent reports agrees with what a program measured by itself.

/// The bucket of a duration: the index of Prometheus' native histograms, schema 2, so four to a factor of two.
#[must_use]
pub fn bucket(seconds: f64) -> f64 {
    (seconds.log2() * 4.0).ceil()
}

/// Whether two durations lie in the same bucket or in neighbours.
#[must_use]
pub fn near(one: f64, other: f64) -> bool {
    (bucket(one) - bucket(other)).abs() <= 1.0
}

/// What a quantile of these nanoseconds may be, in seconds: between the samples at the two ranks around it, because its
/// definitions differ in the rank they choose.
#[must_use]
pub fn between(samples: &[u64], quantile: f64) -> (f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let rank = quantile * sorted.len() as f64;
    let at = |rank: f64| sorted.get((rank as usize).min(last)).copied().unwrap_or_default() as f64 / 1e9;
    (at(rank.floor() - 1.0), at(rank.ceil()))
}

/// Whether a reported quantile, in seconds, is within one bucket of that of the samples.
#[must_use]
pub fn agrees(reported: f64, samples: &[u64], quantile: f64) -> bool {
    let (low, high) = between(samples, quantile);
    (bucket(low) - 1.0..=bucket(high) + 1.0).contains(&bucket(reported))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_buckets_are_a_factor_of_two() {
        assert_eq!((bucket(1.0), bucket(2.0), bucket(2.001)), (0.0, 4.0, 5.0));
    }

    #[test]
    fn neighbours_are_near() {
        assert!(near(1.0, 1.18) && near(1.0, 0.71));
        assert!(!near(1.0, 1.5) && !near(1.0, 0.5));
    }

    #[test]
    fn a_quantile_lies_between_two_samples() {
        let samples: Vec<u64> = (1..=100).map(|second| second * 1_000_000_000).collect();
        assert_eq!(between(&samples, 0.5), (50.0, 51.0));
        assert_eq!(between(&samples, 0.99), (99.0, 100.0));
        assert_eq!(between(&[1_000_000_000], 0.99), (1.0, 1.0));
    }

    #[test]
    fn a_wrong_quantile_does_not_agree() {
        let samples = [20_000_000; 100];
        assert!(agrees(0.019, &samples, 0.5) && agrees(0.023, &samples, 0.5));
        assert!(!agrees(0.030, &samples, 0.5) && !agrees(0.014, &samples, 0.5));
    }
}
