//! Scraping: one task a target, one snapshot a scrape.

mod decode;
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

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub(crate) use self::target::Failure;
use self::target::Worker;
use crate::{
    clock,
    config::{Job, Target},
    window::TargetSnapshot,
};

/// The running scrapes.
#[derive(Debug)]
pub(crate) struct Scraper {
    snapshots: Vec<watch::Receiver<Arc<TargetSnapshot>>>,
    counters: Arc<Counters>,
    supervisor: JoinHandle<()>,
}

/// Totals over all targets since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Scrapes whose time has come, those skipped because the one before was late included.
    pub(crate) due: u64,
    /// Scrapes that ended, well or not.
    pub(crate) done: u64,
    /// Samples of scrapes that ended well.
    pub(crate) samples: u64,
    /// Samples left out because their series stood in the body before.
    pub(crate) duplicates: u64,
    /// Scrapes that did not end well, by cause in the order of [`Failure::CAUSES`].
    pub(crate) failures: [u64; Failure::CAUSES.len()],
}

#[derive(Debug, Default)]
struct Counters {
    due: AtomicU64,
    done: AtomicU64,
    samples: AtomicU64,
    duplicates: AtomicU64,
    failures: [AtomicU64; Failure::CAUSES.len()],
}

impl Scraper {
    /// Starts to scrape every target of the jobs, until `shutdown`.
    pub(crate) fn spawn(jobs: &[Job], shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        let counters = Arc::new(Counters::default());
        let mut snapshots = Vec::new();
        let mut tasks = JoinSet::new();
        let (now, wall_ns) = (clock::monotonic(), clock::wall_ns());
        for job in jobs {
            let name: Arc<str> = Arc::from(&*job.name);
            for target in &job.targets {
                let interval = job.settings.interval;
                let first = now + until_first(phase(target, interval), interval, wall_ns);
                let (worker, snapshot) = Worker::new(
                    Arc::clone(&name),
                    Arc::new(target.clone()),
                    job.settings,
                    Arc::clone(&counters),
                );
                tasks.spawn(worker.run(first));
                snapshots.push(snapshot);
            }
        }
        let supervisor = tokio::spawn(async move {
            shutdown.await;
            tasks.shutdown().await;
        });
        Self { snapshots, counters, supervisor }
    }

    /// What the last scrape of each target gave, in the order of the configuration.
    pub(crate) fn snapshots(&self) -> Vec<Arc<TargetSnapshot>> {
        self.snapshots.iter().map(|snapshot| Arc::clone(&snapshot.borrow())).collect()
    }

    /// The totals of now.
    pub(crate) fn totals(&self) -> Totals {
        let Counters { due, done, samples, duplicates, failures } = &*self.counters;
        // `done` first: a scrape that ends in between must not make more done than due.
        let done = done.load(Relaxed);
        Totals {
            due: due.load(Relaxed),
            done,
            samples: samples.load(Relaxed),
            duplicates: duplicates.load(Relaxed),
            failures: failures.each_ref().map(|failures| failures.load(Relaxed)),
        }
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
