//! How an endpoint is, for people: in the log, rarely, and for who asks.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use observer_export::Protocol;
use observer_queue::{Harm, Place, State, Stats};

use crate::clock;

/// An endpoint at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Its name.
    pub(crate) name: String,
    /// Where it posts to, without a password.
    pub(crate) url: String,
    /// What windows are encoded in.
    pub(crate) protocol: Option<Protocol>,
    /// Whether the last request is to be tried again.
    pub(crate) failing: bool,
    /// Why a request last had to be tried again.
    pub(crate) last_failure: Option<Failure>,
    /// Why something was last dropped for good.
    pub(crate) last_refusal: Option<Failure>,
    /// When a request last went well, in milliseconds since the Unix epoch; 0 for never.
    pub(crate) last_success_ms: i64,
    /// What waits.
    pub(crate) queue: Stats,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What.
    pub(crate) message: String,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) time_ms: i64,
}

/// How often a failure that goes on is logged.
const EVERY: Duration = Duration::from_secs(60);

/// The part of it that threads write.
#[derive(Debug)]
pub(super) struct StatusCell {
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    protocol: Option<Protocol>,
    failing: Option<Instant>,
    failure: Option<Failure>,
    refusal: Option<Failure>,
    success_ms: i64,
    failures: Said,
    refusals: Said,
    disk_failing: Option<Instant>,
}

/// Lets a line through once a while, and knows how much was not said.
#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    held_back: u64,
}

impl Said {
    /// Counts `n`, and gives what has gathered if it is time to say it.
    fn count(&mut self, n: u64, now: Instant) -> Option<u64> {
        self.held_back += n;
        let due = self.last.is_none_or(|last| now.duration_since(last) >= EVERY);
        due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.held_back)
        })
    }
}

/// So many of a thing.
pub(super) fn counted(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

impl StatusCell {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), inner: Mutex::default() }
    }

    /// Something was dropped for good.
    pub(super) fn refused(&self, message: &str, samples: u64) {
        let mut inner = self.lock();
        inner.refusal = Some(Failure { message: message.to_owned(), time_ms: clock::wall_ms() });
        if let Some(samples) = inner.refusals.count(samples, clock::monotonic()) {
            let are = if samples == 1 { "is" } else { "are" };
            log::error!("export `{}`: {} {are} dropped: {message}", self.name, counted(samples, "sample"));
        }
    }

    /// A request is to be tried again.
    pub(super) fn failed(&self, message: &str) {
        let now = clock::monotonic();
        let mut inner = self.lock();
        inner.failing.get_or_insert(now);
        inner.failure = Some(Failure { message: message.to_owned(), time_ms: clock::wall_ms() });
        if let Some(times) = inner.failures.count(1, now) {
            let requests = counted(times, "request");
            log::warn!("export `{}` is tried again, as {requests} failed: {message}", self.name);
        }
    }

    /// A request went well.
    pub(super) fn succeeded(&self) {
        let mut inner = self.lock();
        inner.success_ms = clock::wall_ms();
        if let Some(since) = inner.failing.take() {
            log::info!("export `{}` goes on after {:.1?}", self.name, since.elapsed());
        }
    }

    /// How the queue's disk is, and where its files were found damaged since the last call.
    pub(super) fn disk(&self, stats: &Stats, damaged: &[Place]) {
        let name = &self.name;
        for place in damaged {
            match place.harm {
                // A process that is killed leaves no whole record behind.
                Harm::Torn { .. } => log::warn!("export `{name}`: {place}"),
                _ => log::error!("export `{name}`: {place}"),
            }
        }
        let mut inner = self.lock();
        match (stats.state == State::DiskFailing, inner.disk_failing) {
            (true, None) => {
                inner.disk_failing = Some(clock::monotonic());
                let error = stats.error.as_deref().unwrap_or_default();
                log::error!("export `{name}`: memory takes what the queue's disk does not: {error}");
            }
            (false, Some(since)) => {
                inner.disk_failing = None;
                log::info!("export `{name}`: the queue's disk works again after {:.1?}", since.elapsed());
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// What windows are encoded in from now on.
    pub(super) fn speaks(&self, protocol: Protocol) {
        self.lock().protocol = Some(protocol);
    }

    pub(super) fn with(&self, url: &str, queue: Stats) -> Status {
        let inner = self.lock();
        Status {
            name: self.name.clone(),
            url: url.to_owned(),
            protocol: inner.protocol,
            failing: inner.failing.is_some(),
            last_failure: inner.failure.clone(),
            last_refusal: inner.refusal.clone(),
            last_success_ms: inner.success_ms,
            queue,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after every step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once_a_while() {
        let mut said = Said::default();
        let now = clock::monotonic();
        assert_eq!(said.count(1, now), Some(1));
        assert_eq!(said.count(2, now), None);
        assert_eq!(said.count(3, now + EVERY - Duration::from_millis(1)), None);
        assert_eq!(said.count(4, now + EVERY), Some(9));
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "request")), ["0 requests", "1 request", "2 requests"]);
    }

    #[test]
    fn the_status_remembers_what_went_wrong_last() {
        let cell = StatusCell::new("a");
        cell.failed("status 500");
        cell.refused("status 400: out of order", 3);
        let status = cell.with("http://a/", Stats::default());
        assert!(status.failing && status.last_success_ms == 0);
        assert_eq!(status.last_failure.unwrap().message, "status 500");
        assert_eq!(status.last_refusal.unwrap().message, "status 400: out of order");
        cell.succeeded();
        let status = cell.with("http://a/", Stats::default());
        assert!(!status.failing && status.last_success_ms > 0 && status.last_failure.is_some());
    }
}
