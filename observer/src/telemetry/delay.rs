//! Delays, cut at the bounds by which goals are stated. Any thread adds to them without waiting for another.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use observer_aggregate::family::{Sample, Suffix};

use super::Instrument;
use crate::{
    metrics::Metric,
    readings::{Readings, push_label},
};

/// Upper bounds in nanoseconds, and how they are written in seconds. 10 ms is what a window may take to close.
const BOUNDS: [(u64, &str); 14] = [
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (7_500_000, "0.0075"),
    (10_000_000, "0.01"),
    (15_000_000, "0.015"),
    (20_000_000, "0.02"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
];

/// A histogram of delays.
#[derive(Debug)]
pub(crate) struct Delay {
    /// One more than there are bounds; not cumulative.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
    plain: Arc<str>,
    /// Label blocks in the order of the counts.
    labels: [Arc<str>; BOUNDS.len() + 1],
}

/// How far behind the shard and those who fill it are.
#[derive(Debug)]
pub(crate) struct Lag {
    /// From the whole second to the begin of the close.
    pub(crate) close: Delay,
    /// What the oldest record of a reading of the ring had waited.
    pub(crate) ring: Delay,
    /// From a body's last byte to the begin of its decoding.
    pub(crate) body: Delay,
}

impl Delay {
    fn labelled(plain: &str) -> Self {
        let labels = std::array::from_fn(|at| {
            let mut labels = plain.to_owned();
            push_label(&mut labels, "le", BOUNDS.get(at).map_or("+Inf", |(_, bound)| bound));
            labels.into()
        });
        Self {
            counts: std::array::from_fn(|_| AtomicU64::default()),
            sum_ns: AtomicU64::default(),
            plain: plain.into(),
            labels,
        }
    }

    /// Adds a delay.
    pub(crate) fn observe(&self, ns: u64) {
        let at = BOUNDS.partition_point(|(bound, _)| *bound < ns);
        self.counts[at].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    fn samples(&self, out: &mut Vec<Sample>) {
        let mut put = |suffix, labels: &Arc<str>, value| {
            out.push(Sample { suffix, labels: Arc::clone(labels), value, timestamp_ms: None, native: None });
        };
        let mut count = 0;
        for (bucket, labels) in self.counts.iter().zip(&self.labels) {
            count += bucket.load(Relaxed);
            put(Suffix::Bucket, labels, count as f64);
        }
        put(Suffix::Sum, &self.plain, self.sum_ns.load(Relaxed) as f64 / 1e9);
        put(Suffix::Count, &self.plain, count as f64);
    }
}

impl Instrument for Delay {
    fn new(_metric: &'static Metric) -> Self {
        Self::labelled("")
    }

    fn write(&self, family: usize, out: &mut Readings) {
        out.put_samples(family, |samples| self.samples(samples));
    }
}

impl Instrument for Lag {
    fn new(metric: &'static Metric) -> Self {
        let of = |what| {
            let mut labels = String::new();
            for name in metric.labels {
                push_label(&mut labels, name, what);
            }
            Delay::labelled(&labels)
        };
        Self { close: of("close"), ring: of("ring"), body: of("body") }
    }

    fn write(&self, family: usize, out: &mut Readings) {
        for delay in [&self.close, &self.ring, &self.body] {
            delay.write(family, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_counts_up_to_its_bound_and_in_all_above() {
        let delay = Delay::labelled("a=\"b\"");
        for ns in [10_000_000, 10_000_001, 3_000_000_000] {
            delay.observe(ns);
        }
        let mut samples = Vec::new();
        delay.samples(&mut samples);
        let value = |labels: &str| {
            let of = |sample: &&Sample| &*sample.labels == labels;
            samples.iter().find(of).map(|sample| sample.value)
        };
        assert_eq!(value(r#"a="b",le="0.0075""#), Some(0.0));
        assert_eq!(value(r#"a="b",le="0.01""#), Some(1.0));
        assert_eq!(value(r#"a="b",le="0.015""#), Some(2.0));
        assert_eq!(value(r#"a="b",le="2.5""#), Some(2.0));
        assert_eq!(value(r#"a="b",le="+Inf""#), Some(3.0));
        assert_eq!(samples.last().map(|sample| sample.value), Some(3.0));
    }

    #[test]
    fn bounds_are_what_they_are_written_as() {
        for (ns, bound) in BOUNDS {
            assert_eq!(bound.parse(), Ok(ns as f64 / 1e9));
        }
        assert!(BOUNDS.is_sorted());
    }
}
