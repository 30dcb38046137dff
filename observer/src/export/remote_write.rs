//! Remote write: how an endpoint's windows are encoded, posted, and what its answers mean.

mod judge;
mod zstd;

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use observer_aggregate::window::Window;
use observer_export::{
    Batch, Encode, Protocol,
    labels::{Labels, Relabel},
    remote_write::{Compression, Encoder, Options, Refusal, Version, decode::Request},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use self::{
    judge::{Asked, Seen, judge},
    zstd::Zstd,
};
use super::delivery::{
    Answer, Code, Contents, Factory, Parcel, Suspects, Transport, Verdict, retry_after, unanswered,
};
use crate::{
    clock,
    config::{Compressing, Message, RemoteWrite, shown},
    http::{self, PostError, PostSettings, Poster, Versions},
    relabel::{Rules, Scratch},
    telemetry::{Telemetry, set_count},
};

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
const VICTORIA_VERSION: HeaderName = HeaderName::from_static("x-victoriametrics-remote-write-version");
const SNAPPY: HeaderValue = HeaderValue::from_static("snappy");
const ZSTD: HeaderValue = HeaderValue::from_static("zstd");

/// How much of an answer's body is kept: its message.
const MESSAGE_BYTES: usize = 2048;

/// The most that a queued request takes when it is read again; the encoder makes none that is as large.
const BODY_BYTES: usize = 64 << 20;

/// Posts to one receiver.
pub(crate) struct Receiver {
    poster: Poster,
    url: String,
    negotiates: bool,
    retry_429: bool,
    /// What the first window is encoded in.
    first: Protocol,
    /// What the receiver speaks: 0 nobody knows, else the version.
    speaks: AtomicU8,
    zstd: Zstd,
    suspects: Suspects,
}

impl Receiver {
    /// # Errors
    ///
    /// If the login or TLS of the configuration cannot be used.
    pub(crate) fn new(config: &RemoteWrite) -> Result<Self, PostError> {
        let settings = PostSettings {
            url: config.url.clone(),
            client: config.client.clone(),
            headers: config.headers.clone(),
            timeout: config.timeout,
            versions: Versions::of(&config.client),
            connections: config.queue.max_shards,
            answer_bytes: MESSAGE_BYTES,
        };
        Ok(Self {
            poster: Poster::new(&settings)?,
            zstd: Zstd::new(config.compression, settings)?,
            first: first(config),
            url: shown(&config.url),
            negotiates: config.message == Message::Negotiated,
            retry_429: config.queue.retry_429,
            speaks: AtomicU8::new(0),
            suspects: Suspects::default(),
        })
    }

    /// The body in what the receiver speaks.
    fn body(&self, parcel: &Parcel) -> Option<(Protocol, Bytes)> {
        let other = match parcel.protocol {
            Protocol::RemoteWrite2 => self.speaks.load(Relaxed) == 1,
            Protocol::RemoteWrite1Zstd => !self.zstd.may_be(),
            _ => false,
        };
        if other {
            let request = Request::of(parcel.protocol, &parcel.body, BODY_BYTES)?.ok()?;
            return Some((Protocol::RemoteWrite1, request.to_version_1().ok()?.body.into()));
        }
        Some((parcel.protocol, parcel.body.clone()))
    }

    fn judge(&self, protocol: Protocol, contents: Contents, answer: &http::Answer) -> Verdict {
        let written = written(|name| answer.field(name));
        if protocol == Protocol::RemoteWrite2 && written.is_some() {
            // Once it is taken for a receiver of 1.0, that stays.
            let _known = self.speaks.compare_exchange(0, 2, Relaxed, Relaxed);
        }
        if protocol == Protocol::RemoteWrite1Zstd && answer.status.is_success() {
            self.zstd.taken();
        }
        let asked = Asked {
            protocol,
            contents,
            confirmed: match protocol {
                Protocol::RemoteWrite1Zstd => self.zstd.is_taken(),
                _ => self.speaks.load(Relaxed) == 2,
            },
            negotiates: self.negotiates,
            retry_429: self.retry_429,
        };
        let message = String::from_utf8_lossy(&answer.body);
        let after = answer.field("retry-after").and_then(|text| retry_after(text, clock::wall_ms()));
        let seen = Seen { status: answer.status.as_u16(), written, message: &message, retry_after: after };
        let verdict = judge(&asked, &seen);
        if verdict == Verdict::Otherwise {
            let (url, status) = (&self.url, answer.status);
            if protocol == Protocol::RemoteWrite1Zstd {
                log::info!("`{url}` answers zstd with status {status}: it gets snappy");
                self.zstd.refused();
            } else {
                log::info!("`{url}` answers 2.0 with status {status}: it gets 1.0");
                self.speaks.store(1, Relaxed);
            }
        }
        verdict
    }
}

impl Transport for Receiver {
    async fn post(&self, parcel: &Parcel) -> Answer {
        let Some((protocol, body)) = self.body(parcel) else {
            let message = "a queued request cannot be read as what it was queued as".to_owned();
            let verdict = Verdict::Refused { cause: "unreadable", message, halve: false };
            return Answer { code: Code::None("unreadable"), verdict };
        };
        if protocol == Protocol::RemoteWrite1
            && let Err(error) = self.zstd.ask().await
        {
            return unanswered(&error);
        }
        let (content_type, encoding, version) = match protocol {
            Protocol::RemoteWrite2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                SNAPPY,
                (VERSION, HeaderValue::from_static("2.0.0")),
            ),
            Protocol::RemoteWrite1Zstd => {
                ("application/x-protobuf", ZSTD, (VICTORIA_VERSION, HeaderValue::from_static("1")))
            }
            _ => ("application/x-protobuf", SNAPPY, (VERSION, HeaderValue::from_static("0.1.0"))),
        };
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CONTENT_ENCODING, encoding),
            version,
        ];
        if parcel.attempt > 0 {
            headers.push((RETRY_ATTEMPT, parcel.attempt.into()));
        }
        match self.poster.post(&headers, body).await {
            Ok(answer) => Answer {
                code: Code::Status(answer.status.as_u16()),
                verdict: self.judge(protocol, parcel.contents, &answer),
            },
            Err(error) => unanswered(&error),
        }
    }

    fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
        let request = Request::of(parcel.protocol, &parcel.body, BODY_BYTES)?.ok()?;
        let keys: Vec<u64> =
            request.series().iter().map(|series| self.suspects.key(&series.labels)).collect();
        self.suspects.halve(parcel, &keys, |is_first| request.part(is_first))
    }

    fn wanted(&self) -> Option<Protocol> {
        let is_1 = self.first != Protocol::RemoteWrite2 || self.speaks.load(Relaxed) == 1;
        is_1.then(|| if self.zstd.is_wanted() { Protocol::RemoteWrite1Zstd } else { Protocol::RemoteWrite1 })
    }
}

/// What makes the encoders of an endpoint.
pub(crate) fn encoders(
    config: &RemoteWrite,
    external_labels: &[(String, String)],
    telemetry: &Telemetry,
) -> Factory {
    let (config, external_labels) = (config.clone(), external_labels.to_vec());
    let gauges = Gauges::new(&config.name, telemetry);
    Box::new(move |protocol| {
        let version = match protocol {
            Protocol::RemoteWrite2 => Version::V2,
            _ => Version::V1,
        };
        let relabel = (!config.relabel.is_empty())
            .then(|| Box::new(Relabelling::new(config.relabel.clone())) as Box<dyn Relabel>);
        let options = Options {
            compression: match protocol {
                Protocol::RemoteWrite1Zstd => Compression::Zstd,
                _ => Compression::Snappy,
            },
            external_labels: external_labels.clone(),
            relabel,
            max_samples: config.queue.max_samples,
            lanes: u16::try_from(config.queue.max_shards).unwrap_or(u16::MAX),
            send_native: config.native,
            send_exemplars: config.exemplars,
            metadata_interval_windows: config
                .metadata
                .map_or(0, |every| (every.as_secs() / config.queue.interval.as_secs().max(1)).max(1)),
            ..Options::new(version)
        };
        Box::new(Told { encoder: Encoder::new(options), gauges: gauges.clone(), told: 0 })
    })
}

/// What windows are encoded in at first.
pub(crate) const fn first(config: &RemoteWrite) -> Protocol {
    match (config.message, config.compression) {
        (Message::V2, _) | (Message::Negotiated, Compressing::Snappy | Compressing::Asked) => {
            Protocol::RemoteWrite2
        }
        (Message::V1 | Message::Negotiated, Compressing::Zstd) => Protocol::RemoteWrite1Zstd,
        (Message::V1, _) => Protocol::RemoteWrite1,
    }
}

/// An encoder that tells what it holds.
struct Told {
    encoder: Encoder,
    gauges: Gauges,
    /// What was counted of the exemplars that are not told.
    told: u64,
}

#[derive(Clone)]
struct Gauges {
    series: Gauge,
    memory: Gauge,
    exemplars_untold: Counter,
    not_newer: Counter,
    refused: [Counter; Refusal::ALL.len()],
}

impl Gauges {
    fn new(name: &str, telemetry: &Telemetry) -> Self {
        Self {
            series: telemetry.export_series.with([name]),
            memory: telemetry.export_encoder_memory.with([name]),
            exemplars_untold: telemetry.export_exemplars_untold.with([name]),
            not_newer: telemetry.export_not_newer.with([name]),
            refused: Refusal::ALL.map(|cause| telemetry.export_series_refused.with([name, cause.as_str()])),
        }
    }
}

impl Encode for Told {
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        let Self { encoder, gauges, told } = self;
        encoder.window(window, out);
        let totals = encoder.totals();
        set_count(&gauges.series, totals.series);
        set_count(&gauges.memory, totals.memory_bytes);
        gauges.exemplars_untold.inc_by(totals.exemplars_untold - *told);
        *told = totals.exemplars_untold;
        gauges.not_newer.inner().store(totals.not_newer, Relaxed);
        for (counter, refused) in gauges.refused.iter().zip(totals.refused) {
            counter.inner().store(refused, Relaxed);
        }
    }

    fn skip(&mut self, window: &Window) {
        self.encoder.skip(window);
    }

    fn flush(&mut self, out: &mut dyn FnMut(Batch<'_>)) {
        self.encoder.flush(out);
    }
}

/// `write_relabel_configs`
struct Relabelling {
    rules: Rules,
    scratch: Scratch,
}

impl Relabelling {
    fn new(rules: Rules) -> Self {
        Self { rules, scratch: Scratch::default() }
    }
}

impl Relabel for Relabelling {
    fn relabel(&mut self, labels: &mut Labels) -> bool {
        self.rules.apply(labels, &mut self.scratch)
    }
}

/// What a receiver of 2.0 says it has written: a header that is missing beside another means none.
fn written<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Contents> {
    let count = |kind: &str| {
        field(&format!("x-prometheus-remote-write-{kind}-written")).and_then(|text| text.trim().parse().ok())
    };
    let (samples, histograms, exemplars) = (count("samples"), count("histograms"), count("exemplars"));
    samples.or(histograms).or(exemplars)?;
    let or_none = |count: Option<u64>| count.unwrap_or(0);
    Some(Contents {
        samples: or_none(samples),
        histograms: or_none(histograms),
        exemplars: or_none(exemplars),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_of_2_says_what_it_has_written() {
        let said = |fields: &[(&str, &'static str)]| {
            let fields: Vec<_> = fields.to_vec();
            written(move |name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
        };
        let samples = "x-prometheus-remote-write-samples-written";
        let histograms = "x-prometheus-remote-write-histograms-written";
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[(samples, "many")]), None);
        let some = Contents { samples: 3, histograms: 0, exemplars: 0 };
        assert_eq!(said(&[(samples, "3")]), Some(some));
        assert_eq!(said(&[(samples, " 3 "), (histograms, "2")]), Some(Contents { histograms: 2, ..some }));
        assert_eq!(said(&[(histograms, "0")]), Some(Contents::default()));
    }
}
