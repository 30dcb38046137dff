//! Scraping: one task a target, one snapshot a scrape.

mod budget;
mod decode;
#[cfg_attr(not(test), expect(dead_code, reason = "the scraper will follow it"))]
pub(crate) mod discovery;
mod http;
mod labels;
mod synthetic;
mod target;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use observer_aggregate::window::{Source, Window};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::budget::Budget;
use self::target::{Failure, Shared, Worker};
use crate::{
    clock,
    config::{Job, Target},
    telemetry::Telemetry,
    window::TargetSnapshot,
};

/// The running scrapes.
#[derive(Debug)]
pub(crate) struct Scraper {
    targets: Vec<Handle>,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    supervisor: JoinHandle<()>,
}

/// A target, as others see it.
#[derive(Debug)]
struct Handle {
    core: Shared,
    snapshot: watch::Receiver<Arc<TargetSnapshot>>,
}

/// What the targets count together.
#[derive(Debug)]
struct Counters {
    due: AtomicU64,
    done: AtomicU64,
    skipped: Counter,
    success: Counter,
    /// In the order of [`Failure::RESULTS`].
    failures: [Counter; Failure::RESULTS.len()],
    samples: Counter,
    body_bytes: Counter,
    duplicates: Counter,
    over_limit: Counter,
    over_budget: Counter,
}

impl Counters {
    fn new(telemetry: &Telemetry) -> Self {
        let result = |result| telemetry.scrapes.with([result]);
        let refused = |cause| telemetry.scrape_samples_refused.with([cause]);
        Self {
            due: AtomicU64::default(),
            done: AtomicU64::default(),
            skipped: result("skipped"),
            success: result("success"),
            failures: Failure::RESULTS.map(result),
            samples: telemetry.scrape_samples.clone(),
            body_bytes: telemetry.scrape_body_bytes.clone(),
            duplicates: refused("duplicate"),
            over_limit: refused("sample_limit"),
            over_budget: refused("series_limit"),
        }
    }
}

/// How far the scrapes are, over all targets since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Scrapes whose time has come, those skipped because the one before was late included.
    pub(crate) due: u64,
    /// Scrapes that ended, well or not.
    pub(crate) done: u64,
}

impl Scraper {
    /// Starts to scrape every target of the jobs, until `shutdown`.
    pub(crate) fn spawn(
        jobs: &[Job],
        series_limit: usize,
        telemetry: &Telemetry,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let counters = Arc::new(Counters::new(telemetry));
        let budget = Arc::new(Budget::new(series_limit));
        let mut targets = Vec::new();
        let mut tasks = JoinSet::new();
        let (now, wall_ns) = (clock::monotonic(), clock::wall_ns());
        for job in jobs {
            let name: Arc<str> = Arc::from(&*job.name);
            for target in &job.targets {
                let interval = job.settings.interval;
                let first = now + until_first(phase(target, interval), interval, wall_ns);
                let (worker, core, snapshot) = Worker::new(
                    Arc::clone(&name),
                    Arc::new(target.clone()),
                    job.settings,
                    Arc::clone(&counters),
                    &budget,
                );
                tasks.spawn(worker.run(first));
                targets.push(Handle { core, snapshot });
            }
        }
        telemetry.scrape_targets.set(i64::try_from(targets.len()).unwrap_or(i64::MAX));
        let supervisor = tokio::spawn(async move {
            shutdown.await;
            tasks.shutdown().await;
        });
        Self { targets, counters, budget, supervisor }
    }

    /// What the last scrape of each target gave, in the order of the configuration.
    pub(crate) fn snapshots(&self) -> Vec<Arc<TargetSnapshot>> {
        self.targets.iter().map(|target| Arc::clone(&target.snapshot.borrow())).collect()
    }

    /// Gives every target's series and values to a window.
    pub(crate) fn take(&self, window: &mut Window) {
        for target in &self.targets {
            window.take(Source::Scrape, &mut target.core.lock().block);
        }
    }

    /// Series there are, and series there may be.
    pub(crate) fn series(&self) -> (usize, usize) {
        self.budget.used_of()
    }

    /// Heap memory of all targets' series and readers, in bytes: used, and reserved.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let each = self.targets.iter().map(|target| target.core.lock().memory());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Rises when a series of a target comes or goes.
    pub(crate) fn changes(&self) -> u64 {
        self.targets.iter().map(|target| target.core.lock().block.changes()).sum()
    }

    /// Whether a target shows a family of that name (without `_total`).
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target.core.lock().block.shows(name))
    }

    /// The progress of now.
    pub(crate) fn progress(&self) -> Progress {
        // `done` first: a scrape that ends in between must not make more done than due.
        let done = self.counters.done.load(Relaxed);
        Progress { due: self.counters.due.load(Relaxed), done }
    }

    /// Waits until all tasks have ended, which they do only behind `shutdown`.
    pub(crate) async fn stopped(self) {
        // A panic of the supervisor has been printed; there is nothing left to wait for.
        let _ended = self.supervisor.await;
    }
}

/// Where in its interval a target is scraped: spread evenly, and the same after a restart.
fn phase(target: &Target, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (target.url.to_string(), &target.labels).hash(&mut hasher);
    Duration::from_nanos(hasher.finish() % nanos(interval).max(1))
}

/// From now to the next time at which the interval is in its phase.
fn until_first(phase: Duration, interval: Duration, wall_ns: u64) -> Duration {
    let interval = nanos(interval).max(1);
    Duration::from_nanos((nanos(phase) % interval + interval - wall_ns % interval) % interval)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
