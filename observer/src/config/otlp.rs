//! Where windows are posted as OTLP. Prometheus has no such section; the keys are the agent's own.

use std::{path::Path, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use observer_export::otlp::{Histograms, Temporality};

use super::{
    ClientConfig, QueueConfig,
    job::{set, url},
    keys::OtlpKeys,
    remote_write::host,
    section::{At, Labels, Section as _},
    yaml::{Fault, Node},
};

/// One entry of `export: otlp`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Otlp {
    /// What messages, counters and the queue's directory call it.
    pub(crate) name: String,
    /// `http` or `https`, with the path of the protocol.
    pub(crate) url: Uri,
    /// How requests are carried.
    pub(crate) protocol: OtlpProtocol,
    /// How requests are compressed.
    pub(crate) compression: OtlpCompression,
    /// Headers of every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The longest from a request to the end of its answer.
    pub(crate) timeout: Duration,
    /// Login and TLS.
    pub(crate) client: ClientConfig,
    /// How sums and histograms are counted.
    pub(crate) temporality: Temporality,
    /// Which histograms are sent.
    pub(crate) histograms: Histograms,
    /// More attributes of all resources.
    pub(crate) resource_attributes: Vec<(String, String)>,
    /// What waits, and how it is sent.
    pub(crate) queue: QueueConfig,
}

/// How requests are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtlpProtocol {
    /// `http/protobuf`
    Http,
    /// `grpc`
    Grpc,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtlpCompression {
    /// `none`
    None,
    /// `gzip`
    Gzip,
}

/// The port of `grpc` receivers; those of HTTP have 4318.
const GRPC_PORT: u16 = 4317;

impl Otlp {
    /// Relative paths start at `base`.
    pub(super) fn new(mut keys: OtlpKeys<'_>, base: &Path) -> Result<Self, Fault> {
        let node = keys.place();
        let client = ClientConfig::new(client_keys!(keys), base)?;
        let At { node, value: text } =
            keys.endpoint.ok_or_else(|| node.fault("`otlp` without `endpoint`"))?;
        let endpoint = url(node, &text)?;
        let protocol = match &keys.protocol {
            Some(at) => word(at, &[("grpc", OtlpProtocol::Grpc), ("http/protobuf", OtlpProtocol::Http)])?,
            None => likely(&endpoint),
        };
        let mut otlp = Self::to_protocol(&endpoint, protocol);
        otlp.client = client;
        set(&mut otlp.name, &keys.name);
        set(&mut otlp.timeout, &keys.timeout);
        if let Some(at) = &keys.compression {
            otlp.compression = word(at, &[("gzip", OtlpCompression::Gzip), ("none", OtlpCompression::None)])?;
        }
        if let Some(at) = &keys.temporality {
            let words = [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];
            otlp.temporality = word(at, &words)?;
        }
        if let Some(at) = &keys.histograms {
            let words = [("exponential", Histograms::Exponential), ("explicit", Histograms::Explicit)];
            otlp.histograms = word(at, &words)?;
        }
        otlp.headers = headers(keys.headers)?;
        otlp.resource_attributes = keys.resource_attributes.map(|at| at.value.0).unwrap_or_default();
        if let Some(at) = keys.queue_config {
            otlp.queue = QueueConfig::new(&at.value)?;
        }
        Ok(otlp)
    }

    /// An endpoint of which nothing but the URL is said.
    pub(crate) fn to(endpoint: &Uri) -> Self {
        Self::to_protocol(endpoint, likely(endpoint))
    }

    fn to_protocol(endpoint: &Uri, protocol: OtlpProtocol) -> Self {
        let path = match (protocol, endpoint.path()) {
            (OtlpProtocol::Grpc, _) => crate::export::otlp::GRPC_PATH,
            (OtlpProtocol::Http, "" | "/") => "/v1/metrics",
            (OtlpProtocol::Http, path) => path,
        };
        let mut parts = endpoint.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        Self {
            name: format!("otlp {}", host(endpoint)),
            url: Uri::from_parts(parts).unwrap_or_else(|_| endpoint.clone()),
            protocol,
            compression: OtlpCompression::Gzip,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            client: ClientConfig::default(),
            temporality: Temporality::default(),
            histograms: Histograms::default(),
            resource_attributes: Vec::new(),
            queue: QueueConfig::default(),
        }
    }
}

/// The protocol where nobody says one: that of the port.
fn likely(endpoint: &Uri) -> OtlpProtocol {
    if endpoint.port_u16() == Some(GRPC_PORT) { OtlpProtocol::Grpc } else { OtlpProtocol::Http }
}

fn word<T: Copy>(At { node, value }: &At<'_, String>, words: &[(&str, T)]) -> Result<T, Fault> {
    let found = words.iter().find(|(word, _)| word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        node.fault(format!("expected {}, not `{value}`", known.join(" or ")))
    })
}

fn headers(labels: Option<At<'_, Labels>>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let Some(At { node, value: Labels(labels) }) = labels else { return Ok(Vec::new()) };
    labels.into_iter().map(|(name, value)| header(node, &name, &value)).collect()
}

fn header(node: Node<'_>, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Fault> {
    let parsed: HeaderName =
        name.parse().map_err(|_| node.fault(format!("`{name}` is not the name of a header")))?;
    let own = ["host", "content-type", "content-encoding", "content-length", "te", "user-agent"];
    if own.contains(&parsed.as_str()) || parsed.as_str().starts_with("grpc-") {
        return Err(node.fault(format!("header `{name}` is the agent's own")));
    }
    let unfit = |_| node.fault(format!("the value of header `{name}` has characters that HTTP cannot send"));
    Ok((parsed, HeaderValue::from_str(value).map_err(unfit)?))
}
