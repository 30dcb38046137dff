//! The agent on itself: handles that any thread counts with, and what they become in a window.
//!
//! Counters and gauges are `prometheus-client`'s, shared by cloning. They are read one by one and not through its registry,
//! which can only write text: what a window needs is samples, in families that are kept and patched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64};

use observer_aggregate::{
    family::Family,
    histogram::{ClassicLabels, Histogram},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

pub(crate) use self::delay::{Delay, Lag};
use self::process::Process;
use crate::{
    metrics::{Metric, own},
    readings::{Readings, push_label},
};

mod delay;
mod process;

/// A gauge of fractions.
pub(crate) type Ratio = Gauge<f64, AtomicU64>;

/// A family with labels. Asking for a series makes it, at zero; a caller on a hot path asks once and keeps the handle.
#[derive(Debug)]
pub(crate) struct Labelled<M> {
    names: &'static [&'static str],
    series: Mutex<Vec<(String, M)>>,
}

/// Durations. For what happens a few times a second, not for every event.
#[derive(Debug)]
pub(crate) struct Timing {
    histogram: Mutex<Histogram>,
    labels: ClassicLabels,
}

/// Turns the handles into families, once a window.
#[derive(Debug)]
pub(crate) struct Reader {
    telemetry: Arc<Telemetry>,
    process: Process,
    readings: Readings,
    build_labels: String,
}

/// Declares `Telemetry`: a field, its kind and the row of the table it fills.
macro_rules! telemetry {
    ($($field:ident: $kind:ty = $metric:ident,)*) => {
        /// Everything the agent counts about itself. A counter whose truth is kept elsewhere, such as in the kernel's totals,
        /// is set through [`Counter::inner`].
        #[derive(Debug)]
        pub(crate) struct Telemetry {
            $(pub(crate) $field: $kind,)*
        }

        impl Telemetry {
            pub(crate) fn new() -> Arc<Self> {
                Arc::new(Self { $($field: <$kind as Instrument>::new(&own::$metric),)* })
            }

            fn write(&self, out: &mut Readings) {
                $(
                    if let Some(family) = out.find(own::$metric.name) {
                        self.$field.write(family, out);
                    }
                )*
            }
        }
    };
}

telemetry! {
    feature_available: Labelled<Gauge> = FEATURE_AVAILABLE,
    events: Labelled<Counter> = EVENTS,
    events_lost: Labelled<Counter> = EVENTS_LOST,
    decode_errors: Counter = DECODE_ERRORS,
    late_records: Counter = LATE_RECORDS,
    windows: Counter = WINDOWS,
    series: Gauge = SERIES,
    series_limit: Gauge = SERIES_LIMIT,
    rule_groups: Labelled<Gauge> = RULE_GROUPS,
    rule_groups_limit: Labelled<Gauge> = RULE_GROUPS_LIMIT,
    rule_series_turned_away: Labelled<Counter> = RULE_SERIES_TURNED_AWAY,
    rule_samples_noticed: Labelled<Counter> = RULE_SAMPLES_NOTICED,
    arena_used: Gauge = ARENA_USED,
    arena_capacity: Gauge = ARENA_CAPACITY,
    arena_limit: Gauge = ARENA_LIMIT,
    pool_capacity: Gauge = POOL_CAPACITY,
    pool_in_use: Gauge = POOL_IN_USE,
    pool_hits: Counter = POOL_HITS,
    pool_misses: Counter = POOL_MISSES,
    window_completeness: Ratio = WINDOW_COMPLETENESS,
    window_close: Delay = WINDOW_CLOSE,
    shard_lag: Lag = SHARD_LAG,
    sweep: Timing = SWEEP,
    sweep_sockets: Gauge = SWEEP_SOCKETS,
    tcp_groups: Gauge = GROUPS,
    tcp_groups_limit: Gauge = GROUPS_LIMIT,
    tcp_groups_folded: Counter = GROUPS_FOLDED,
    tcp_places: Gauge = PLACES,
    tcp_sockets_displaced: Counter = DISPLACED,
    discovery_refreshes: Labelled<Counter> = DISCOVERY_REFRESHES,
    discovered_targets: Labelled<Gauge> = DISCOVERED_TARGETS,
    scrape_targets: Gauge = SCRAPE_TARGETS,
    scrape_threads: Gauge = SCRAPE_THREADS,
    scrapes: Labelled<Counter> = SCRAPES,
    scrape_body_bytes: Counter = SCRAPE_BODY_BYTES,
    scrape_samples: Counter = SCRAPE_SAMPLES,
    exemplars: Gauge = EXEMPLARS,
    exemplars_limit: Gauge = EXEMPLARS_LIMIT,
    scrape_exemplars_dropped: Labelled<Counter> = SCRAPE_EXEMPLARS_DROPPED,
    body_buffers_limit: Gauge = BODY_BUFFERS_LIMIT,
    body_buffers_free: Gauge = BODY_BUFFERS_FREE,
    body_buffer_limit_bytes: Gauge = BODY_BUFFER_LIMIT_BYTES,
    body_buffer_free_bytes: Gauge = BODY_BUFFER_FREE_BYTES,
    body_buffer_misses: Counter = BODY_BUFFER_MISSES,
    scrape_samples_refused: Labelled<Counter> = SCRAPE_SAMPLES_REFUSED,
    page_samples_dropped: Labelled<Gauge> = PAGE_SAMPLES_DROPPED,
    pages: Labelled<Counter> = PAGES,
    page_bytes: Labelled<Counter> = PAGE_BYTES,
    page_seconds: Labelled<Arc<Timing>> = PAGE_SECONDS,
    page_held: Gauge = PAGE_HELD,
    page_held_limit: Gauge = PAGE_HELD_LIMIT,
    http_connections_refused: Counter = HTTP_CONNECTIONS_REFUSED,
    http_connections_cut: Counter = HTTP_CONNECTIONS_CUT,
    http_requests: Labelled<Counter> = HTTP_REQUESTS,
    export_windows_lost: Labelled<Counter> = EXPORT_WINDOWS_LOST,
    export_series: Labelled<Gauge> = EXPORT_SERIES,
    export_exemplars_untold: Labelled<Counter> = EXPORT_EXEMPLARS_UNTOLD,
    export_not_newer: Labelled<Counter> = EXPORT_NOT_NEWER,
    export_series_refused: Labelled<Counter> = EXPORT_SERIES_REFUSED,
    export_otlp_points: Labelled<Counter> = EXPORT_OTLP_POINTS,
    export_encoder_memory: Labelled<Gauge> = EXPORT_ENCODER_MEMORY,
    export_encoded: Labelled<Counter> = EXPORT_ENCODED,
    export_delivered: Labelled<Counter> = EXPORT_DELIVERED,
    export_dropped: Labelled<Counter> = EXPORT_DROPPED,
    export_retried: Labelled<Counter> = EXPORT_RETRIED,
    export_requests: Labelled<Counter> = EXPORT_REQUESTS,
    export_request: Labelled<Arc<Timing>> = EXPORT_REQUEST,
    export_bytes: Labelled<Counter> = EXPORT_BYTES,
    export_shards: Labelled<Gauge> = EXPORT_SHARDS,
    export_shards_limit: Labelled<Gauge> = EXPORT_SHARDS_LIMIT,
    export_queue_samples: Labelled<Gauge> = EXPORT_QUEUE_SAMPLES,
    export_queue_bytes: Labelled<Gauge> = EXPORT_QUEUE_BYTES,
    export_queue_limit: Labelled<Gauge> = EXPORT_QUEUE_LIMIT,
    export_oldest: Labelled<Ratio> = EXPORT_OLDEST,
    export_delivered_until: Labelled<Ratio> = EXPORT_DELIVERED_UNTIL,
    export_durable: Labelled<Ratio> = EXPORT_DURABLE,
    export_disk_failing: Labelled<Gauge> = EXPORT_DISK_FAILING,
    export_disk_written: Labelled<Counter> = EXPORT_DISK_WRITTEN,
    export_disk_fsyncs: Labelled<Counter> = EXPORT_DISK_FSYNCS,
    export_disk_errors: Labelled<Counter> = EXPORT_DISK_ERRORS,
    export_disk_damaged: Labelled<Counter> = EXPORT_DISK_DAMAGED,
}

/// What a field of [`Telemetry`] can be.
trait Instrument {
    fn new(metric: &'static Metric) -> Self;

    /// Puts the samples of the family with that index.
    fn write(&self, family: usize, out: &mut Readings);
}

/// A handle with a single value.
trait Value: Clone + Default {
    fn value(&self) -> f64;
}

impl Value for Counter {
    fn value(&self) -> f64 {
        self.get() as f64
    }
}

impl Value for Gauge {
    fn value(&self) -> f64 {
        self.get() as f64
    }
}

impl Value for Ratio {
    fn value(&self) -> f64 {
        self.get()
    }
}

impl<M: Value> Instrument for M {
    fn new(_metric: &'static Metric) -> Self {
        Self::default()
    }

    fn write(&self, family: usize, out: &mut Readings) {
        out.put(family, "", self.value());
    }
}

impl<M: Value> Instrument for Labelled<M> {
    fn new(metric: &'static Metric) -> Self {
        Self { names: metric.labels, series: Mutex::default() }
    }

    fn write(&self, family: usize, out: &mut Readings) {
        for (labels, handle) in &*lock(&self.series) {
            out.put(family, labels, handle.value());
        }
    }
}

/// A handle that belongs to labels.
trait Handle: Clone {
    fn made(labels: &str) -> Self;
}

impl<M: Value> Handle for M {
    fn made(_labels: &str) -> Self {
        Self::default()
    }
}

impl Handle for Arc<Timing> {
    fn made(labels: &str) -> Self {
        Self::new(Timing { histogram: Mutex::default(), labels: ClassicLabels::new(labels.into()) })
    }
}

impl Instrument for Labelled<Arc<Timing>> {
    fn new(metric: &'static Metric) -> Self {
        Self { names: metric.labels, series: Mutex::default() }
    }

    fn write(&self, family: usize, out: &mut Readings) {
        for (_, timing) in &*lock(&self.series) {
            timing.write(family, out);
        }
    }
}

impl Instrument for Timing {
    fn new(_metric: &'static Metric) -> Self {
        Self { histogram: Mutex::default(), labels: ClassicLabels::new("".into()) }
    }

    fn write(&self, family: usize, out: &mut Readings) {
        out.put_histogram(family, &self.labels, &lock(&self.histogram));
    }
}

#[expect(private_bounds, reason = "what a handle can be is this module's own")]
impl<M: Handle> Labelled<M> {
    /// The series with these label values, in the order of the table's row.
    pub(crate) fn with<const N: usize>(&self, values: [&str; N]) -> M {
        debug_assert_eq!(self.names.len(), N, "labels {:?}", self.names);
        let mut labels = String::new();
        for (name, value) in self.names.iter().zip(values) {
            push_label(&mut labels, name, value);
        }
        let mut series = lock(&self.series);
        if let Some((_, handle)) = series.iter().find(|(existing, _)| *existing == labels) {
            return handle.clone();
        }
        let handle = M::made(&labels);
        series.push((labels, handle.clone()));
        handle
    }
}

impl Timing {
    pub(crate) fn observe(&self, ns: u64) {
        lock(&self.histogram).observe(ns);
    }
}

impl Reader {
    pub(crate) fn new(telemetry: Arc<Telemetry>) -> Self {
        let mut build_labels = String::new();
        push_label(&mut build_labels, "version", env!("CARGO_PKG_VERSION"));
        push_label(&mut build_labels, "kernel", &process::kernel_release());
        let readings =
            Readings::new(&[own::BUILD_ROWS, own::AGENT_ROWS, own::EXPORT_ROWS, own::PROCESS_ROWS]);
        Self { telemetry, process: Process::new(), readings, build_labels }
    }

    /// Reads all handles, and the process's own figures. The families stay valid until the next reading.
    pub(crate) fn read(&mut self) -> impl Iterator<Item = &Family> {
        let Self { telemetry, process, readings, build_labels } = self;
        if let Some(family) = readings.find(own::BUILD.name) {
            readings.put(family, build_labels, 1.0);
        }
        telemetry.write(readings);
        process.write(readings);
        readings.finish();
        readings.families()
    }
}

/// Sets a gauge to how many there are.
pub(crate) fn set_count(gauge: &Gauge, n: usize) {
    gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these guard is valid after every single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn value(reader: &mut Reader, name: &str, labels: &str) -> Option<f64> {
        let family = reader.read().find(|family| family.name == name)?;
        family.samples.iter().find(|sample| &*sample.labels == labels).map(|sample| sample.value)
    }

    #[test]
    fn handles_count_into_the_next_reading() {
        let telemetry = Telemetry::new();
        let mut reader = Reader::new(Arc::clone(&telemetry));
        let lost = telemetry.events_lost.with(["ring_full"]);
        assert_eq!(value(&mut reader, "observer_events_lost", r#"cause="ring_full""#), Some(0.0));
        lost.inc_by(3);
        telemetry.events_lost.with(["ring_full"]).inc();
        telemetry.windows.inner().store(7, Ordering::Relaxed);
        telemetry.window_completeness.set(0.5);
        assert_eq!(value(&mut reader, "observer_events_lost", r#"cause="ring_full""#), Some(4.0));
        assert_eq!(value(&mut reader, "observer_windows", ""), Some(7.0));
        assert_eq!(value(&mut reader, "observer_window_completeness_ratio", ""), Some(0.5));
    }

    #[test]
    fn timings_are_histograms() {
        let telemetry = Telemetry::new();
        let mut reader = Reader::new(Arc::clone(&telemetry));
        telemetry.sweep.observe(2_000_000);
        for _ in 0..2 {
            assert_eq!(value(&mut reader, "observer_sweep_seconds", r#"le="0.0009765625""#), Some(0.0));
            assert_eq!(value(&mut reader, "observer_sweep_seconds", r#"le="0.00390625""#), Some(1.0));
        }
    }

    #[test]
    fn process_figures_are_plausible() {
        let mut reader = Reader::new(Telemetry::new());
        let mut value = |name| value(&mut reader, name, "").unwrap_or(f64::NAN);
        assert!((1e5..1e11).contains(&value("process_resident_memory_bytes")));
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!((3.0..=value("process_max_fds")).contains(&value("process_open_fds")));
        assert!(value("process_threads") >= 1.0);
        // After 2020, and not in the future of a clock a day wrong.
        assert!(value("process_start_time_seconds") > 1.577e9);
        assert!(value("process_cpu_seconds") >= 0.0);
    }
}
