//! The formats in which windows leave the agent, and their way to the receivers.

pub(crate) mod delivery;
pub(crate) mod feed;
pub(crate) mod ndjson;
pub(crate) mod negotiate;
pub(crate) mod otlp;
pub(crate) mod prometheus;
pub(crate) mod remote_write;

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher as _},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::Uri;
use observer_export::Protocol;
use tokio::time::timeout;

use crate::{
    config::{Config, QueueConfig, shown},
    export::{
        delivery::{Endpoint, EndpointError, Endpoints, Schedule, Sending, Status, queue_options},
        feed::Feed,
        ndjson::Writing,
        remote_write::Receiver,
    },
    http::PostError,
    telemetry::Telemetry,
};

/// Where queues are when nobody says otherwise; systemd and the images make the directory.
const DEFAULT_STATE: &str = "/var/lib/observer";

const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Why an export does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("cannot start a thread for lines of JSON")]
    Thread(#[source] io::Error),
    #[error("cannot post to `{url}`")]
    Post {
        url: String,
        #[source]
        source: PostError,
    },
}

/// Starts all exports of the configuration.
pub(crate) fn start(
    config: &Config,
    feed: &mut Feed,
    telemetry: &Arc<Telemetry>,
) -> Result<Exports, StartError> {
    let root = config.export.queue_dir.clone().or_else(|| {
        let state = Path::new(DEFAULT_STATE);
        state.is_dir().then(|| state.join("queue"))
    });
    let place = |kind: &str, name: &str| Some(root.as_deref()?.join(kind).join(directory(name)));
    // What tells this agent from others; one that cannot name its host is told by its labels.
    let host = fs::read_to_string(HOSTNAME).unwrap_or_default();
    let agent = (host, &config.global.external_labels);
    let mut endpoints = Endpoints::default();
    for remote in &config.remote_write {
        let url = shown(&remote.url);
        let receiver = Receiver::new(remote).map_err(|source| StartError::Post { url, source })?;
        endpoints.push(Endpoint::spawn(
            &sending(&remote.name, &remote.url, remote_write::first(remote), &remote.queue, &agent),
            feed.add(&remote.name, telemetry),
            remote_write::encoders(remote, &config.global.external_labels, telemetry),
            receiver,
            queue(&remote.queue, place("remote_write", &remote.name)),
            telemetry,
        )?);
    }
    for otlp in &config.export.otlp {
        let url = shown(&otlp.url);
        let receiver = otlp::Receiver::new(otlp).map_err(|source| StartError::Post { url, source })?;
        endpoints.push(Endpoint::spawn(
            &sending(&otlp.name, &otlp.url, Protocol::Otlp, &otlp.queue, &agent),
            feed.add(&otlp.name, telemetry),
            otlp::encoders(otlp, &config.global.external_labels, telemetry),
            receiver,
            queue(&otlp.queue, place("otlp", &otlp.name)),
            telemetry,
        )?);
    }
    let lines = config.export.ndjson.iter().map(|ndjson| Writing::start(ndjson, feed, telemetry));
    let lines = lines.collect::<Result<_, _>>().map_err(StartError::Thread)?;
    Ok(Exports { endpoints, lines })
}

/// All exports that run.
pub(crate) struct Exports {
    endpoints: Endpoints,
    lines: Vec<Writing>,
}

impl Exports {
    /// What tells how each endpoint is.
    pub(crate) fn statuses(&self) -> impl Fn() -> Vec<Status> + Send + Sync + 'static {
        self.endpoints.statuses()
    }

    /// Delivers what there is until `grace` is over or `enough` says so, and stores the rest. The shard has ended.
    pub(crate) async fn finish(self, grace: Duration, enough: impl Future<Output = ()>) {
        let Self { endpoints, lines } = self;
        let written = async { timeout(grace, Writing::finish_all(lines)).await };
        let (written, ()) = tokio::join!(written, endpoints.finish(grace, enough));
        if written.is_err() {
            log::error!("the last lines of JSON are lost: nobody has read them for {grace:?}");
        }
    }
}

fn sending(name: &str, url: &Uri, protocol: Protocol, queue: &QueueConfig, agent: &impl Hash) -> Sending {
    let QueueConfig { min_shards, max_shards, min_backoff, max_backoff, interval, spread, .. } = *queue;
    let mut identity = DefaultHasher::new();
    (agent, name).hash(&mut identity);
    Sending {
        name: name.to_owned(),
        url: shown(url),
        protocol,
        min_shards,
        max_shards,
        min_backoff,
        max_backoff,
        schedule: Schedule::new(interval, spread, identity.finish()),
    }
}

/// The options of a queue that may be in `dir`.
pub(crate) fn queue(config: &QueueConfig, dir: Option<PathBuf>) -> observer_queue::Options {
    let QueueConfig { max_age, memory_bytes, disk_bytes, spill_after, fsync, .. } = *config;
    observer_queue::Options {
        dir: dir.filter(|_| disk_bytes > 0),
        max_bytes: disk_bytes,
        max_age,
        memory_bytes,
        spill_after,
        fsync: fsync.0,
        ..queue_options()
    }
}

/// The directory of an endpoint: its name, with `%` and two digits for each byte that may not stand in a path everywhere.
fn directory(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => path.push(char::from(byte)),
            b'.' if !path.is_empty() => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_directory_of_its_own() {
        for (name, expected) in [
            ("main", "main"),
            ("127.0.0.1:9090", "127.0.0.1%3A9090"),
            ("http://a/b", "http%3A%2F%2Fa%2Fb"),
            ("..", "%2E."),
            ("a%2Fb", "a%252Fb"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(directory(name), expected);
        }
    }
}
