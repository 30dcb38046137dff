//! What an endpoint counts, by handles that are asked for once.

use std::{sync::Arc, time::Duration};

use observer_queue::{Cause, Damage, State, Stats};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::sync::atomic::Ordering::Relaxed;

use super::{Code, Contents};
use crate::telemetry::{Ratio, Telemetry, Timing};

/// The handles of one endpoint.
#[derive(Debug)]
pub(super) struct Counters {
    name: String,
    telemetry: Arc<Telemetry>,
    encoded: Kinds,
    delivered: Kinds,
    retried: Counter,
    bytes: Counter,
    seconds: Arc<Timing>,
    pub(super) shards: Gauge,
    pub(super) delivered_until: Ratio,
    queue: Queued,
}

/// A handle for each kind of sample.
#[derive(Debug)]
struct Kinds {
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
}

#[derive(Debug)]
struct Queued {
    samples: [Gauge; 2],
    bytes: [Gauge; 2],
    oldest: Ratio,
    durable: Ratio,
    failing: Gauge,
    written: Counter,
    fsyncs: Counter,
    errors: Counter,
    damaged: [Counter; Damage::CAUSES],
    dropped: [Counter; Cause::ALL.len()],
}

impl Counters {
    pub(super) fn new(name: &str, telemetry: &Arc<Telemetry>) -> Self {
        let t = telemetry;
        let kinds = |of: &crate::telemetry::Labelled<Counter>| Kinds {
            samples: of.with([name, "sample"]),
            histograms: of.with([name, "histogram"]),
            exemplars: of.with([name, "exemplar"]),
        };
        let places =
            |of: &crate::telemetry::Labelled<Gauge>| [of.with([name, "memory"]), of.with([name, "disk"])];
        let queue = Queued {
            samples: places(&t.export_queue_samples),
            bytes: places(&t.export_queue_bytes),
            oldest: t.export_oldest.with([name]),
            durable: t.export_durable.with([name]),
            failing: t.export_disk_failing.with([name]),
            written: t.export_disk_written.with([name]),
            fsyncs: t.export_disk_fsyncs.with([name]),
            errors: t.export_disk_errors.with([name]),
            damaged: Damage::default().by_cause().map(|(cause, _)| t.export_disk_damaged.with([name, cause])),
            dropped: Cause::ALL.map(|cause| t.export_dropped.with([name, cause.name()])),
        };
        Self {
            encoded: kinds(&t.export_encoded),
            delivered: kinds(&t.export_delivered),
            retried: t.export_retried.with([name]),
            bytes: t.export_bytes.with([name]),
            seconds: t.export_request.with([name]),
            shards: t.export_shards.with([name]),
            delivered_until: t.export_delivered_until.with([name]),
            queue,
            name: name.to_owned(),
            telemetry: Arc::clone(telemetry),
        }
    }

    pub(super) fn encoded(&self, contents: Contents) {
        self.encoded.add(contents);
    }

    pub(super) fn delivered(&self, contents: Contents) {
        self.delivered.add(contents);
    }

    pub(super) fn retried(&self, contents: Contents) {
        self.retried.inc_by(contents.sum());
    }

    /// Counts what will never be delivered.
    pub(super) fn dropped(&self, cause: &str, contents: Contents) {
        self.telemetry.export_dropped.with([&*self.name, cause]).inc_by(contents.sum());
    }

    /// Counts windows that are not encoded.
    pub(super) fn window_lost(&self, cause: &str) {
        self.telemetry.export_windows_lost.with([&*self.name, cause]).inc();
    }

    pub(super) fn answered(&self, code: Code, took: Duration, bytes: usize) {
        code.with(|code| self.telemetry.export_requests.with([&*self.name, code]).inc());
        self.seconds.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.bytes.inc_by(bytes as u64);
    }

    /// Tells how the queue is.
    pub(super) fn queue(&self, stats: &Stats, now_ms: i64) {
        let Queued { samples, bytes, oldest, durable, failing, written, fsyncs, errors, damaged, dropped } =
            &self.queue;
        for ((samples, bytes), totals) in samples.iter().zip(bytes).zip([&stats.memory, &stats.disk]) {
            samples.set(count(totals.samples + totals.histograms));
            bytes.set(count(totals.bytes));
        }
        oldest
            .set(stats.oldest_end_ms.map_or(0.0, |end| (now_ms.saturating_sub(end)).max(0) as f64 / 1000.0));
        durable.set(stats.durable_end_ms.unwrap_or_default() as f64 / 1000.0);
        failing.set(i64::from(stats.state == State::DiskFailing));
        written.inner().store(stats.written_bytes, Relaxed);
        fsyncs.inner().store(stats.fsyncs, Relaxed);
        errors.inner().store(stats.disk_errors, Relaxed);
        for (counter, (_cause, places)) in damaged.iter().zip(stats.damage.by_cause()) {
            counter.inner().store(places, Relaxed);
        }
        for (counter, totals) in dropped.iter().zip(&stats.dropped) {
            counter.inner().store(totals.samples + totals.histograms + totals.exemplars, Relaxed);
        }
    }
}

impl Kinds {
    fn add(&self, Contents { samples, histograms, exemplars }: Contents) {
        self.samples.inc_by(samples);
        self.histograms.inc_by(histograms);
        self.exemplars.inc_by(exemplars);
    }
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
