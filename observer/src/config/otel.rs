//! OpenTelemetry's own variables of the environment, as far as they are about metrics over OTLP.
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::{path::PathBuf, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use observer_export::otlp::{Histograms, Temporality};

use super::{
    Content, Environment, Otlp, OtlpCompression, OtlpProtocol,
    otlp::{COMPRESSIONS, PROTOCOLS, TEMPORALITIES, Word, header, likely, meaning},
    parse_url,
    tls::Identity,
    yaml::Fault,
};
use crate::export::otlp::listed;

/// What each variable begins with; those of metrics alone decide over those of all signals.
const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_";
const ALL: &str = "OTEL_EXPORTER_OTLP_";

/// The signal's path behind the base URL of all signals.
const PATH: &str = "/v1/metrics";

const HISTOGRAMS: [Word<Histograms>; 2] = [
    ("base2_exponential_bucket_histogram", Histograms::Exponential),
    ("explicit_bucket_histogram", Histograms::Explicit),
];

/// What the variables say; nothing of what they do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Otel {
    endpoint: Option<Endpoint>,
    protocol: Option<OtlpProtocol>,
    headers: Option<Vec<(HeaderName, HeaderValue)>>,
    timeout: Option<Duration>,
    compression: Option<OtlpCompression>,
    ca: Option<Content>,
    identity: Option<Identity>,
    temporality: Option<Temporality>,
    histograms: Option<Histograms>,
}

/// Where to post.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    /// Metrics go exactly there.
    Whole(Uri),
    /// The path of each signal stands behind it.
    Base(Uri),
}

/// A variable that is there, and its name.
struct Said<'a> {
    name: String,
    value: &'a str,
}

impl Said<'_> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::of(&format!("environment variable `{}`", self.name), message.into())
    }

    /// Words count whatever their case is.
    fn word<T: Copy>(&self, words: &[Word<T>]) -> Result<T, Fault> {
        meaning(&self.value.to_ascii_lowercase(), words).map_err(|message| self.fault(message))
    }

    fn url(&self) -> Result<Uri, Fault> {
        parse_url(self.value).map_err(|message| self.fault(message))
    }

    fn file(&self) -> Content {
        Content::File(PathBuf::from(self.value))
    }

    /// Milliseconds.
    fn timeout(&self) -> Result<Duration, Fault> {
        let ms = self.value.parse().ok().filter(|ms: &u64| *ms > 0);
        let ms = ms.ok_or_else(|| {
            self.fault(format!("expected a number of milliseconds, at least 1, not `{}`", self.value))
        })?;
        Ok(Duration::from_millis(ms))
    }

    /// What is wrong is named without the values, which may be secrets.
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
        let pairs = listed(self.value).ok_or_else(|| self.fault("expected `name=value,name=value`"))?;
        let header = |(name, value): &(String, String)| {
            let (name, mut value) = header(name, value).map_err(|message| self.fault(message))?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        pairs.iter().map(header).collect()
    }
}

impl Otel {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// Names the first variable whose value means nothing.
    pub(super) fn read(over: &Environment) -> Result<Self, Fault> {
        // An empty value says nothing.
        // <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#parsing-empty-value>
        let said = |name: String| {
            let value = over.variable(&name)?.trim();
            (!value.is_empty()).then_some(Said { name, value })
        };
        let either = |key: &str| said(format!("{METRICS}{key}")).or_else(|| said(format!("{ALL}{key}")));
        let endpoint = match (said(format!("{METRICS}ENDPOINT")), said(format!("{ALL}ENDPOINT"))) {
            (Some(whole), _) => Some(Endpoint::Whole(whole.url()?)),
            (None, Some(base)) => Some(Endpoint::Base(base.url()?)),
            (None, None) => None,
        };
        let identity = match (either("CLIENT_CERTIFICATE"), either("CLIENT_KEY")) {
            (Some(cert), Some(key)) => Some(Identity { cert: cert.file(), key: key.file() }),
            (Some(cert), None) => {
                return Err(cert.fault("a certificate without `OTEL_EXPORTER_OTLP_CLIENT_KEY`"));
            }
            (None, Some(key)) => {
                return Err(key.fault("a key without `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`"));
            }
            (None, None) => None,
        };
        if let Some(attributes) = said("OTEL_RESOURCE_ATTRIBUTES".to_owned())
            && listed(attributes.value).is_none()
        {
            return Err(attributes.fault("expected `name=value,name=value`"));
        }
        Ok(Self {
            endpoint,
            protocol: either("PROTOCOL").map(|said| said.word(&PROTOCOLS)).transpose()?,
            headers: either("HEADERS").map(|said| said.headers()).transpose()?,
            timeout: either("TIMEOUT").map(|said| said.timeout()).transpose()?,
            compression: either("COMPRESSION").map(|said| said.word(&COMPRESSIONS)).transpose()?,
            ca: either("CERTIFICATE").map(|said| said.file()),
            identity,
            temporality: said(format!("{METRICS}TEMPORALITY_PREFERENCE"))
                .map(|said| said.word(&TEMPORALITIES))
                .transpose()?,
            histograms: said(format!("{METRICS}DEFAULT_HISTOGRAM_AGGREGATION"))
                .map(|said| said.word(&HISTOGRAMS))
                .transpose()?,
        })
    }

    /// Whether there is a variable that says where to post.
    pub(super) fn is_endpoint(over: &Environment) -> bool {
        let said =
            |begin| over.variable(&format!("{begin}ENDPOINT")).is_some_and(|text| !text.trim().is_empty());
        said(METRICS) || said(ALL)
    }

    /// What other endpoints take where they say nothing: nothing if the variables name an endpoint, for then they are about that one,
    /// and its headers are nobody else's.
    pub(super) fn defaults(self) -> Self {
        if self.endpoint.is_some() { Self::default() } else { self }
    }

    /// The protocol of an endpoint.
    pub(super) fn protocol(&self, endpoint: &Uri) -> OtlpProtocol {
        self.protocol.unwrap_or_else(|| likely(endpoint))
    }

    /// The endpoint that the variables name.
    pub(super) fn otlp(&self) -> Option<Otlp> {
        let (Endpoint::Whole(url) | Endpoint::Base(url)) = self.endpoint.as_ref()?;
        let mut otlp = Otlp::to_protocol(url, self.protocol(url));
        if otlp.protocol == OtlpProtocol::Http {
            otlp.url = match self.endpoint.as_ref()? {
                Endpoint::Whole(url) => url.clone(),
                Endpoint::Base(base) => below(base, PATH),
            };
        }
        self.apply(&mut otlp);
        Some(otlp)
    }

    /// Says it all to an endpoint, but where it is and how it is spoken to.
    pub(super) fn apply(&self, otlp: &mut Otlp) {
        let Self {
            endpoint: _,
            protocol: _,
            headers,
            timeout,
            compression,
            ca,
            identity,
            temporality,
            histograms,
        } = self;
        if let Some(headers) = headers {
            otlp.headers.clone_from(headers);
        }
        if ca.is_some() {
            otlp.client.tls.ca.clone_from(ca);
        }
        if identity.is_some() {
            otlp.client.tls.identity.clone_from(identity);
        }
        otlp.timeout = timeout.unwrap_or(otlp.timeout);
        otlp.compression = compression.unwrap_or(otlp.compression);
        otlp.temporality = temporality.unwrap_or(otlp.temporality);
        otlp.histograms = histograms.unwrap_or(otlp.histograms);
    }
}

/// A path behind that of a URL, and before its parameters.
fn below(base: &Uri, path: &str) -> Uri {
    let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
    let whole = format!("{}{path}{query}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = whole.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}
