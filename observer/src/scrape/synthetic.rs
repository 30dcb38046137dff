//! The series that a scrape makes about itself, as Prometheus makes them.

use std::{sync::Arc, time::Duration};

use observer_aggregate::family::{Family, Sample};

use crate::metrics::{Metric, target};

/// What is known when a scrape has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) up: bool,
    pub(super) duration: Duration,
    /// Samples in the body, up to the error if there is one.
    pub(super) scraped: usize,
    /// Samples of those that became series.
    pub(super) kept: usize,
    /// Series that the scrape before did not have.
    pub(super) added: usize,
    /// -1 if the body was over its limit, 0 if there was none.
    pub(super) body_bytes: f64,
}

/// The row of a family, and its value.
type Row = (Metric, fn(&Report) -> f64);

const ROWS: [Row; 6] = [
    (target::UP, |r| f64::from(u8::from(r.up))),
    (target::DURATION, |r| r.duration.as_secs_f64()),
    (target::SAMPLES, |r| r.scraped as f64),
    (target::SAMPLES_KEPT, |r| r.kept as f64),
    (target::SERIES_ADDED, |r| r.added as f64),
    (target::BODY_SIZE, |r| r.body_bytes),
];

/// The families, one series each.
pub(super) fn families(report: &Report, labels: &Arc<str>) -> impl Iterator<Item = Family> {
    ROWS.iter().map(move |(metric, value)| Family {
        samples: vec![Sample {
            suffix: metric.suffix(),
            labels: Arc::clone(labels),
            value: value(report),
            timestamp_ms: None,
        }],
        ..metric.family()
    })
}
