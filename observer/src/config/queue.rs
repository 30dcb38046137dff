//! How what waits for a receiver is kept, and how it is sent.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::Uri;
use observer_queue::Fsync;

use super::{
    Environment, Ndjson, Otlp, Place, Problem, duration,
    job::set,
    keys::{ExportKeys, QueueKeys},
    otel::Otel,
    section::{At, Delay, Section as _, Size},
    yaml::{Fault, Node},
};

/// `queue_config`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// The most requests on their way at a time.
    pub(crate) max_shards: usize,
    /// How many there may be from the start.
    pub(crate) min_shards: usize,
    /// The most samples of a request.
    pub(crate) max_samples: usize,
    /// How much time lies between two windows that are sent: whole seconds.
    pub(crate) interval: Duration,
    /// The longest that a window waits for its agent's turn.
    pub(crate) spread: Duration,
    /// The first ceiling of the wait for another try.
    pub(crate) min_backoff: Duration,
    /// The last.
    pub(crate) max_backoff: Duration,
    /// 429 is tried again.
    pub(crate) retry_429: bool,
    /// How old a sample may become.
    pub(crate) max_age: Duration,
    /// The most bytes in memory.
    pub(crate) memory_bytes: u64,
    /// The most bytes on disk; 0 for none there.
    pub(crate) disk_bytes: u64,
    /// How long a request waits in memory before it goes to disk.
    pub(crate) spill_after: Duration,
    /// When the disk has to be sure.
    pub(crate) fsync: Syncing,
}

/// When written bytes are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syncing(pub(crate) Fsync);

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_shards: 8,
            min_shards: 1,
            max_samples: 10_000,
            interval: WINDOW,
            spread: Duration::from_millis(500),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_429: true,
            max_age: Duration::from_hours(6),
            memory_bytes: 32 << 20,
            disk_bytes: 1 << 30,
            spill_after: Duration::from_secs(5),
            fsync: Syncing(Fsync::Interval(Duration::from_secs(1))),
        }
    }
}

/// What a window covers.
const WINDOW: Duration = Duration::from_secs(1);

/// What `sample_age_limit: 0` means: older than any sample.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 1000);

impl QueueConfig {
    pub(super) fn new(keys: &QueueKeys<'_>) -> Result<Self, Fault> {
        let mut config = Self::default();
        for (number, said) in [
            (&mut config.max_shards, &keys.max_shards),
            (&mut config.min_shards, &keys.min_shards),
            (&mut config.max_samples, &keys.max_samples_per_send),
        ] {
            set(number, said);
            if let Some(at) = said.as_ref().filter(|at| at.value == 0) {
                return Err(at.node.fault("expected more than 0"));
            }
        }
        set(&mut config.min_backoff, &keys.min_backoff);
        set(&mut config.max_backoff, &keys.max_backoff);
        set(&mut config.interval, &keys.interval);
        if let Some(at) =
            keys.interval.as_ref().filter(|at| at.value < WINDOW || at.value.subsec_nanos() != 0)
        {
            return Err(at.node.fault("expected whole seconds, at least 1s"));
        }
        if let Some(At { node, value: Delay(spread) }) = &keys.spread {
            if *spread > WINDOW {
                return Err(node.fault("expected at most 1s: then the next window is there"));
            }
            config.spread = *spread;
        }
        set(&mut config.retry_429, &keys.retry_on_http_429);
        set(&mut config.fsync, &keys.fsync);
        if let Some(At { value: Delay(age), .. }) = &keys.sample_age_limit {
            config.max_age = if age.is_zero() { FOR_EVER } else { *age };
        }
        if let Some(At { value: Delay(after), .. }) = &keys.spill_after {
            config.spill_after = *after;
        }
        for (bytes, said) in
            [(&mut config.memory_bytes, &keys.max_memory), (&mut config.disk_bytes, &keys.max_disk)]
        {
            if let Some(At { value: Size(size), .. }) = said {
                *bytes = *size as u64;
            }
        }
        let below = |what: &str, most: &str| keys.place().fault(format!("`{what}` is more than `{most}`"));
        if config.min_shards > config.max_shards {
            return Err(below("min_shards", "max_shards"));
        }
        if config.min_backoff > config.max_backoff {
            return Err(below("min_backoff", "max_backoff"));
        }
        if config.max_shards > MOST_SHARDS {
            return Err(keys.place().fault(format!("`max_shards` is more than {MOST_SHARDS}")));
        }
        Ok(config)
    }
}

/// Each shard is a connection.
const MOST_SHARDS: usize = 1000;

impl Syncing {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "always" => Some(Self(Fsync::Always)),
            "never" => Some(Self(Fsync::Never)),
            _ => duration::parse(text).filter(|d| !d.is_zero()).map(|every| Self(Fsync::Interval(every))),
        }
    }
}

/// The `export` section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Export {
    /// Where queues are kept.
    pub(crate) queue_dir: Option<PathBuf>,
    /// How long what there is is delivered after the signal to end.
    pub(crate) shutdown_grace: Duration,
    /// Receivers of OTLP.
    pub(crate) otlp: Vec<Otlp>,
    /// Where lines of JSON go.
    pub(crate) ndjson: Vec<Ndjson>,
}

impl Default for Export {
    fn default() -> Self {
        Self { queue_dir: None, shutdown_grace: Duration::from_secs(5), otlp: Vec::new(), ndjson: Vec::new() }
    }
}

impl Export {
    /// Relative paths start at `base`.
    pub(super) fn new(keys: ExportKeys<'_>, base: &Path, over: &Environment) -> Result<Self, Fault> {
        let ExportKeys { queue_dir, shutdown_grace, otlp, ndjson, .. } = keys;
        let default = Self::default();
        let mut export = Self {
            queue_dir: queue_dir.map(|at| at.value),
            shutdown_grace: shutdown_grace.map_or(default.shutdown_grace, |at| at.value.0),
            ..default
        };
        let otlp: Vec<_> = otlp.into_iter().flat_map(|at| at.value).collect();
        let otel = match otlp.is_empty() && !Otel::is_endpoint(over) {
            true => Otel::default(),
            false => Otel::read(over)?,
        };
        let defaults = otel.defaults();
        for keys in otlp {
            let node = keys.place();
            let otlp = Otlp::new(keys, base, &defaults)?;
            export.is_new(node, &otlp.name)?;
            export.otlp.push(otlp);
        }
        for keys in ndjson.into_iter().flat_map(|at| at.value) {
            let node = keys.place();
            let ndjson = Ndjson::new(keys, base)?;
            export.is_new(node, &ndjson.name)?;
            export.ndjson.push(ndjson);
        }
        Ok(export)
    }

    fn is_new(&self, node: Node<'_>, name: &str) -> Result<(), Fault> {
        match self.names().any(|other| other == name) {
            true => Err(node.fault(format!("a second export named `{name}`: give each a `name`"))),
            false => Ok(()),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let otlp = self.otlp.iter().map(|otlp| &*otlp.name);
        otlp.chain(self.ndjson.iter().map(|ndjson| &*ndjson.name))
    }

    /// Adds what the command line says, unless the file has it; if that is nothing, what OpenTelemetry's variables say, over the file.
    ///
    /// # Errors
    ///
    /// If one of the variables means nothing.
    pub(crate) fn add_otlp(&mut self, flags: &[Uri], over: &Environment) -> Result<(), Problem> {
        if flags.is_empty() && !Otel::is_endpoint(over) {
            return Ok(());
        }
        let otel = Otel::read(over).map_err(|fault| fault.within(""))?;
        for endpoint in flags {
            let mut otlp = Otlp::to_protocol(endpoint, otel.protocol(endpoint));
            otel.apply(&mut otlp);
            if !self.names().any(|name| name == otlp.name) {
                self.otlp.push(otlp);
            }
        }
        if let Some(otlp) = otel.otlp().filter(|_| flags.is_empty()) {
            match self.otlp.iter_mut().find(|known| known.url == otlp.url || known.name == otlp.name) {
                Some(known) => otel.apply(known),
                None => self.otlp.push(otlp),
            }
        }
        Ok(())
    }

    /// Adds a place of the command line, unless the file has it.
    pub(crate) fn add_ndjson(&mut self, place: &Place) {
        if !self.ndjson.iter().any(|ndjson| ndjson.place == *place) {
            self.ndjson.push(Ndjson::to(place.clone()));
        }
    }
}
