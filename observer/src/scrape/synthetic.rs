//! The series that a scrape makes about itself, as Prometheus makes them.

use std::{sync::Arc, time::Duration};

use observer_aggregate::family::{Family, Kind, Sample, Suffix};

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

/// Name, unit, help text and value of each.
type Row = (&'static str, &'static str, &'static str, fn(&Report) -> f64);

const ROWS: [Row; 6] = [
    ("up", "", "Whether the last scrape of the target succeeded.", |r| f64::from(u8::from(r.up))),
    ("scrape_duration_seconds", "seconds", "Time the last scrape took.", |r| r.duration.as_secs_f64()),
    ("scrape_samples_scraped", "", "Samples the target exposed.", |r| r.scraped as f64),
    ("scrape_samples_post_metric_relabeling", "", "Samples left after metric relabeling.", |r| r.kept as f64),
    ("scrape_series_added", "", "Series that the scrape before did not have.", |r| r.added as f64),
    ("scrape_body_size_bytes", "bytes", "Size of the last body; -1 if it was over its limit.", |r| {
        r.body_bytes
    }),
];

/// The families, one series each.
pub(super) fn families(report: &Report, labels: &Arc<str>) -> impl Iterator<Item = Family> {
    ROWS.iter().map(move |(name, unit, help, value)| Family {
        name: (*name).into(),
        kind: Kind::Gauge,
        help: (*help).into(),
        unit: (*unit).into(),
        samples: vec![Sample {
            suffix: Suffix::None,
            labels: Arc::clone(labels),
            value: value(report),
            timestamp_ms: None,
        }],
    })
}
