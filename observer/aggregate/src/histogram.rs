//! Histograms of durations in the buckets of Prometheus native histograms, as the kernel programs fill them.

use std::sync::Arc;

use observer_abi::bucket::{self, BUCKETS};

use crate::family::{Sample, Suffix};

/// The buckets that end at the bounds of the text formats, and how these are written there: one per two octaves, from
/// 2^-16 s to 2^6 s. Each is also a bound of the fine buckets, so folding moves no count across one.
pub const CLASSIC: [(usize, &str); 12] = [
    (16, "1.52587890625e-05"),
    (24, "6.103515625e-05"),
    (32, "0.000244140625"),
    (40, "0.0009765625"),
    (48, "0.00390625"),
    (56, "0.015625"),
    (64, "0.0625"),
    (72, "0.25"),
    (80, "1.0"),
    (88, "4.0"),
    (96, "16.0"),
    (104, "64.0"),
];

/// Counts of durations, cut by [`bucket::bucket_of`], and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

/// The label blocks of one histogram series in classic form, made once and shared by all histograms of the same owner.
#[derive(Clone, Debug)]
pub struct ClassicLabels {
    plain: Arc<str>,
    /// In the order of [`CLASSIC`], then `+Inf`.
    buckets: [Arc<str>; CLASSIC.len() + 1],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_ns: 0 }
    }
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&mut self, ns: u64) {
        self.buckets[usize::from(bucket::bucket_of(ns))] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Adds durations that were bucketed elsewhere, without their sum. There must be such a bucket: false if not.
    #[must_use]
    pub fn add(&mut self, bucket: usize, count: u64) -> bool {
        let bucket = self.buckets.get_mut(bucket);
        bucket.map(|bucket| *bucket += count).is_some()
    }

    /// Adds the sum of durations counted with [`Self::add`].
    pub fn add_sum(&mut self, ns: u64) {
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Adds counts that were bucketed elsewhere, one a bucket, and the sum of their durations.
    pub fn merge_buckets<C: Copy + Into<u64>>(&mut self, counts: &[C; BUCKETS], sum_ns: u64) {
        for (bucket, &count) in self.buckets.iter_mut().zip(counts) {
            *bucket += count.into();
        }
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.merge_buckets(&other.buckets, other.sum_ns);
    }

    /// What was added since `earlier`, a former state of the same histogram. Empty where it is not one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        for (bucket, &before) in difference.buckets.iter_mut().zip(&earlier.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        difference.sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
        difference
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many durations were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of the durations in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The counts, one a bucket, not cumulative. What each means in an export: [`bucket::native_index`].
    #[must_use]
    pub fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// The duration in seconds that the share `q` of all durations do not exceed, or nothing when there are none.
    ///
    /// The right bucket is certain; the place in it is taken as even on a logarithmic scale, as Prometheus does. The error is
    /// therefore less than the bucket's width of 19 %. From 0.95 µs down the scale is linear, and above 64 s the answer is 64 s.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 || q.is_nan() {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let mut below = 0;
        let mut last = 0;
        for (bucket, &inside) in self.buckets.iter().enumerate().filter(|&(_, &inside)| inside > 0) {
            last = bucket;
            if (below + inside) as f64 >= rank {
                let share = (rank - below as f64) / inside as f64;
                return Some(interpolate(bucket, share));
            }
            below += inside;
        }
        // A count that a double cannot hold may leave the rank one above all of them.
        Some(interpolate(last, 1.0))
    }

    /// Writes the classic form (cumulative buckets, the sum in seconds, the count) and the native one over the samples from
    /// `at` on, and returns the place behind them. Samples of the same histogram keep their memory.
    pub fn to_samples(&self, labels: &ClassicLabels, out: &mut Vec<Sample>, mut at: usize) -> usize {
        let mut put = |suffix, labels, value| {
            put(out, at, suffix, labels, value);
            at += 1;
        };
        let mut cumulative = 0;
        let mut from = 0;
        for (&(bucket, _), labels) in CLASSIC.iter().zip(&labels.buckets) {
            cumulative += self.buckets[from..=bucket].iter().sum::<u64>();
            from = bucket + 1;
            put(Suffix::Bucket, labels, cumulative as f64);
        }
        let count = cumulative + self.buckets[from..].iter().sum::<u64>();
        put(Suffix::Bucket, &labels.buckets[CLASSIC.len()], count as f64);
        put(Suffix::Sum, &labels.plain, self.sum_ns as f64 / 1e9);
        put(Suffix::Count, &labels.plain, count as f64);
        put(Suffix::Native, &labels.plain, count as f64);
        out[at - 1].native.get_or_insert_default().take(self);
        at
    }
}

impl ClassicLabels {
    /// From the series' own label block, `a="b",c="d"` or empty.
    #[must_use]
    pub fn new(plain: Arc<str>) -> Self {
        let comma = if plain.is_empty() { "" } else { "," };
        let buckets = std::array::from_fn(|index| {
            let bound = CLASSIC.get(index).map_or("+Inf", |&(_, bound)| bound);
            format!("{plain}{comma}le=\"{bound}\"").into()
        });
        Self { plain, buckets }
    }
}

/// A place in a bucket in seconds: 0 is its lower bound, 1 its upper one.
fn interpolate(bucket: usize, share: f64) -> f64 {
    let upper = bucket::upper_bound_seconds(bucket);
    let lower = bucket.checked_sub(1).and_then(bucket::upper_bound_seconds);
    match (lower, upper) {
        (Some(lower), Some(upper)) => lower * (upper / lower).powf(share),
        (None, Some(upper)) => upper * share,
        (Some(lower), None) => lower,
        (None, None) => f64::NAN,
    }
}

fn put(out: &mut Vec<Sample>, at: usize, suffix: Suffix, labels: &Arc<str>, value: f64) {
    match out.get_mut(at) {
        Some(sample) => {
            if !Arc::ptr_eq(&sample.labels, labels) {
                sample.labels = Arc::clone(labels);
            }
            (sample.suffix, sample.value) = (suffix, value);
            sample.native = sample.native.take().filter(|_| suffix == Suffix::Native);
        }
        None => {
            out.push(Sample { suffix, labels: Arc::clone(labels), value, timestamp_ms: None, native: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &ns in values {
            histogram.observe(ns);
        }
        histogram
    }

    #[track_caller]
    fn check_quantile(values: &[u64], q: f64, expected: f64) {
        let quantile = histogram(values).quantile(q).expect("there are values");
        assert!((quantile / expected - 1.0).abs() < 0.19, "{quantile} s, expected {expected} s");
    }

    #[test]
    fn classic_bounds_are_bounds_of_the_fine_buckets() {
        for (bucket, bound) in CLASSIC {
            assert_eq!(bound.parse().ok(), bucket::upper_bound_seconds(bucket), "{bound}");
        }
    }

    #[test]
    fn quantile_stays_within_a_bucket_of_the_truth() {
        let milliseconds: Vec<u64> = (1..=1000).map(|ms| ms * 1_000_000).collect();
        check_quantile(&milliseconds, 0.0, 0.001);
        check_quantile(&milliseconds, 0.5, 0.5);
        check_quantile(&milliseconds, 0.99, 0.99);
        check_quantile(&milliseconds, 1.0, 1.0);
        check_quantile(&[20_000_000], 0.5, 0.02);
    }

    #[test]
    fn quantile_of_the_ends() {
        assert_eq!(histogram(&[]).quantile(0.5), None);
        assert_eq!(histogram(&[7]).quantile(f64::NAN), None);
        assert_eq!(histogram(&[0, 0]).quantile(0.5), Some(bucket::ZERO_THRESHOLD_SECONDS / 2.0));
        assert_eq!(histogram(&[u64::MAX]).quantile(0.5), Some(64.0));
        assert_eq!(histogram(&[1, u64::MAX]).quantile(7.0), Some(64.0));
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let whole = histogram(&[0, 1_500, 2_000_000, 70_000_000_000]);
        let mut parts = histogram(&[0, 2_000_000]);
        let first = parts.clone();
        parts.merge(&histogram(&[1_500, 70_000_000_000]));
        assert_eq!(parts, whole);
        assert_eq!(parts.since(&first), histogram(&[1_500, 70_000_000_000]));
        let mut counts = [0_u32; BUCKETS];
        counts[usize::from(bucket::bucket_of(5))] = 3;
        parts.merge_buckets(&counts, 15);
        assert_eq!((parts.count(), parts.sum_ns()), (whole.count() + 3, whole.sum_ns() + 15));
    }

    #[test]
    fn parts_of_a_histogram_add_up_and_unknown_buckets_are_refused() {
        let mut parts = Histogram::default();
        assert!(parts.add(usize::from(bucket::bucket_of(5_000)), 2));
        parts.add_sum(10_000);
        assert!(!parts.add(BUCKETS, 1));
        assert_eq!(parts, histogram(&[5_000, 5_000]));
    }

    #[test]
    fn classic_form_counts_each_duration_once_at_its_bound() {
        let mut samples = Vec::new();
        // 2^-10 s to the nanosecond, one more, and two that only `+Inf` holds.
        histogram(&[976_562, 976_563, 64_000_000_001, u64::from(u32::MAX) * 1_000]).to_samples(
            &ClassicLabels::new(r#"port="80""#.into()),
            &mut samples,
            0,
        );
        let native = samples.pop().and_then(|sample| sample.native).expect("the last one is native");
        assert_eq!((native.count, native.sum), (4.0, 4358.969248126));
        let text: Vec<String> = samples
            .iter()
            .map(|sample| format!("{}{{{}}} {}", sample.suffix.as_str(), sample.labels, sample.value))
            .collect();
        assert_eq!(
            text,
            [
                r#"_bucket{port="80",le="1.52587890625e-05"} 0"#,
                r#"_bucket{port="80",le="6.103515625e-05"} 0"#,
                r#"_bucket{port="80",le="0.000244140625"} 0"#,
                r#"_bucket{port="80",le="0.0009765625"} 1"#,
                r#"_bucket{port="80",le="0.00390625"} 2"#,
                r#"_bucket{port="80",le="0.015625"} 2"#,
                r#"_bucket{port="80",le="0.0625"} 2"#,
                r#"_bucket{port="80",le="0.25"} 2"#,
                r#"_bucket{port="80",le="1.0"} 2"#,
                r#"_bucket{port="80",le="4.0"} 2"#,
                r#"_bucket{port="80",le="16.0"} 2"#,
                r#"_bucket{port="80",le="64.0"} 2"#,
                r#"_bucket{port="80",le="+Inf"} 4"#,
                r#"_sum{port="80"} 4358.969248126"#,
                r#"_count{port="80"} 4"#,
            ]
        );
    }

    #[test]
    fn series_without_labels_has_only_the_bound() {
        assert_eq!(&*ClassicLabels::new("".into()).buckets[8], r#"le="1.0""#);
    }
}
