//! Every window as lines of JSON to a file, the standard output or a Unix socket. A reader that is slow, or a disk that is full, costs
//! windows of this export, which are counted and named in the next line that is written; it never holds up anything else.

mod file;
mod place;

use std::{io, thread, time::Duration};

use observer_aggregate::window::Window;
use observer_export::ndjson::{Encoder, Options, Written, lost};

use self::{
    file::Rotating,
    place::{Sink, Socket, Stdout},
};
use super::feed::{Feed, Windows};
use crate::{
    config::{Ndjson, Place},
    telemetry::Telemetry,
};
use prometheus_client::metrics::counter::Counter;

/// Why a window can be lost here; beside them the hand-off counts those that came while the reader or the disk was slow.
const CAUSES: [&str; 3] = ["disk_full", "no_reader", "write_error"];

/// Why lines were not written.
#[derive(Debug)]
struct Failed {
    /// A word for the counter and the `lost` line.
    cause: &'static str,
    source: io::Error,
}

/// The thread of one export.
#[derive(Debug)]
pub(crate) struct Writing {
    name: String,
    thread: thread::JoinHandle<()>,
}

impl Writing {
    /// Starts an export.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub(crate) fn start(config: &Ndjson, feed: &mut Feed, telemetry: &Telemetry) -> io::Result<Self> {
        let windows = feed.add(&config.name, telemetry);
        let sink: Box<dyn Sink> = match &config.place {
            Place::Stdout => Box::new(Stdout::default()),
            Place::Socket(path) => Box::new(Socket::new(path.clone())),
            Place::File(path) => Box::new(Rotating::new(path.clone(), config.rotation)),
        };
        let options = Options { select: config.conditions(), changed_only: config.changed_only };
        let writer = Writer {
            encoder: Encoder::new(options),
            sink,
            counters: Counters::new(&config.name, telemetry),
            place: config.place.to_string(),
            expected: None,
            failing: None,
        };
        let name = config.name.clone();
        let thread = thread::Builder::new().name("ndjson".to_owned()).spawn(move || writer.run(windows))?;
        Ok(Self { name, thread })
    }

    /// Waits until the last windows are written. The shard has ended.
    pub(crate) async fn finish_all(all: Vec<Self>) {
        for Self { name, thread } in all {
            while !thread.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if thread.join().is_err() {
                log::error!("export `{name}` did not end in order");
            }
        }
    }
}

#[derive(Debug)]
struct Counters {
    name: String,
    lost: [Counter; CAUSES.len()],
    encoded: [Counter; 2],
    delivered: [Counter; 2],
    exemplars_untold: Counter,
    bytes: Counter,
}

impl Counters {
    fn new(name: &str, telemetry: &Telemetry) -> Self {
        let kinds = |of: &crate::telemetry::Labelled<Counter>| {
            ["sample", "histogram"].map(|kind| of.with([name, kind]))
        };
        Self {
            name: name.to_owned(),
            lost: CAUSES.map(|cause| telemetry.export_windows_lost.with([name, cause])),
            encoded: kinds(&telemetry.export_encoded),
            delivered: kinds(&telemetry.export_delivered),
            exemplars_untold: telemetry.export_exemplars_untold.with([name]),
            bytes: telemetry.export_bytes.with([name]),
        }
    }
}

struct Writer {
    encoder: Encoder,
    sink: Box<dyn Sink>,
    counters: Counters,
    place: String,
    /// The number of the window behind the last that was written.
    expected: Option<u64>,
    /// Why the last one was not.
    failing: Option<&'static str>,
}

impl Writer {
    fn run(mut self, windows: Windows) {
        for window in windows {
            self.window(&window);
        }
    }

    fn window(&mut self, window: &Window) {
        let first = *self.expected.get_or_insert(window.serial);
        let mut missing = Vec::new();
        if first < window.serial {
            lost(&mut missing, first, window.serial - 1, self.failing.unwrap_or("behind"));
        }
        let (mut bytes, mut failed) = (0, self.sink.begin(window.end_ms).err());
        let Self { encoder, sink, .. } = self;
        let mut write = |lines: &[u8]| {
            if failed.is_none() && !lines.is_empty() {
                bytes += lines.len() as u64;
                failed = sink.write(lines).err();
            }
        };
        write(&missing);
        let Written { samples, histograms, exemplars_untold } = encoder.window(window, &mut write);
        let Counters { name, lost, encoded, delivered, exemplars_untold: untold, bytes: written } =
            &self.counters;
        let count = |of: &[Counter; 2]| {
            of[0].inc_by(samples);
            of[1].inc_by(histograms);
        };
        count(encoded);
        let Some(Failed { cause, source }) = failed else {
            count(delivered);
            written.inc_by(bytes);
            untold.inc_by(exemplars_untold);
            if self.failing.take().is_some() {
                log::info!("export `{name}`: `{}` takes lines again", self.place);
            }
            self.expected = Some(window.serial + 1);
            return;
        };
        self.sink.undo();
        self.encoder.forget_values();
        if let Some(at) = CAUSES.iter().position(|known| *known == cause) {
            lost[at].inc();
        }
        if self.failing.replace(cause).is_none() {
            log::error!("export `{name}`: cannot write to `{}`, windows are lost: {source}", self.place);
        }
    }
}

#[cfg(test)]
mod tests;
