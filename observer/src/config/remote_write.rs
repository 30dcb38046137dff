//! Where windows are written to, as Prometheus' `remote_write` has it.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#remote_write>

use std::{path::Path, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};

use super::{
    ClientConfig, Config, QueueConfig,
    job::{rules, set, url},
    keys::{MetadataKeys, RemoteWriteKeys},
    section::{At, Labels, Section as _},
    yaml::{Fault, Node},
};
use crate::relabel::Rules;

/// One entry of `remote_write`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteWrite {
    /// What messages, counters and the queue's directory call it; no other has this name.
    pub(crate) name: String,
    /// `http` or `https`.
    pub(crate) url: Uri,
    /// The longest from a request to the end of its answer.
    pub(crate) timeout: Duration,
    /// Headers of every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Login and TLS.
    pub(crate) client: ClientConfig,
    /// `write_relabel_configs`
    pub(crate) relabel: Rules,
    /// `protobuf_message`
    pub(crate) message: Message,
    /// `compression`
    pub(crate) compression: Compressing,
    /// `send_native_histograms`
    pub(crate) native: bool,
    /// `send_exemplars`
    pub(crate) exemplars: bool,
    /// Version 1.0: how often types and help texts are sent; never if nothing.
    pub(crate) metadata: Option<Duration>,
    /// `queue_config`
    pub(crate) queue: QueueConfig,
}

/// The protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// 2.0, and 1.0 for a receiver that turns out not to speak it.
    Negotiated,
    /// 1.0
    V1,
    /// 2.0
    V2,
}

impl Message {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "prometheus.WriteRequest" => Some(Self::V1),
            "io.prometheus.write.v2.Request" => Some(Self::V2),
            _ => None,
        }
    }
}

/// How requests of version 1.0 are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compressing {
    /// As the specification says.
    Snappy,
    /// zstd, and snappy for a receiver that turns out not to take it.
    Zstd,
    /// zstd for a receiver that says that it takes it.
    Asked,
}

impl Compressing {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "snappy" => Some(Self::Snappy),
            "zstd" => Some(Self::Zstd),
            "auto" => Some(Self::Asked),
            _ => None,
        }
    }
}

/// Headers that a request has anyway, or that have keys of their own. What Prometheus refuses, it refuses too
/// (`config/config.go`, `reservedHeaders`).
const RESERVED: [&str; 17] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "transfer-encoding",
    "retry-attempt",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-victoriametrics-remote-write-version",
];

/// How often Prometheus sends metadata.
const METADATA: Duration = Duration::from_secs(60);

/// One entry of `remote_write`.
pub(super) fn remote_write(mut keys: RemoteWriteKeys<'_>, base: &Path) -> Result<RemoteWrite, Fault> {
    let node = keys.place();
    let client = ClientConfig::new(client_keys!(keys), base)?;
    let At { node, value: text } = keys.url.ok_or_else(|| node.fault("`remote_write` without `url`"))?;
    let mut remote = RemoteWrite::to(url(node, &text)?);
    remote.client = client;
    set(&mut remote.name, &keys.name);
    set(&mut remote.timeout, &keys.remote_timeout);
    set(&mut remote.message, &keys.protobuf_message);
    set(&mut remote.compression, &keys.compression);
    if let Some(at) = &keys.compression
        && (remote.message, at.value) == (Message::V2, Compressing::Zstd)
    {
        return Err(at.node.fault("zstd is for version 1.0: `protobuf_message` says 2.0"));
    }
    set(&mut remote.native, &keys.send_native_histograms);
    set(&mut remote.exemplars, &keys.send_exemplars);
    remote.headers = headers(keys.headers)?;
    remote.relabel = rules(keys.write_relabel_configs)?;
    remote.metadata = metadata(keys.metadata_config.map(|at| at.value).unwrap_or_default());
    remote.queue = QueueConfig::new(&keys.queue_config.map(|at| at.value).unwrap_or_default())?;
    Ok(remote)
}

fn metadata(keys: MetadataKeys<'_>) -> Option<Duration> {
    let send = keys.send.is_none_or(|at| at.value);
    send.then(|| keys.send_interval.map_or(METADATA, |at| at.value))
}

fn headers(labels: Option<At<'_, Labels>>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let Some(At { node, value: Labels(labels) }) = labels else { return Ok(Vec::new()) };
    let header = |(name, value): (String, String)| {
        let parsed: HeaderName =
            name.parse().map_err(|_| node.fault(format!("`{name}` is not the name of a header")))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(node.fault(format!("header `{name}` is the agent's own, or has a key of its own")));
        }
        let unfit =
            |_| node.fault(format!("the value of header `{name}` has characters that HTTP cannot send"));
        Ok((parsed, HeaderValue::from_str(&value).map_err(unfit)?))
    };
    labels.into_iter().map(header).collect()
}

impl RemoteWrite {
    /// An endpoint of which nothing but the URL is said.
    pub(crate) fn to(url: Uri) -> Self {
        // Posts follow only where a receiver says that the same request may go elsewhere.
        Self {
            name: host(&url),
            url,
            timeout: Duration::from_secs(30),
            headers: Vec::new(),
            client: ClientConfig::default(),
            relabel: Rules::default(),
            message: Message::Negotiated,
            compression: Compressing::Snappy,
            native: false,
            exemplars: false,
            metadata: Some(METADATA),
            queue: QueueConfig::default(),
        }
    }
}

/// Host and port of a URL, without a name and a password before them.
pub(super) fn host(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL as it may be shown: without a name, a password, or parameters, which may be secrets.
pub(crate) fn shown(url: &Uri) -> String {
    format!("{}://{}{}", url.scheme_str().unwrap_or_default(), host(url), url.path())
}

impl Config {
    /// Adds an endpoint of the file.
    pub(super) fn push_remote_write(&mut self, keys: RemoteWriteKeys<'_>, base: &Path) -> Result<(), Fault> {
        let node: Node<'_> = keys.place();
        let remote = remote_write(keys, base)?;
        match self.remote_write.iter().any(|other| other.name == remote.name) {
            true => {
                Err(node
                    .fault(format!("a second `remote_write` named `{}`: give each a `name`", remote.name)))
            }
            false => {
                self.remote_write.push(remote);
                Ok(())
            }
        }
    }

    /// Adds an endpoint of the command line, unless the file has it.
    pub(crate) fn add_remote_write(&mut self, url: Uri) {
        if self.remote_write.iter().any(|other| other.url == url) {
            return;
        }
        let mut remote = RemoteWrite::to(url);
        if self.remote_write.iter().any(|other| other.name == remote.name) {
            remote.name = shown(&remote.url);
        }
        self.remote_write.push(remote);
    }
}

/// Reads a URL of the command line.
pub(crate) fn parse_url(text: &str) -> Result<Uri, String> {
    let parsed = text.parse().ok().filter(|url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && !url.host().unwrap_or_default().is_empty()
    });
    parsed.ok_or_else(|| format!("expected a URL such as `http://host:port/path`, not `{text}`"))
}
