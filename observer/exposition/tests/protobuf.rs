//! The protobuf reader on a real body, whole and broken.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/disturb.rs"]
mod disturb;
#[path = "support/random.rs"]
mod random;

use std::collections::HashMap;

use observer_exposition::{
    Event, escape, protobuf,
    protobuf::{Family, Metric, Value},
    text, unescape,
};
use random::Random;

/// Prometheus 2.42 about itself, at the same second in both formats; the text is only its start.
const PROTOBUF: &[u8] = include_bytes!("bodies/prometheus.pb");
const TEXT: &str = include_str!("bodies/prometheus.txt");

/// The series of a metric with their values, as the text format has them. Quantiles and bounds are numbers.
fn series(family: &Family<'_>, metric: &Metric<'_>, out: &mut HashMap<String, f64>) {
    let mut put = |suffix: &str, label: Option<(&str, f64)>, value: f64| {
        let mut labels: Vec<_> =
            metric.labels.iter().map(|label| format!("{}=\"{}\"", label.name, escape(label.value))).collect();
        labels.extend(label.map(|(name, value)| format!("{name}=\"{value}\"")));
        labels.sort();
        out.insert(format!("{}{suffix}{{{}}}", family.name, labels.join(",")), value);
    };
    match metric.value {
        Value::Counter { value, .. } | Value::Gauge(value) | Value::Untyped(value) => put("", None, value),
        Value::Summary(summary) => {
            summary.quantiles().for_each(|q| put("", Some(("quantile", q.quantile)), q.value));
            put("_sum", None, summary.sum);
            put("_count", None, summary.count as f64);
        }
        Value::Histogram(histogram) => {
            assert!(histogram.native.is_none());
            histogram.buckets().for_each(|b| put("_bucket", Some(("le", b.upper_bound)), b.cumulative_count));
            put("_bucket", Some(("le", f64::INFINITY)), histogram.count);
            put("_sum", None, histogram.sum);
            put("_count", None, histogram.count);
        }
    }
}

#[test]
fn a_real_body_has_the_series_of_its_text() {
    let mut all = HashMap::new();
    let mut helps = HashMap::new();
    for family in protobuf(PROTOBUF) {
        let family = family.unwrap();
        helps.insert(family.name, (family.help, family.kind));
        family.metrics().for_each(|metric| series(&family, &metric.unwrap(), &mut all));
    }
    let (mut compared, mut equal) = (0, 0);
    for event in text(TEXT.as_bytes()) {
        match event.unwrap() {
            Event::Help { name, text } => assert_eq!(helps[&*name].0, text),
            Event::Type { name, kind } => assert_eq!(helps[&*name].1, kind),
            Event::Sample(sample) => {
                let mut labels: Vec<_> = sample
                    .labels
                    .iter()
                    .map(|label| match &*label.name {
                        "le" | "quantile" => {
                            format!("{}=\"{}\"", label.name, label.value.parse::<f64>().unwrap())
                        }
                        name => format!("{name}=\"{}\"", escape(&unescape(label.value))),
                    })
                    .collect();
                labels.sort();
                let value = all[&format!("{}{{{}}}", sample.name, labels.join(","))];
                compared += 1;
                equal += usize::from(value == sample.value || value.is_nan());
            }
            other => panic!("{other:?}"),
        }
    }
    // The two were scraped one after the other.
    assert!(compared > 150 && equal * 10 > compared * 7, "{equal} of {compared}");
}

/// Reads everything, and gives how many metrics there were and whether the body was sound.
fn read(body: &[u8]) -> (usize, bool) {
    let mut all = HashMap::new();
    let mut metrics = 0;
    for family in protobuf(body) {
        let family = match family {
            Ok(family) => family,
            Err(error) => {
                assert!(error.offset <= body.len(), "{error}");
                return (metrics, false);
            }
        };
        for metric in family.metrics() {
            match metric {
                Ok(Metric { value: Value::Histogram(histogram), .. }) if histogram.native.is_some() => {
                    let native = histogram.native.unwrap();
                    let mut last = None;
                    native.positive.for_each(|index, count| {
                        assert!(last.is_none_or(|last| last < index) && count >= 0.0);
                        last = Some(index);
                    });
                }
                Ok(metric) => series(&family, &metric, &mut all),
                Err(error) => {
                    assert!(error.offset <= body.len(), "{error}");
                    return (metrics, false);
                }
            }
            metrics += 1;
        }
    }
    (metrics, true)
}

/// Reads bodies with something done to them; how many were sound and how many not.
fn campaign(bodies: &[Vec<u8>], rounds: usize, seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..rounds {
        let mut body = bodies[random.below(bodies.len())].clone();
        disturb::disturb(&mut body, &mut random);
        let (_, sound) = read(&body);
        good += usize::from(sound);
        bad += usize::from(!sound);
    }
    (good, bad)
}

#[test]
fn any_bytes_are_read_or_refused() {
    let (metrics, sound) = read(PROTOBUF);
    assert!(sound && metrics > 150, "{metrics}");
    let (good, bad) = campaign(&[PROTOBUF.to_vec()], 300, 1);
    assert!(good > 50 && bad > 50, "{good} {bad}");
    let (good, bad) = campaign(&corpus::files("protobuf"), 20_000, 2);
    assert!(good > 5000 && bad > 5000, "{good} {bad}");
}

#[test]
#[ignore = "takes as long as it is told: `cargo xtask fuzz SECONDS`"]
fn for_as_long_as_told() {
    let mut bodies = corpus::files("protobuf");
    bodies.push(PROTOBUF[..3000].to_vec());
    corpus::as_long_as_told(|seed| {
        campaign(&bodies, 5_000, seed);
    });
}
