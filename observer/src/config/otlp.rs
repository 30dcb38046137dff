//! Where windows are posted as OTLP. Prometheus has no such section; the keys are the agent's own.

use std::{path::Path, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use observer_export::otlp::{Histograms, Names, Temporality};

use super::{
    ClientConfig, Login, QueueConfig,
    job::{set, url},
    keys::OtlpKeys,
    otel::Otel,
    remote_write::host,
    section::{At, Labels, Section as _},
    yaml::Fault,
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
    /// What metrics are called.
    pub(crate) names: Names,
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

/// A word, and what it means.
pub(super) type Word<T> = (&'static str, T);

pub(super) const PROTOCOLS: [Word<OtlpProtocol>; 2] =
    [("grpc", OtlpProtocol::Grpc), ("http/protobuf", OtlpProtocol::Http)];

pub(super) const COMPRESSIONS: [Word<OtlpCompression>; 2] =
    [("gzip", OtlpCompression::Gzip), ("none", OtlpCompression::None)];

pub(super) const TEMPORALITIES: [Word<Temporality>; 2] =
    [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];

/// The word for a protocol.
pub(super) fn name(protocol: OtlpProtocol) -> &'static str {
    PROTOCOLS.iter().find(|(_, meaning)| *meaning == protocol).map_or("", |(word, _)| word)
}

/// The port of `grpc` receivers; those of HTTP have 4318.
const GRPC_PORT: u16 = 4317;

impl Otlp {
    /// Relative paths start at `base`; `defaults` is what holds where no key says anything.
    pub(super) fn new(mut keys: OtlpKeys<'_>, base: &Path, defaults: &Otel) -> Result<Self, Fault> {
        let node = keys.place();
        let own_tls = keys.tls_config.is_some();
        let client = ClientConfig::new(client_keys!(keys), base)?;
        let At { node, value: text } =
            keys.endpoint.ok_or_else(|| node.fault("`otlp` without `endpoint`"))?;
        let endpoint = url(node, &text)?;
        let protocol = match &keys.protocol {
            Some(at) => word(at, &PROTOCOLS)?,
            None => defaults.protocol(&endpoint),
        };
        let mut otlp = Self::to_protocol(&endpoint, protocol);
        defaults.apply(&mut otlp);
        let own_headers = keys.headers.is_some() || client.login != Login::default();
        if own_headers {
            otlp.headers = headers(keys.headers)?;
        }
        let tls = if own_tls { client.tls } else { otlp.client.tls };
        otlp.client = ClientConfig { tls, ..client };
        set(&mut otlp.name, &keys.name);
        set(&mut otlp.timeout, &keys.timeout);
        if let Some(at) = &keys.compression {
            otlp.compression = word(at, &COMPRESSIONS)?;
        }
        if let Some(at) = &keys.temporality {
            otlp.temporality = word(at, &TEMPORALITIES)?;
        }
        if let Some(at) = &keys.histograms {
            let words = [("exponential", Histograms::Exponential), ("explicit", Histograms::Explicit)];
            otlp.histograms = word(at, &words)?;
        }
        if let Some(at) = &keys.names {
            otlp.names = word(at, &[("otel", Names::Otel), ("prometheus", Names::Prometheus)])?;
        }
        otlp.resource_attributes = keys.resource_attributes.map(|at| at.value.0).unwrap_or_default();
        if let Some(at) = keys.queue_config {
            otlp.queue = QueueConfig::new(&at.value)?;
        }
        Ok(otlp)
    }

    /// An endpoint of which nothing but the URL and the protocol is said.
    pub(super) fn to_protocol(endpoint: &Uri, protocol: OtlpProtocol) -> Self {
        let path = match (protocol, endpoint.path_and_query()) {
            (OtlpProtocol::Grpc, _) => crate::export::otlp::GRPC_PATH,
            (OtlpProtocol::Http, Some(path)) if path != "/" => path.as_str(),
            (OtlpProtocol::Http, _) => "/v1/metrics",
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
            names: Names::default(),
            resource_attributes: Vec::new(),
            queue: QueueConfig::default(),
        }
    }
}

/// The protocol where nobody says one: that of the port.
pub(super) fn likely(endpoint: &Uri) -> OtlpProtocol {
    if endpoint.port_u16() == Some(GRPC_PORT) { OtlpProtocol::Grpc } else { OtlpProtocol::Http }
}

/// What a text means, or which would mean something.
pub(super) fn meaning<T: Copy>(text: &str, words: &[Word<T>]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("expected {}, not `{text}`", known.join(" or "))
    })
}

fn word<T: Copy>(At { node, value }: &At<'_, String>, words: &[Word<T>]) -> Result<T, Fault> {
    meaning(value, words).map_err(|message| node.fault(message))
}

fn headers(labels: Option<At<'_, Labels>>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let Some(At { node, value: Labels(labels) }) = labels else { return Ok(Vec::new()) };
    let header =
        |(name, value): &(String, String)| header(name, value).map_err(|message| node.fault(message));
    labels.iter().map(header).collect()
}

/// A header that a request may have beside its own.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    let own = ["host", "content-type", "content-encoding", "content-length", "te", "user-agent"];
    if own.contains(&parsed.as_str()) || parsed.as_str().starts_with("grpc-") {
        return Err(format!("header `{name}` is the agent's own"));
    }
    let unfit = |_| format!("the value of header `{name}` has characters that HTTP cannot send");
    Ok((parsed, HeaderValue::from_str(value).map_err(unfit)?))
}
