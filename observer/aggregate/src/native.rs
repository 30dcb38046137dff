//! Native histograms as values of series: one sample that holds all buckets.
//! <https://prometheus.io/docs/specs/native_histograms/>

use observer_abi::bucket;

use crate::histogram::Histogram;

/// The schema of histograms whose bounds are given one by one (`model/histogram/generic.go`, `CustomBucketsSchema`).
pub const CUSTOM_BUCKETS: i32 = -53;

/// The schema of the finest buckets there are.
pub const FINEST: i32 = 8;

/// The schema of the widest buckets there are.
pub const COARSEST: i32 = -4;

/// A histogram at one moment. Counts are of all observations since its start, one a bucket and not cumulative.
#[derive(Debug, Default, PartialEq)]
pub struct Native {
    /// Buckets end at powers of `2^(2^-schema)`: -4 to 8, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// Counts may fall.
    pub gauge: bool,
    /// Counts need not be whole numbers.
    pub float: bool,
    /// Values up to this, below or above zero, are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations in all buckets, and those that are not a number.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets of values above zero.
    pub positive: Buckets,
    /// Buckets of values below zero, by their absolute values.
    pub negative: Buckets,
    /// Upper bounds with [`CUSTOM_BUCKETS`], ascending, without `+Inf`.
    pub bounds: Vec<f64>,
}

/// The buckets of one sign.
#[derive(Debug, Default, PartialEq)]
pub struct Buckets {
    /// Runs of buckets.
    pub spans: Vec<Span>,
    /// A count for each bucket of the runs.
    pub counts: Vec<f64>,
}

/// Buckets without one left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Buckets left out behind the run before; of the first run the index of its first bucket.
    pub offset: i32,
    /// Its buckets.
    pub length: u32,
}

impl Clone for Native {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Keeps the memory of its lists.
    fn clone_from(&mut self, from: &Self) {
        let Self { schema, gauge, float, zero_threshold, zero_count, count, sum, positive, negative, bounds } =
            self;
        (*schema, *gauge, *float) = (from.schema, from.gauge, from.float);
        (*zero_threshold, *zero_count) = (from.zero_threshold, from.zero_count);
        (*count, *sum) = (from.count, from.sum);
        positive.clone_from(&from.positive);
        negative.clone_from(&from.negative);
        bounds.clone_from(&from.bounds);
    }
}

impl Clone for Buckets {
    fn clone(&self) -> Self {
        Self { spans: self.spans.clone(), counts: self.counts.clone() }
    }

    fn clone_from(&mut self, from: &Self) {
        self.spans.clone_from(&from.spans);
        self.counts.clone_from(&from.counts);
    }
}

impl Buckets {
    /// Forgets all buckets and keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.counts.clear();
    }

    /// Appends a bucket. Indexes must rise.
    pub fn push(&mut self, index: i32, count: f64) {
        let end = self
            .spans
            .iter()
            .fold(0, |at: i32, span| at.saturating_add(span.offset).saturating_add_unsigned(span.length));
        match self.spans.last_mut() {
            Some(last) if end == index => last.length += 1,
            _ => self.spans.push(Span { offset: index.saturating_sub(end), length: 1 }),
        }
        self.counts.push(count);
    }

    /// Merges each `2^by` buckets into one, in place.
    fn merge(&mut self, by: u32) {
        let Self { spans, counts } = self;
        // Where runs and counts are read, and how many are kept; there are never more kept than read.
        let (mut at, mut read) = (0_i32, 0);
        let (mut runs, mut kept, mut end) = (0, 0, 0_i32);
        for run in 0..spans.len() {
            let Span { offset, length } = spans[run];
            let first = at.saturating_add(offset);
            at = first.saturating_add_unsigned(length);
            for index in first..at {
                // Bucket `i` ends at a power of the base: its own index, rounded up.
                let wide = (index.saturating_sub(1) >> by) + 1;
                let count = counts[read];
                read += 1;
                if kept > 0 && wide < end {
                    counts[kept - 1] += count;
                    continue;
                }
                if kept > 0 && wide == end {
                    spans[runs - 1].length += 1;
                } else {
                    spans[runs] = Span { offset: wide - end, length: 1 };
                    runs += 1;
                }
                counts[kept] = count;
                kept += 1;
                end = wide + 1;
            }
        }
        spans.truncate(runs);
        counts.truncate(kept);
    }

    /// The buckets that the runs name, with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (i32, f64)> {
        let mut at = 0_i32;
        let indexes = self.spans.iter().flat_map(move |span| {
            let first = at.saturating_add(span.offset);
            at = first.saturating_add_unsigned(span.length);
            first..at
        });
        indexes.zip(self.counts.iter().copied())
    }
}

/// The schema of the finest buckets whose bounds exceed each other at least by that factor, as Prometheus chooses it
/// (`scrape/scrape.go`, `pickSchema`).
#[must_use]
pub fn schema_of_factor(factor: f64) -> i32 {
    // Any bucket is wider than that.
    let factor = if factor <= 1.0 { 1.00271 } else { factor };
    let schema = (-factor.log2().log2()).floor();
    // A cast of a float saturates.
    (schema as i32).clamp(COARSEST, FINEST)
}

impl Native {
    /// How many buckets there are beside the zero bucket.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.positive.counts.len() + self.negative.counts.len()
    }

    /// Merges buckets until the schema is at most this one. Histograms with bounds of their own stay as they are.
    pub fn reduce(&mut self, schema: i32) {
        let schema = schema.max(COARSEST);
        if self.schema == CUSTOM_BUCKETS || self.schema <= schema {
            return;
        }
        let by = self.schema.abs_diff(schema);
        self.positive.merge(by);
        self.negative.merge(by);
        self.schema = schema;
    }

    /// Bytes reserved, its own included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let buckets =
            |b: &Buckets| b.spans.capacity() * size_of::<Span>() + b.counts.capacity() * size_of::<f64>();
        size_of::<Self>()
            + buckets(&self.positive)
            + buckets(&self.negative)
            + self.bounds.capacity() * size_of::<f64>()
    }

    /// Takes what the kernel's buckets hold, in the schema they are cut by. Empty buckets are left out.
    pub fn take(&mut self, histogram: &Histogram) {
        self.positive.clear();
        self.negative.clear();
        self.bounds.clear();
        (self.schema, self.gauge, self.float) = (bucket::SCHEMA, false, false);
        self.zero_threshold = bucket::ZERO_THRESHOLD_SECONDS;
        (self.zero_count, self.count) = (0.0, histogram.count() as f64);
        self.sum = histogram.sum_ns() as f64 / 1e9;
        for (bucket, &count) in histogram.buckets().iter().enumerate().filter(|(_, count)| **count > 0) {
            match bucket::native_index(bucket) {
                Some(index) => self.positive.push(index, count as f64),
                None => self.zero_count += count as f64,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_buckets_are_joined_and_read_back() {
        let mut buckets = Buckets::default();
        let wanted = [(-3, 1.0), (-2, 2.0), (1, 3.0), (2, 4.0), (9, 5.0)];
        for (index, count) in wanted {
            buckets.push(index, count);
        }
        let spans = [(-3, 2), (2, 2), (6, 1)].map(|(offset, length)| Span { offset, length });
        assert_eq!(buckets.spans, spans);
        assert_eq!(buckets.iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_lower_resolution_keeps_every_observation_in_its_range() {
        let mut native = Native { schema: 2, ..Native::default() };
        for (index, count) in [(-4, 1.0), (-3, 2.0), (0, 4.0), (1, 8.0), (4, 16.0), (5, 32.0), (9, 64.0)] {
            native.positive.push(index, count);
        }
        native.negative.push(i32::MIN + 1, 1.0);
        native.reduce(3);
        assert_eq!((native.schema, native.buckets()), (2, 8));
        native.reduce(0);
        let wide: Vec<_> = native.positive.iter().collect();
        assert_eq!(wide, [(-1, 1.0), (0, 6.0), (1, 24.0), (2, 32.0), (3, 64.0)]);
        assert_eq!(native.positive.spans, [Span { offset: -1, length: 5 }]);
        native.reduce(-9);
        assert_eq!(
            (native.schema, native.positive.iter().collect::<Vec<_>>()),
            (COARSEST, vec![(0, 7.0), (1, 120.0)])
        );
    }

    #[test]
    fn a_factor_chooses_the_schema_that_prometheus_chooses() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.0027, 8),
            (1.01, 6),
            (1.1, 2),
            (1.19, 1),
            (1.1892, 2),
            (1.5, 0),
            (2.0, 0),
            (4.0, -1),
            (65536.0, -4),
            (1e9, -4),
        ] {
            assert_eq!(schema_of_factor(factor), schema, "{factor}");
        }
    }

    #[test]
    fn kernel_buckets_keep_their_counts_and_their_sum() {
        let mut histogram = Histogram::default();
        for ns in [0, 1_500, 1_500, 2_000_000, 70_000_000_000] {
            histogram.observe(ns);
        }
        let mut native = Native::default();
        native.take(&histogram);
        native.take(&histogram);
        assert_eq!((native.count, native.zero_count), (5.0, 1.0));
        assert_eq!(native.positive.counts, [2.0, 1.0, 1.0]);
        assert_eq!(native.sum, 70.002003);
    }
}
