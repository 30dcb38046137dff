use observer_aggregate::{
    histogram::{ClassicLabels, Histogram},
    series::Block,
    window::{Source, Window},
};
use observer_exposition::{
    self as exposition,
    protobuf::{Metric, Value},
};

use super::*;
use crate::export::prometheus::{Form, tests::family};

/// Every sample of a page of these families, in a short form.
fn written(families: &[observer_aggregate::family::Family], external: &[(String, String)]) -> Vec<String> {
    let mut block = Block::default();
    block.read(families.iter());
    let mut window = Window::default();
    window.begin(0, true);
    window.take(Source::Kernel, &mut block);
    let views: Vec<_> = window.views().collect();
    let mut out = Vec::new();
    super::super::write(&mut Plan::default(), &views, &mut out, Form::Protobuf, external);
    let mut lines = Vec::new();
    for family in exposition::protobuf(&out) {
        let family = family.unwrap();
        for metric in family.metrics() {
            lines.push(format!("{} {:?} {}", family.name, family.kind, short(&metric.unwrap())));
        }
    }
    lines
}

fn short(metric: &Metric<'_>) -> String {
    let labels: Vec<_> =
        metric.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
    let labels = labels.join(",");
    match &metric.value {
        Value::Counter { value, created_ms, .. } => format!("{labels} {value} {created_ms:?}"),
        Value::Gauge(value) | Value::Untyped(value) => format!("{labels} {value}"),
        Value::Summary(summary) => {
            let quantiles: Vec<_> = summary.quantiles().map(|q| (q.quantile, q.value)).collect();
            format!("{labels} {} {} {quantiles:?} {:?}", summary.count, summary.sum, summary.created_ms)
        }
        Value::Histogram(histogram) => {
            let buckets: Vec<_> =
                histogram.buckets().map(|bucket| (bucket.upper_bound, bucket.cumulative_count)).collect();
            let mut fine = Vec::new();
            if let Some(native) = histogram.native {
                native.positive.for_each(|index, count| fine.push((index, count)));
            }
            format!("{labels} {} {} {buckets:?} {fine:?}", histogram.count, histogram.sum)
        }
    }
}

#[test]
fn every_type_has_its_message() {
    let families = [
        family(
            "c",
            Kind::Counter,
            &[(Suffix::Total, "x=\"a\\\"\"", 1.0), (Suffix::Created, "x=\"a\\\"\"", 1.5)],
        ),
        family("g", Kind::Gauge, &[(Suffix::None, "\"x.y\"=\"1\"", 2.0)]),
        family("i", Kind::Info, &[(Suffix::Info, "v=\"1\"", 1.0)]),
        family("u.v", Kind::Unknown, &[(Suffix::None, "", 3.0)]),
        family(
            "s",
            Kind::Summary,
            &[
                (Suffix::None, "quantile=\"0.5\",x=\"1\"", 4.0),
                (Suffix::None, "quantile=\"0.9\",x=\"1\"", 5.0),
                (Suffix::Sum, "x=\"1\"", 6.0),
                (Suffix::Count, "x=\"1\"", 7.0),
            ],
        ),
    ];
    let expected = [
        "c_total Counter x=a\" 1 Some(1500)",
        "g Gauge x_y=1 2",
        "i_info Gauge v=1 1",
        "u_v Unknown  3",
        "s Summary x=1 7 6 [(0.5, 4.0), (0.9, 5.0)] None",
    ];
    assert_eq!(written(&families, &[]), expected);
}

#[test]
fn a_histogram_has_both_forms_in_one_message() {
    let mut histogram = Histogram::default();
    for ns in [1_000_000, 1_000_000, 3_000_000] {
        histogram.observe(ns);
    }
    let mut family = family("h", Kind::Histogram, &[]);
    let labels = ClassicLabels::new("port=\"80\"".into());
    histogram.to_samples(&labels, &mut family.samples, 0);
    let lines = written(&[family], &[("zone".to_owned(), "z".to_owned())]);
    let classic = "(1.52587890625e-5, 0.0), (6.103515625e-5, 0.0), (0.000244140625, 0.0), (0.0009765625, 0.0), \
                   (0.00390625, 3.0), (0.015625, 3.0), (0.0625, 3.0), (0.25, 3.0), (1.0, 3.0), (4.0, 3.0), \
                   (16.0, 3.0), (64.0, 3.0), (inf, 3.0)";
    assert_eq!(lines, [format!("h Histogram port=80,zone=z 3 0.005 [{classic}] [(-39, 2.0), (-33, 1.0)]")]);
}

#[test]
fn series_of_one_metric_that_stand_apart_come_together() {
    let bucket = |x: &str| format!("x=\"{x}\",le=\"+Inf\"");
    let families = [family(
        "h",
        Kind::Histogram,
        &[
            (Suffix::Bucket, &bucket("1"), 1.0),
            (Suffix::Bucket, &bucket("2"), 2.0),
            (Suffix::Sum, "x=\"1\"", 3.0),
            (Suffix::Sum, "x=\"2\"", 4.0),
            (Suffix::Count, "x=\"1\"", 1.0),
            (Suffix::Count, "x=\"2\"", 2.0),
        ],
    )];
    assert_eq!(
        written(&families, &[]),
        ["h Histogram x=1 1 3 [(inf, 1.0)] []", "h Histogram x=2 2 4 [(inf, 2.0)] []"]
    );
}
