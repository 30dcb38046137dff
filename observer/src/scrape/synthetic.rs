//! The series that a scrape makes about itself, as Prometheus makes them.

use std::time::Duration;

use observer_aggregate::{family::Family, series::Block};

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

/// Their slots in the target's block.
#[derive(Debug)]
pub(super) struct Synthetic([u32; ROWS.len()]);

impl Synthetic {
    /// Adds the series, first of all, so that they win over series of the same name in a body.
    pub(super) fn new(block: &mut Block, labels: &str) -> Self {
        Self(ROWS.map(|(metric, _)| {
            let Family { name, kind, help, unit, .. } = metric.family();
            let family = block.family(&name, kind, &help, &unit);
            let slot = block.add(family, metric.suffix(), labels);
            // Labels too long for any series leave a series without them.
            slot.or_else(|| block.add(family, metric.suffix(), "")).expect("an empty block is short")
        }))
    }

    /// The slots, in the order of the page.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.0.into_iter()
    }

    /// Writes what a scrape has shown.
    pub(super) fn write(&self, report: &Report, block: &mut Block) {
        for (slot, (_, value)) in self.0.into_iter().zip(&ROWS) {
            block.set(slot, value(report));
        }
    }
}
