//! What is read again does not allocate.

#[path = "../../aggregate/tests/support/allocations.rs"]
mod allocations;
#[path = "support/bodies.rs"]
mod bodies;

use bodies::{NODE_0, NODE_1, PROMETHEUS};
use observer_exposition::{Delta, Dialect, FamilyInfo, Sample, Sink, protobuf, protobuf::Value};

#[derive(Default)]
struct Slots {
    asked: u32,
    sum: f64,
}

impl Sink for Slots {
    fn resolve(&mut self, _: &FamilyInfo<'_>, _: &Sample<'_>) -> Option<u32> {
        self.asked += 1;
        Some(self.asked - 1)
    }

    fn value(&mut self, _: u32, value: f64, _: Option<i64>) {
        self.sum += value;
    }
}

/// Allocations of reading the bodies in turn, 30 times each, after the first was read.
fn allocations(dialect: Dialect, bodies: &[&str]) -> u64 {
    let (mut delta, mut slots) = (Delta::new(dialect), Slots::default());
    delta.decode(bodies[0].as_bytes(), &mut slots).unwrap();
    let before = allocations::count();
    for body in bodies.iter().cycle().take(bodies.len() * 30) {
        let stats = delta.decode(body.as_bytes(), &mut slots).unwrap();
        assert!(!stats.layout_changed && stats.samples > 0);
    }
    allocations::count() - before
}

#[test]
fn the_counter_counts() {
    let before = allocations::count();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(100)));
    assert_eq!(allocations::count() - before, 1);
}

#[test]
fn bodies_with_the_same_lines_are_read_without() {
    assert_eq!(allocations(Dialect::Text, &[NODE_0, NODE_1]), 0);
    let grown = PROMETHEUS.replace(" 0\n", " 12345.75\n").replace(" 1\n", " 2 1700000000000\n");
    assert_eq!(allocations(Dialect::Text, &[PROMETHEUS, &grown]), 0);
    let exemplar = "# TYPE a counter\na_total 1 # {t=\"x\"} 1\nb 2\n# EOF\n";
    let other = exemplar.replace("t=\"x\"", "t=\"another\"").replace("b 2", "b 3 17.5");
    assert_eq!(allocations(Dialect::OpenMetrics, &[exemplar, &other]), 0);
}

#[test]
fn the_protobuf_reader_allocates_nothing() {
    let bodies: [&[u8]; 2] =
        [include_bytes!("bodies/prometheus.pb"), include_bytes!("corpus/protobuf/native.pb")];
    let (before, mut sum, mut buckets) = (allocations::count(), 0.0, 0);
    for body in bodies {
        for family in protobuf(body) {
            for metric in family.unwrap().metrics() {
                let metric = metric.unwrap();
                sum += metric.labels.iter().map(|label| label.value.len() as f64).sum::<f64>();
                match metric.value {
                    Value::Counter { value, .. } | Value::Gauge(value) | Value::Untyped(value) => {
                        sum += value;
                    }
                    Value::Summary(summary) => sum += summary.quantiles().map(|q| q.value).sum::<f64>(),
                    Value::Histogram(histogram) => {
                        sum += histogram.buckets().map(|bucket| bucket.cumulative_count).sum::<f64>();
                        let native =
                            histogram.native.iter().flat_map(|native| [native.positive, native.negative]);
                        native.for_each(|sign| sign.for_each(|_, _| buckets += 1));
                    }
                }
            }
        }
    }
    assert_eq!(allocations::count(), before);
    assert!(sum != 0.0 && buckets > 0);
}
