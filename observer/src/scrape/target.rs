//! The task of one target: wait, fetch, decode, publish.

use std::{
    mem,
    panic::resume_unwind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use observer_aggregate::window::{Source, Window};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval_at, timeout},
};

use super::{
    Counters,
    budget::Budget,
    decode::{Core, Counts, DecodeError, Untaken},
    http::{Body, Buffers, Client, HttpError},
    nanos,
    synthetic::Report,
};
use crate::{
    clock,
    config::{Dialect, ScrapeTarget, Target, write_duration},
    http::{ConnectError, Connector},
};

/// The shortest time between two messages about one target.
const QUIET: Duration = Duration::from_secs(60);

/// The size of a body from which decoding may take a millisecond, in which other tasks of the thread and the close of a window
/// would wait.
const LARGE: usize = 2 << 20;

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Http(HttpError),
    #[error("scrape took longer than its timeout of {}", write_duration(*.0))]
    Timeout(Duration),
    #[error(transparent)]
    Decode(DecodeError),
}

impl Failure {
    /// The values of `result` for scrapes that failed.
    pub(super) const RESULTS: [&str; 7] =
        ["connect", "tls", "protocol", "status", "too_large", "timeout", "malformed"];

    /// An index into [`Self::RESULTS`].
    const fn result(&self) -> usize {
        match self {
            Self::Http(HttpError::Connect(ConnectError::Tcp { .. })) => 0,
            Self::Http(HttpError::Connect(_) | HttpError::Tls(_)) => 1,
            Self::Http(HttpError::Exchange(_)) => 2,
            Self::Http(HttpError::Status(_)) => 3,
            Self::Http(HttpError::BodyLimit(_))
            | Self::Decode(
                DecodeError::SampleLimit(_) | DecodeError::LabelLimit(_) | DecodeError::BucketLimit(_),
            ) => 4,
            Self::Timeout(_) => 5,
            Self::Http(HttpError::Encoding(_))
            | Self::Decode(DecodeError::Parse(_) | DecodeError::Protobuf(_)) => 6,
        }
    }
}

/// A target's series: written by its worker, and taken by whoever closes a window.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub(super) Arc<Guarded>);

#[derive(Debug)]
pub(super) struct Guarded {
    core: Mutex<Core>,
    /// The number of the core's block.
    block: u64,
    /// A body is being decoded, or will be, that takes so long that nobody should wait for it.
    busy: AtomicBool,
}

impl Shared {
    pub(super) fn new(core: Core) -> Self {
        let (block, busy) = (core.block.id(), AtomicBool::new(false));
        Self(Arc::new(Guarded { core: Mutex::new(core), block, busy }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // After a panic in the middle of a body the next scrape writes every value anew.
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the series to a window: as they are now, or as the window before had them while a large body is being decoded. The
    /// window closes in its time, and what the body brings is in the next.
    pub(super) fn give(&self, window: &mut Window, before: &Window) {
        let mut core = match self.0.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if self.0.busy.load(Acquire) => {
                // The first body of a target that is new has nothing before it.
                let _known = window.keep(self.0.block, before);
                return;
            }
            Err(TryLockError::WouldBlock) => self.lock(),
        };
        window.take(Source::Scrape, &mut core.block);
    }

    /// Does what takes long.
    fn at_length<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        self.0.busy.store(true, Release);
        let done = work(&mut self.lock());
        self.0.busy.store(false, Release);
        done
    }
}

/// Scrapes one target.
#[derive(Debug)]
pub(super) struct Worker {
    target: Arc<ScrapeTarget>,
    client: Client,
    core: Shared,
    body: Body,
    log: Log,
    counters: Arc<Counters>,
}

/// A scrape that is due: done when this goes, also if its target goes first.
struct Due<'c>(&'c Counters);

impl Drop for Due<'_> {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Relaxed);
    }
}

impl Worker {
    pub(super) fn new(
        target: Arc<ScrapeTarget>,
        counters: Arc<Counters>,
        budget: &Arc<Budget>,
        buffers: &Arc<Buffers>,
        connector: Arc<Connector>,
    ) -> (Self, Shared) {
        let core = Shared::new(Core::new(&target.target, &target.job, Arc::clone(budget)));
        let worker = Self {
            client: Client::new(Arc::clone(&target), Arc::clone(buffers), connector),
            core: core.clone(),
            body: Body::default(),
            log: Log::default(),
            target,
            counters,
        };
        (worker, core)
    }

    /// Scrapes at `first` and then once an interval, for ever.
    pub(super) async fn run(mut self, first: Instant) {
        let mut ticks = interval_at(first.into(), self.target.interval);
        // A late scrape is not made up for: two bodies within one interval tell nothing new.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut due = 0;
        loop {
            let tick = ticks.tick().await.into_std();
            let since = nanos(tick.saturating_duration_since(first) + self.target.interval);
            let due_now = since / nanos(self.target.interval);
            self.counters.due.fetch_add(due_now - due, Relaxed);
            self.counters.skipped.inc_by((due_now - due).saturating_sub(1));
            due = due_now;
            let counters = Arc::clone(&self.counters);
            let _due = Due(&counters);
            self.scrape().await;
        }
    }

    async fn scrape(&mut self) {
        let last_scrape_ms = clock::wall_ms();
        let begin = clock::monotonic();
        let result = self.fetch_and_decode().await;
        let now = clock::monotonic();
        let duration = now - begin;

        let mut report = Report { duration, ..Report::default() };
        let failure = match result {
            Ok(counts) => {
                report = Report { up: true, ..self.counted(report, counts) };
                None
            }
            Err((failure, counts)) => {
                report = self.counted(report, counts);
                // What a failed scrape has is not kept, so nothing was added.
                report.added = 0;
                match failure {
                    Failure::Http(HttpError::BodyLimit(_)) => report.body_bytes = -1.0,
                    Failure::Http(_) | Failure::Timeout(_) => report.body_bytes = 0.0,
                    Failure::Decode(_) => {}
                }
                Some(failure)
            }
        };
        self.count(&report, failure.as_ref());
        self.client.release(&mut self.body);
        let error = failure.as_ref().map(Failure::to_string).unwrap_or_default();
        self.log.scraped(&self.target.job.name, &self.target.target, &error, now);
        let mut core = self.core.lock();
        match report.up {
            true => core.succeed(&report),
            false => core.fail(&report),
        }
        core.status.note(last_scrape_ms, duration, &error);
    }

    async fn fetch_and_decode(&mut self) -> Result<Counts, (Failure, Counts)> {
        let none = Counts::default();
        let limit = self.target.timeout;
        let dialect = timeout(limit, self.client.fetch(&mut self.body))
            .await
            .map_err(|_| (Failure::Timeout(limit), none))?
            .map_err(|error| (Failure::Http(error), none))?;
        let arrived = clock::monotonic();
        let decoded = if self.body.len() < LARGE {
            let mut core = self.core.lock();
            self.counters.began(arrived);
            core.decode(&self.body, dialect)
        } else {
            self.decode_aside(dialect, arrived).await
        };
        decoded.map_err(|(error, counts)| (Failure::Decode(error), counts))
    }

    /// Decodes on a thread that may be busy for long.
    async fn decode_aside(
        &mut self,
        dialect: Dialect,
        arrived: Instant,
    ) -> Result<Counts, (DecodeError, Counts)> {
        let (core, body) = (self.core.clone(), mem::take(&mut self.body));
        let counters = Arc::clone(&self.counters);
        let decoding = spawn_blocking(move || {
            let decoded = core.at_length(|core| {
                counters.began(arrived);
                core.decode(&body, dialect)
            });
            (body, decoded)
        });
        let decoded;
        (self.body, decoded) = match decoding.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime ends, and this task with it.
                Err(_) => std::future::pending().await,
            },
        };
        decoded
    }

    fn counted(&self, report: Report, counts: Counts) -> Report {
        let Counts {
            scraped,
            kept,
            added,
            duplicates,
            over_budget,
            over_memory,
            too_long,
            out_of_order,
            exemplars,
        } = counts;
        self.counters.duplicates.inc_by(duplicates as u64);
        self.counters.over_budget.inc_by(over_budget as u64);
        self.counters.over_memory.inc_by(over_memory as u64);
        self.counters.too_long.inc_by(too_long as u64);
        self.counters.out_of_order.inc_by(out_of_order as u64);
        let Untaken { over_limit, too_long: too_long_exemplars, untimed } = exemplars;
        for (counter, count) in self.counters.exemplars.iter().zip([over_limit, too_long_exemplars, untimed])
        {
            counter.inc_by(count as u64);
        }
        self.counters.body_bytes.inc_by(self.body.len() as u64);
        Report { scraped, kept, added, body_bytes: self.body.len() as f64, ..report }
    }

    fn count(&self, report: &Report, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            self.counters.success.inc();
            self.counters.samples.inc_by(report.kept as u64);
            return;
        };
        self.counters.failures[failure.result()].inc();
        if matches!(failure, Failure::Decode(DecodeError::SampleLimit(_))) {
            self.counters.over_limit.inc_by(report.kept as u64);
        }
    }
}

/// What the log says about a target: that it went down and why, at most once a minute, and that it is back.
#[derive(Debug, Default)]
struct Log {
    /// The last message said that the target is down.
    told_down: bool,
    told_at: Option<Instant>,
    untold: u64,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    /// With the failures before it that were not told.
    Down(u64),
    Back,
}

impl Log {
    fn scraped(&mut self, job: &str, target: &Target, error: &str, now: Instant) {
        let url = &target.url;
        match self.next(!error.is_empty(), now) {
            Some(Message::Down(0)) => log::warn!("job `{job}`, target `{url}`: {error}"),
            Some(Message::Down(untold)) => {
                log::warn!(
                    "job `{job}`, target `{url}`: {error} (and {untold} failures since the last message)"
                );
            }
            Some(Message::Back) => log::info!("job `{job}`, target `{url}`: scraped again"),
            None => {}
        }
    }

    fn next(&mut self, failed: bool, now: Instant) -> Option<Message> {
        if !failed {
            // Only a failure that was told needs an end, so a flapping target is quiet too.
            return mem::replace(&mut self.told_down, false).then_some(Message::Back);
        }
        if self.told_at.is_some_and(|told| now.saturating_duration_since(told) < QUIET) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        self.told_down = true;
        Some(Message::Down(mem::take(&mut self.untold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Job;

    #[test]
    fn a_window_does_not_wait_for_a_large_body() {
        let target = Target { url: "http://127.0.0.1:1/m".parse().unwrap(), labels: Vec::new() };
        let budget = Arc::new(Budget::new(100, 100, 1 << 20));
        let shared = Shared::new(Core::new(&target, &Arc::new(Job::default()), budget));
        let closed = |before: &Window| {
            let mut window = Window::default();
            window.begin(1000, true);
            shared.give(&mut window, before);
            window
        };
        shared.at_length(|core| {
            core.decode(b"a 1\n", Dialect::Text).unwrap();
            core.succeed(&Report::default());
            // Nothing is known before the first.
            assert_eq!(closed(&Window::default()).blocks(), 0);
        });
        let before = closed(&Window::default());
        assert!(before.view(0).fresh);
        shared.at_length(|core| {
            core.decode(b"a 2\nb 3\n", Dialect::Text).unwrap();
            core.succeed(&Report::default());
            let window = closed(&before);
            assert_eq!((window.view(0).fresh, window.view(0).values), (false, before.view(0).values));
        });
        let after = closed(&before);
        assert!(after.view(0).fresh);
        assert_eq!(after.len(), before.len() + 1);
    }

    #[test]
    fn a_target_that_is_down_is_told_once_a_minute_and_when_it_is_back() {
        let mut log = Log::default();
        let start = clock::monotonic();
        for (second, failed, expected) in [
            (0, false, None),
            (1, true, Some(Message::Down(0))),
            (2, true, None),
            (3, false, Some(Message::Back)),
            (4, true, None),
            (5, false, None),
            (61, true, Some(Message::Down(2))),
            (90, true, None),
            (200, true, Some(Message::Down(1))),
            (201, false, Some(Message::Back)),
            (202, false, None),
        ] {
            assert_eq!(log.next(failed, start + Duration::from_secs(second)), expected, "second {second}");
        }
    }
}
