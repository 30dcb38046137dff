//! Native histograms.

use observer_aggregate::{
    family::{Kind, Suffix},
    native::{CUSTOM_BUCKETS, Native},
    series::{Block, STALE},
};
use observer_export::remote_write::Options;

use crate::{
    proto::{BucketSpan, Count, Histogram, ZeroCount},
    receiver::{Point, key},
    source::{BOTH, Pipe},
};

/// A block with a histogram in both forms, and a classic one by itself.
fn block(native: &Native) -> (Block, u32) {
    let mut block = Block::default();
    let family = block.family("x", Kind::Histogram, "", "");
    let classic = [
        (Suffix::Bucket, r#"a="1",le="1""#),
        (Suffix::Bucket, r#"a="1",le="+Inf""#),
        (Suffix::Sum, r#"a="1""#),
        (Suffix::Count, r#"a="1""#),
        (Suffix::Count, r#"a="2""#),
    ];
    for (suffix, labels) in classic {
        let slot = block.add(family, suffix, labels).expect("a slot");
        block.set(slot, 1.0);
    }
    let slot = block.add(family, Suffix::Native, r#"a="1""#).expect("a slot");
    block.set_native(slot, native.count).clone_from(native);
    block.touch();
    (block, slot)
}

fn native(float: bool) -> Native {
    let mut native = Native { schema: 2, float, zero_threshold: 1e-9, zero_count: 2.0, ..Native::default() };
    for (index, count) in [(-3, 4.0), (-2, 1.0), (5, 300.0)] {
        native.positive.push(index, count);
    }
    native.negative.push(1, 7.0);
    (native.count, native.sum) = (314.0, -12.5);
    native
}

/// What the other side sees of a histogram.
fn received(native: &Native, options: Options) -> Histogram {
    let mut pipe = Pipe::new(Options { send_native: true, ..options });
    let (mut block, _) = block(native);
    pipe.window(5000, &mut [&mut block]);
    let points = &pipe.received().series[&key(&[("__name__", "x"), ("a", "1")])];
    let [(5000, Point::Native(histogram))] = &**points else { panic!("{points:?}") };
    (**histogram).clone()
}

fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
    spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect()
}

#[test]
fn whole_counts_are_sent_as_differences() {
    for version in BOTH {
        let expected = Histogram {
            count: Some(Count::Int(314)),
            sum: -12.5,
            schema: 2,
            zero_threshold: 1e-9,
            zero_count: Some(ZeroCount::Int(2)),
            negative_spans: spans(&[(1, 1)]),
            negative_deltas: vec![7],
            positive_spans: spans(&[(-3, 2), (6, 1)]),
            positive_deltas: vec![4, -3, 299],
            timestamp: 5000,
            ..Histogram::default()
        };
        assert_eq!(received(&native(false), Options::new(version)), expected);
    }
}

#[test]
fn counts_that_are_not_whole_are_sent_as_they_are() {
    for version in BOTH {
        let mut odd = native(false);
        odd.positive.counts[1] = 1.5;
        for native in [native(true), odd] {
            let histogram = received(&native, Options::new(version));
            assert_eq!(histogram.count, Some(Count::Float(314.0)));
            assert_eq!(histogram.zero_count, Some(ZeroCount::Float(2.0)));
            assert_eq!(histogram.positive_counts, native.positive.counts);
            assert_eq!(histogram.negative_counts, [7.0]);
            assert!(histogram.positive_deltas.is_empty() && histogram.negative_deltas.is_empty());
        }
    }
}

#[test]
fn gauges_say_so_and_custom_bounds_are_listed() {
    for version in BOTH {
        let custom = Native {
            schema: CUSTOM_BUCKETS,
            gauge: true,
            bounds: vec![0.1, 1.0, 10.0],
            zero_count: 0.0,
            zero_threshold: 0.0,
            ..native(false)
        };
        let histogram = received(&custom, Options::new(version));
        assert_eq!((histogram.schema, histogram.reset_hint), (-53, 3));
        assert_eq!(histogram.custom_values, [0.1, 1.0, 10.0]);
    }
}

#[test]
fn the_end_of_a_histogram_is_a_sum_that_says_so() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options { send_native: true, ..Options::new(version) });
        let (mut block, slot) = block(&native(false));
        pipe.window(1000, &mut [&mut block]);
        block.remove(slot);
        block.touch();
        pipe.window(2000, &mut [&mut block]);
        let points = &pipe.received().series[&key(&[("__name__", "x"), ("a", "1")])];
        let [_, (2000, Point::Native(end))] = &**points else { panic!("{points:?}") };
        assert_eq!((end.sum.to_bits(), &end.count), (STALE.to_bits(), &Some(Count::Int(0))));
        // Without it the classic form is sent.
        block.touch();
        pipe.window(3000, &mut [&mut block]);
        let count = &pipe.received().series[&key(&[("__name__", "x_count"), ("a", "1")])];
        assert_eq!(count.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [3000]);
    }
}

#[test]
fn an_endpoint_gets_one_form_or_both() {
    let names = |send_native, classic_beside_native, version| {
        let options = Options { send_native, classic_beside_native, ..Options::new(version) };
        let mut pipe = Pipe::new(options);
        pipe.window(1000, &mut [&mut block(&native(false)).0]);
        let label =
            |key: &crate::receiver::Key| key.iter().map(|(_, value)| &**value).collect::<Vec<_>>().join(" ");
        pipe.received().series.keys().map(label).collect::<Vec<_>>().join(", ")
    };
    for version in BOTH {
        assert_eq!(names(true, false, version), "x 1, x_count 2");
        let classic = "x_bucket 1 +Inf, x_bucket 1 1, x_count 1, x_count 2, x_sum 1";
        assert_eq!(names(false, false, version), classic);
        assert_eq!(names(true, true, version), format!("x 1, {classic}"));
    }
}
