//! `/api/v1/status/exports`: how each receiver of windows is.

use observer_export::Protocol;
use observer_queue::{Cause, State, Stats, Totals};
use serde::Serialize;

use super::route::rfc3339;
use crate::export::delivery::{Failure, Status};

#[derive(Serialize)]
struct Answer<'s> {
    status: &'static str,
    data: Vec<Export<'s>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'s> {
    name: &'s str,
    url: &'s str,
    /// `delivering`, or `retrying` if the last request is to be tried again.
    state: &'static str,
    protocol: &'static str,
    last_success: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<Said<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<Said<'s>>,
    queue: Queue<'s>,
}

#[derive(Serialize)]
struct Said<'s> {
    message: &'s str,
    time: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue<'s> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_error: Option<&'s str>,
    memory: Waiting,
    disk: Waiting,
    oldest_pending: String,
    durable_until: String,
    dropped_samples: u64,
}

#[derive(Serialize)]
struct Waiting {
    requests: u64,
    samples: u64,
    bytes: u64,
}

/// The body of the answer.
pub(super) fn body(exports: &[Status]) -> String {
    let answer = Answer { status: "success", data: exports.iter().map(Export::new).collect() };
    // Strings and numbers.
    serde_json::to_string(&answer).expect("plain data is JSON")
}

impl<'s> Export<'s> {
    fn new(status: &'s Status) -> Self {
        let Status { name, url, protocol, failing, last_failure, last_refusal, last_success_ms, queue } =
            status;
        Self {
            name,
            url,
            state: if *failing { "retrying" } else { "delivering" },
            protocol: match protocol {
                Some(Protocol::RemoteWrite1) => "remote write 1.0",
                Some(Protocol::RemoteWrite1Zstd) => "remote write 1.0, zstd",
                Some(Protocol::RemoteWrite2) => "remote write 2.0",
                Some(Protocol::Otlp) => "OTLP",
                None => "",
            },
            last_success: rfc3339(*last_success_ms),
            last_failure: last_failure.as_ref().map(Said::new),
            last_refusal: last_refusal.as_ref().map(Said::new),
            queue: Queue::new(queue),
        }
    }
}

impl<'s> Said<'s> {
    fn new(Failure { message, time_ms }: &'s Failure) -> Self {
        Self { message, time: rfc3339(*time_ms) }
    }
}

impl<'s> Queue<'s> {
    fn new(stats: &'s Stats) -> Self {
        let all = Cause::ALL.map(|cause| stats.dropped(cause));
        Self {
            state: match stats.state {
                State::Memory => "memory",
                State::Disk => "disk",
                State::DiskFailing => "disk failing",
            },
            disk_error: stats.error.as_deref(),
            memory: Waiting::new(stats.memory),
            disk: Waiting::new(stats.disk),
            oldest_pending: rfc3339(stats.oldest_end_ms.unwrap_or(0)),
            durable_until: rfc3339(stats.durable_end_ms.unwrap_or(0)),
            dropped_samples: all.iter().map(|totals| totals.samples + totals.histograms).sum(),
        }
    }
}

impl Waiting {
    const fn new(totals: Totals) -> Self {
        Self { requests: totals.entries, samples: totals.samples + totals.histograms, bytes: totals.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_fails_says_why_and_what_waits() {
        let queue = Stats {
            disk: Totals { entries: 2, bytes: 30, samples: 7, histograms: 1, exemplars: 0 },
            state: State::Disk,
            oldest_end_ms: Some(1000),
            ..Stats::default()
        };
        let status = Status {
            name: "main".to_owned(),
            url: "http://a/".to_owned(),
            protocol: Some(Protocol::RemoteWrite2),
            failing: true,
            last_failure: Some(Failure { message: "status 500".to_owned(), time_ms: 2000 }),
            last_refusal: None,
            last_success_ms: 0,
            queue,
        };
        let expected = r#"{"status":"success","data":[{"name":"main","url":"http://a/","state":"retrying","protocol":"remote write 2.0","lastSuccess":"0001-01-01T00:00:00Z","lastFailure":{"message":"status 500","time":"1970-01-01T00:00:02.000Z"},"queue":{"state":"disk","memory":{"requests":0,"samples":0,"bytes":0},"disk":{"requests":2,"samples":8,"bytes":30},"oldestPending":"1970-01-01T00:00:01.000Z","durableUntil":"0001-01-01T00:00:00Z","droppedSamples":0}}]}"#;
        assert_eq!(body(&[status]), expected);
    }
}
