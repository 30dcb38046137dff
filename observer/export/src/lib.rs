//! Closed windows as bytes for somebody else: remote-write requests, OTLP requests. No I/O, no clock.
//!
//! An encoder belongs to one endpoint. It sees every window once and cuts it into [`Batch`]es, each the body of one request. A
//! series always goes the same lane, and the batches of a lane have to arrive in their order; lanes do not wait for each other.
#![forbid(unsafe_code)]

pub mod labels;
pub mod ndjson;
pub mod otlp;
mod pending;
pub mod remote_write;
pub mod wire;

use observer_aggregate::window::Window;

/// The protocol a batch is written in. The numbers are kept in queues on disk: they do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// `prometheus.WriteRequest`, snappy.
    RemoteWrite1 = 1,
    /// `io.prometheus.write.v2.Request`, snappy.
    RemoteWrite2 = 2,
    /// `ExportMetricsServiceRequest`, uncompressed: the transport compresses it.
    Otlp = 3,
    /// `prometheus.WriteRequest`, zstd: what VictoriaMetrics takes beside snappy.
    RemoteWrite1Zstd = 4,
}

/// The body of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// What it is written in.
    pub protocol: Protocol,
    /// Which other batches it has to follow.
    pub lane: u16,
    /// The end of the newest window in it, in milliseconds since the Unix epoch.
    pub end_ms: i64,
    /// The number of that window.
    pub serial: u64,
    /// Whether it is the last batch of that window, over all lanes.
    pub last: bool,
    /// Samples with one number, stale markers among them.
    pub samples: u32,
    /// Samples that are native histograms.
    pub histograms: u32,
    /// Exemplars.
    pub exemplars: u32,
    /// The body, compressed where the protocol says so.
    pub body: &'a [u8],
}

/// A request made of another: a part of it, or all of it written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its body, compressed where the protocol says so.
    pub body: Vec<u8>,
    /// Samples with one number; of OTLP, points that are no histograms.
    pub samples: u32,
    /// Samples that are native histograms; of OTLP, points of histograms.
    pub histograms: u32,
    /// Exemplars.
    pub exemplars: u32,
}

/// Makes an endpoint's requests out of windows.
pub trait Encode: Send {
    /// Takes in a window. Each batch that is full, or may wait no longer, goes to `out`.
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>));

    /// Takes note of a window that is not sent: what came in it goes with the next that is.
    fn skip(&mut self, window: &Window);

    /// Hands out what still waits for company.
    fn flush(&mut self, out: &mut dyn FnMut(Batch<'_>));
}

impl Protocol {
    /// The protocol of that number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::RemoteWrite1),
            2 => Some(Self::RemoteWrite2),
            3 => Some(Self::Otlp),
            4 => Some(Self::RemoteWrite1Zstd),
            _ => None,
        }
    }
}
