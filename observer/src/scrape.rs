//! Scraping: one task a target, one snapshot a scrape.

mod budget;
mod decode;
mod discovery;
mod http;
mod labels;
mod shown;
mod status;
mod synthetic;
mod target;
mod threads;

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use observer_aggregate::window::{Source, Window};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::{oneshot, watch},
    task::{AbortHandle, JoinHandle, JoinSet, spawn_blocking},
};

use self::{
    budget::Budget,
    discovery::Discovery,
    http::Buffers,
    target::{Failure, Shared, Worker},
    threads::Threads,
};
pub(crate) use self::{budget::Memory, discovery::Targets};
use crate::{
    clock,
    config::{Job, Limits, ScrapeTarget, Target},
    http::{Connectors, Versions},
    telemetry::{Telemetry, set_count},
    window::{Dropped, TargetList, TargetSnapshot},
};

/// The running scrapes.
#[derive(Debug)]
pub(crate) struct Scraper {
    live: Arc<Live>,
    supervisor: JoinHandle<()>,
}

/// What there is to scrape now.
#[derive(Debug)]
struct Live {
    targets: Mutex<Set>,
    discovered: watch::Receiver<Arc<Targets>>,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    buffers: Arc<Buffers>,
    connectors: Connectors,
}

#[derive(Debug, Default)]
struct Set {
    /// In the order of the configuration.
    active: Vec<Handle>,
    /// Targets that are none any more, until a window has told the end of their series.
    leaving: Vec<Shared>,
}

/// The tasks of the targets.
#[derive(Debug)]
struct Tasks {
    running: JoinSet<()>,
    threads: Threads,
}

/// A target, as others see it.
#[derive(Debug)]
struct Handle {
    target: Arc<ScrapeTarget>,
    core: Shared,
    task: AbortHandle,
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
    over_memory: Counter,
    too_long: Counter,
    out_of_order: Counter,
    /// Those not kept: over the limit, with labels too long, without a time.
    exemplars: [Counter; 3],
    telemetry: Arc<Telemetry>,
}

impl Counters {
    fn new(telemetry: &Arc<Telemetry>) -> Self {
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
            over_memory: refused("memory_limit"),
            too_long: refused("labels_too_long"),
            out_of_order: refused("out_of_order"),
            exemplars: ["limit", "labels_too_long", "no_timestamp"]
                .map(|cause| telemetry.scrape_exemplars_dropped.with([cause])),
            telemetry: Arc::clone(telemetry),
        }
    }

    /// The decoding of a body begins that came whole at `arrived`.
    fn began(&self, arrived: Instant) {
        let waited = clock::monotonic().saturating_duration_since(arrived);
        self.telemetry.shard_lag.body.observe(nanos(waited));
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
    /// Starts to scrape every target of the jobs, and those that come, until `shutdown`.
    ///
    /// # Errors
    ///
    /// When the system gives no threads.
    pub(crate) fn spawn(
        jobs: Vec<Arc<Job>>,
        limits: &Limits,
        telemetry: &Arc<Telemetry>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let threads = Threads::start(limits.scrape_threads())?;
        set_count(&telemetry.scrape_threads, threads.count());
        let (stop, stopping) = oneshot::channel::<()>();
        let discovery = Discovery::spawn(jobs, limits.targets, telemetry, async move {
            // The other end goes when everything ends.
            let _gone = stopping.await;
        });
        let live = Arc::new(Live {
            targets: Mutex::default(),
            discovered: discovery.targets(),
            counters: Arc::new(Counters::new(telemetry)),
            budget: Arc::new(
                Budget::new(limits.series, limits.series_per_target, limits.arena())
                    .with_exemplars(limits.exemplars),
            ),
            buffers: Arc::new(Buffers::new(limits.body_buffers, limits.body_buffer_bytes, telemetry)),
            connectors: Connectors::default(),
        });
        let mut tasks = Tasks { running: JoinSet::new(), threads };
        live.follow(&mut tasks, telemetry);
        let supervisor = {
            let (live, telemetry) = (Arc::clone(&live), Arc::clone(telemetry));
            let mut discovered = discovery.targets();
            tokio::spawn(async move {
                let following = async {
                    while discovered.changed().await.is_ok() {
                        live.follow(&mut tasks, &telemetry);
                        // Tasks of targets that are gone have ended.
                        while tasks.running.try_join_next().is_some() {}
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = following => {}
                    () = shutdown => {}
                }
                tasks.running.shutdown().await;
                drop(stop);
                discovery.stopped().await;
                // What is being decoded aside ends first.
                let _ended = spawn_blocking(|| drop(tasks.threads)).await;
            })
        };
        Ok(Self { live, supervisor })
    }

    /// What the last scrape of each target gave, in the order of the configuration; and what is not scraped.
    pub(crate) fn list(&self) -> TargetList {
        let active = self.live.lock().active.iter().map(Handle::snapshot).map(Arc::new).collect();
        let discovered = Arc::clone(&self.live.discovered.borrow());
        let dropped = discovered.jobs.iter().map(|job| Dropped {
            job: Arc::clone(&job.job),
            labels: job.dropped.clone(),
            count: job.dropped_count,
        });
        TargetList { active, dropped: dropped.collect() }
    }

    /// Gives every target's series and values to a window, behind the one `before`.
    pub(crate) fn take(&self, window: &mut Window, before: &Window) {
        let Set { active, leaving, .. } = &mut *self.live.lock();
        for core in leaving.drain(..) {
            window.take(Source::Scrape, &mut core.lock().block);
        }
        for target in active {
            target.core.give(window, before);
        }
    }

    /// Series there are, and series there may be.
    pub(crate) fn series(&self) -> (usize, usize) {
        self.live.budget.used_of()
    }

    /// Exemplars there are, and exemplars there may be.
    pub(crate) fn exemplars(&self) -> (usize, usize) {
        self.live.budget.exemplars_of()
    }

    /// Heap memory of all targets' series and readers after their last scrapes, and how much may be reserved, in bytes.
    pub(crate) fn memory(&self) -> (Memory, usize) {
        self.live.budget.memory_of()
    }

    /// Whether a target shows a family of that name, one of [`crate::node::FIRST`].
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.live.budget.shown.shows(name)
    }

    /// The progress of now.
    pub(crate) fn progress(&self) -> Progress {
        let counters = &self.live.counters;
        // `done` first: a scrape that ends in between must not make more done than due.
        let done = counters.done.load(Relaxed);
        Progress { due: counters.due.load(Relaxed), done }
    }

    /// Waits until all tasks have ended, which they do only behind `shutdown`.
    pub(crate) async fn stopped(self) {
        // A panic of the supervisor has been printed; there is nothing left to wait for.
        let _ended = self.supervisor.await;
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Set> {
        // A list of handles is whole after every single step.
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is new among the targets, and ends what is none any more. What stays keeps its connection and its series.
    fn follow(&self, tasks: &mut Tasks, telemetry: &Telemetry) {
        let discovered = Arc::clone(&self.discovered.borrow());
        let set = &mut *self.lock();
        let mut before: HashMap<u64, Handle> =
            set.active.drain(..).map(|handle| (handle.target.identity, handle)).collect();
        let (now, wall_ns) = (clock::monotonic(), clock::wall_ns());
        for target in discovered.jobs.iter().flat_map(|job| &job.active) {
            set.active.push(match before.entry(target.identity) {
                Entry::Occupied(same) => same.remove(),
                Entry::Vacant(_) => self.start(target, tasks, now, wall_ns),
            });
        }
        for (_, gone) in before {
            gone.task.abort();
            // A scrape that is being decoded ends first; there is no other behind it.
            let mut core = gone.core.lock();
            core.end();
            drop(core);
            set.leaving.push(gone.core);
        }
        set_count(&telemetry.scrape_targets, set.active.len());
    }

    fn start(&self, target: &Arc<ScrapeTarget>, tasks: &mut Tasks, now: Instant, wall_ns: u64) -> Handle {
        let phase = phase(&target.target, target.interval);
        let first = now + until_first(phase, target.interval, wall_ns);
        let client = &target.job.client;
        let connector = self.connectors.get(&client.tls, Versions::of(client));
        let counters = Arc::clone(&self.counters);
        let (worker, core) =
            Worker::new(Arc::clone(target), counters, &self.budget, &self.buffers, connector);
        let thread = tasks.threads.at(nanos(phase) / STEP);
        let task = tasks.running.spawn_on(worker.run(first), thread);
        Handle { target: Arc::clone(target), core, task }
    }
}

impl Handle {
    fn snapshot(&self) -> TargetSnapshot {
        let core = self.core.lock();
        let snapshot = core.status.snapshot(&self.target, core.refused());
        #[cfg(test)]
        let snapshot = TargetSnapshot { families: core.families(), ..snapshot };
        snapshot
    }
}

/// A second in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What phases are multiples of where intervals are whole seconds, in nanoseconds.
const STEP: u64 = SECOND / 100;

/// Where in its interval a target is scraped: spread evenly, and the same after a restart. Where intervals are whole seconds, so that the
/// body comes well within a window: one that came now before its end and now behind it would leave a window without a scrape, and
/// the next with two, of which the second counts. And in steps, so that requests that go out together and bodies that come together take
/// one wake-up: on an idle machine that is a third of what a scrape of a thousand samples costs.
fn phase(target: &Target, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (target.url.to_string(), &target.labels).hash(&mut hasher);
    let phase = hasher.finish() % nanos(interval).max(1);
    let (second, within) = (phase / SECOND, phase % SECOND);
    Duration::from_nanos(match nanos(interval) % SECOND {
        // From 0.02 to 0.89 s.
        0 => second * SECOND + SECOND / 50 + within / (SECOND / 88 + 1) * STEP,
        _ => phase,
    })
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
