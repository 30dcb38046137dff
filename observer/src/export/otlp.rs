//! OTLP: how an endpoint's windows are posted, over HTTP or gRPC, and what its answers mean.
//! <https://opentelemetry.io/docs/specs/otlp/>

mod frame;
mod resource;

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use observer_aggregate::window::Window;
use observer_export::{
    Batch, Encode,
    otlp::{self as encoding, Encoder, Stats, response},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::delivery::{
    Answer, Code, Contents, Factory, Parcel, Suspects, Transport, Verdict, retry_after, unanswered,
};
use crate::{
    clock,
    config::{Otlp, OtlpCompression, OtlpProtocol},
    http::{self, PostError, PostSettings, Poster, Versions},
    telemetry::{Telemetry, set_count},
};

pub(crate) use self::resource::{attributes, listed};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The method of `opentelemetry/proto/collector/metrics/v1/metrics_service.proto`.
pub(crate) const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// How much of an answer's body is kept: its message.
const MESSAGE_BYTES: usize = 4096;

/// Posts to one receiver.
pub(crate) struct Receiver {
    poster: Poster,
    protocol: OtlpProtocol,
    compression: OtlpCompression,
    timeout: HeaderValue,
    suspects: Suspects,
}

impl Receiver {
    /// # Errors
    ///
    /// If the login or TLS of the configuration cannot be used.
    pub(crate) fn new(config: &Otlp) -> Result<Self, PostError> {
        let poster = Poster::new(&PostSettings {
            url: config.url.clone(),
            client: config.client.clone(),
            headers: config.headers.clone(),
            timeout: config.timeout,
            versions: match config.protocol {
                OtlpProtocol::Grpc => Versions::Http2,
                OtlpProtocol::Http => Versions::of(&config.client),
            },
            connections: config.queue.max_shards,
            answer_bytes: MESSAGE_BYTES,
        })?;
        Ok(Self {
            poster,
            protocol: config.protocol,
            compression: config.compression,
            timeout: grpc_timeout(config.timeout),
            suspects: Suspects::default(),
        })
    }

    fn request(&self, body: &Bytes) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
        let gzip = self.compression == OtlpCompression::Gzip;
        let body = if gzip { compress(body) } else { body.clone() };
        let mut headers = Vec::with_capacity(4);
        match self.protocol {
            OtlpProtocol::Http => {
                headers.push((CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")));
                if gzip {
                    headers.push((CONTENT_ENCODING, GZIP));
                }
                (headers, body)
            }
            OtlpProtocol::Grpc => {
                headers.push((CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
                headers.push((TE, HeaderValue::from_static("trailers")));
                headers.push((GRPC_TIMEOUT, self.timeout.clone()));
                if gzip {
                    headers.push((GRPC_ENCODING, GZIP));
                }
                (headers, frame::frame(&body, gzip))
            }
        }
    }

    fn judge(&self, answer: &http::Answer, contents: Contents) -> Answer {
        let status = answer.status.as_u16();
        let after = answer.field("retry-after").and_then(|text| retry_after(text, clock::wall_ms()));
        let body = &answer.body;
        match self.protocol {
            OtlpProtocol::Http => {
                let (judged, halve) = (response::http(status, after, body), matches!(status, 400 | 413));
                Answer {
                    code: Code::Status(status),
                    verdict: verdict(judged, contents, cause(status), halve),
                }
            }
            OtlpProtocol::Grpc => match frame::status(answer) {
                Some(told) => {
                    let message = frame::message(body);
                    let judged = response::grpc(told.status, &told.message, &told.details, message);
                    let verdict = verdict(judged, contents, told.name(), told.may_be_size());
                    Answer { code: Code::None(told.name()), verdict }
                }
                // Something on the way has answered, and it does not speak gRPC.
                None => {
                    let judged = response::http(if status == 200 { 502 } else { status }, after, body);
                    Answer {
                        code: Code::Status(status),
                        verdict: verdict(judged, contents, cause(status), false),
                    }
                }
            },
        }
    }
}

impl Transport for Receiver {
    async fn post(&self, parcel: &Parcel) -> Answer {
        let (headers, body) = self.request(&parcel.body);
        match self.poster.post(&headers, body).await {
            Ok(answer) => self.judge(&answer, parcel.contents),
            Err(error) => unanswered(&error),
        }
    }

    fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
        let mut keys = Vec::new();
        encoding::each_series(&parcel.body, |series| keys.push(self.suspects.key(&series)));
        self.suspects.halve(parcel, &keys, |is_first| encoding::part(&parcel.body, is_first))
    }
}

/// What a judgement means for the request. `halve`: a part of it may be taken.
fn verdict(judged: response::Verdict, contents: Contents, cause: &'static str, halve: bool) -> Verdict {
    match judged {
        response::Verdict::Taken { rejected, message } => {
            // The receiver does not say of which kind.
            let samples = rejected.min(contents.samples);
            let histograms = (rejected - samples).min(contents.histograms);
            Verdict::Delivered { refused: Contents { samples, histograms, exemplars: 0 }, message }
        }
        response::Verdict::Retry { after, message } => Verdict::Later { message, after },
        response::Verdict::Refused { message } => Verdict::Refused { cause, message, halve },
    }
}

/// The status as a cause.
const fn cause(status: u16) -> &'static str {
    match status {
        400 => "status_400",
        401 => "status_401",
        403 => "status_403",
        404 => "status_404",
        413 => "status_413",
        415 => "status_415",
        300..=399 => "status_3xx",
        _ if status / 100 == 4 => "status_4xx",
        _ => "status_other",
    }
}

fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    // A vector takes what it is given.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    let ms = timeout.as_millis().clamp(1, 99_999_999);
    HeaderValue::try_from(format!("{ms}m")).unwrap_or(HeaderValue::from_static("30000m"))
}

/// What makes the encoders of an endpoint. `labels` are the external ones, attributes of every resource.
pub(crate) fn encoders(config: &Otlp, labels: &[(String, String)], telemetry: &Telemetry) -> Factory {
    let mut agent = config.resource_attributes.clone();
    agent.extend(attributes());
    let mut targets = config.resource_attributes.clone();
    targets.extend(labels.iter().cloned());
    agent.extend(labels.iter().cloned());
    // They say what each target is.
    targets.retain(|(name, _)| !matches!(&**name, "service.name" | "service.instance.id"));
    let options = encoding::Options {
        temporality: config.temporality,
        histograms: config.histograms,
        names: config.names,
        agent,
        targets,
        max_points: u32::try_from(config.queue.max_samples).unwrap_or(u32::MAX),
        lanes: u16::try_from(config.queue.max_shards).unwrap_or(u16::MAX),
        ..encoding::Options::default()
    };
    let gauges = Gauges::new(&config.name, telemetry);
    Box::new(move |_| {
        Box::new(Told {
            encoder: Encoder::new(options.clone()),
            gauges: gauges.clone(),
            told: Stats::default(),
        })
    })
}

/// An encoder that tells what it holds.
struct Told {
    encoder: Encoder,
    gauges: Gauges,
    told: Stats,
}

#[derive(Clone)]
struct Gauges {
    memory: Gauge,
    unsupported: Counter,
    malformed: Counter,
    withheld: Counter,
    coarsened: Counter,
    exemplars: Counter,
}

impl Gauges {
    fn new(name: &str, telemetry: &Telemetry) -> Self {
        let points = |cause| telemetry.export_otlp_points.with([name, cause]);
        Self {
            memory: telemetry.export_encoder_memory.with([name]),
            unsupported: points("unsupported"),
            malformed: points("malformed"),
            withheld: points("withheld"),
            coarsened: points("coarsened"),
            exemplars: telemetry.export_exemplars_untold.with([name]),
        }
    }
}

impl Encode for Told {
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        let Self { encoder, gauges, told } = self;
        encoder.window(window, out);
        set_count(&gauges.memory, encoder.memory_bytes());
        let Stats { points: _, exemplars: _, exemplars_untold, unsupported, malformed, withheld, coarsened } =
            encoder.stats();
        for (counter, now, before) in [
            (&gauges.unsupported, unsupported, told.unsupported),
            (&gauges.malformed, malformed, told.malformed),
            (&gauges.withheld, withheld, told.withheld),
            (&gauges.coarsened, coarsened, told.coarsened),
            (&gauges.exemplars, exemplars_untold, told.exemplars_untold),
        ] {
            counter.inc_by(now - before);
        }
        *told = encoder.stats();
    }

    fn skip(&mut self, window: &Window) {
        self.encoder.skip(window);
    }

    fn flush(&mut self, out: &mut dyn FnMut(Batch<'_>)) {
        self.encoder.flush(out);
    }
}

#[cfg(test)]
mod tests;
