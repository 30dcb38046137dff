//! Where samples end: takes remote write, counts, and keeps nothing.

mod protobuf;
mod sequences;
mod write;

use std::{process, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Result, clock,
    http::{self, Request, Service},
    sys,
    targets::{Latencies, Percentiles},
};
pub(crate) use sequences::Sequence;
use sequences::Sequences;
use write::Version;

const LARGEST: usize = 256 << 20;

/// What arrived since the start or the last `/-/reset`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Arrived {
    pub(crate) requests: u64,
    /// Compressed, without heads.
    pub(crate) bytes: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    /// Of the samples, markers that a series has ended.
    pub(crate) stale: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
    /// Requests that could not be read.
    pub(crate) malformed: u64,
    /// Whether each scrape arrived, by the series that each target has for itself.
    pub(crate) sequence: Sequence,
    /// From the samples' time to their arrival, in milliseconds.
    pub(crate) delay_ms: Percentiles,
    /// CPU of this process, since its start.
    pub(crate) cpu_seconds: f64,
}

/// Takes what comes until standard input ends or the time is up; then says what came.
pub(crate) fn run(port: u16, seconds: u64) -> Result<()> {
    let mut sink = Sink::default();
    eprintln!("remote write 1 and 2 at /api/v1/write, anything at /plain; /-/report and /-/reset");
    http::serve(port, Duration::from_secs(seconds), &mut sink)?;
    println!("{}", serde_json::to_string(&sink.report())?);
    Ok(())
}

#[derive(Default)]
struct Sink {
    arrived: Arrived,
    sequences: Sequences,
    delays: Latencies,
    snappy: snap::raw::Decoder,
    raw: Vec<u8>,
}

impl Sink {
    fn report(&self) -> Arrived {
        Arrived {
            sequence: self.sequences.report(),
            delay_ms: self.delays.percentiles(),
            cpu_seconds: sys::cpu_seconds(process::id()).unwrap_or_default(),
            ..self.arrived.clone()
        }
    }

    /// Counts, and says what the sender of a second version wants to hear.
    fn write(&mut self, request: &Request<'_>) -> Option<write::Contents> {
        let len = snap::raw::decompress_len(request.body).ok().filter(|len| *len <= LARGEST)?;
        if self.raw.len() < len {
            self.raw.resize(len, 0);
        }
        self.snappy.decompress(request.body, &mut self.raw).ok()?;
        let version = Version::of(request.header("content-type").unwrap_or_default());
        let (sequences, delays) = (&mut self.sequences, &mut self.delays);
        let now = clock::wall_ms();
        let contents = write::count(&self.raw[..len], version, &mut |known| {
            sequences.add(known.instance, known.value);
            delays.add(now.saturating_sub(known.at_ms) * 1000);
        })?;
        let Arrived { raw_bytes, series, samples, stale, histograms, exemplars, .. } = &mut self.arrived;
        *raw_bytes += len as u64;
        *series += contents.series;
        *samples += contents.samples;
        *stale += contents.stale;
        *histograms += contents.histograms;
        *exemplars += contents.exemplars;
        Some(contents)
    }
}

impl Service for Sink {
    fn answer(&mut self, request: &Request<'_>, _at: Duration, out: &mut Vec<u8>) -> Option<Rc<Vec<u8>>> {
        let empty = match request.path {
            "/-/report" => return Some(http::json(&self.report(), out)),
            "/-/reset" => {
                (self.arrived, self.sequences, self.delays) = Default::default();
                "200 OK\r\n".to_owned()
            }
            "/plain" => {
                self.arrived.requests += 1;
                self.arrived.bytes += request.body.len() as u64;
                "204 No Content\r\n".to_owned()
            }
            // A sender that starts with another compression falls back to snappy when it hears this.
            "/api/v1/write" if request.header("content-encoding") != Some("snappy") => {
                "415 Unsupported Media Type\r\n".to_owned()
            }
            "/api/v1/write" => {
                self.arrived.requests += 1;
                self.arrived.bytes += request.body.len() as u64;
                match self.write(request) {
                    Some(contents) => format!(
                        "204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: {}\r\n\
                         X-Prometheus-Remote-Write-Histograms-Written: {}\r\n\
                         X-Prometheus-Remote-Write-Exemplars-Written: {}\r\n",
                        contents.samples, contents.histograms, contents.exemplars
                    ),
                    None => {
                        self.arrived.malformed += 1;
                        "400 Bad Request\r\n".to_owned()
                    }
                }
            }
            _ => "404 Not Found\r\n".to_owned(),
        };
        let length = if empty.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
        out.extend_from_slice(format!("HTTP/1.1 {empty}{length}\r\n").as_bytes());
        None
    }

    fn cut(&mut self) {}

    fn tick(&mut self, at: Duration) -> Duration {
        at + Duration::from_secs(60)
    }
}
