//! The configuration file: YAML, with the keys of a Prometheus configuration, which mean what they mean there.

mod aggregate;
mod check;
#[macro_use]
mod client;
mod content;
mod document;
mod duration;
mod environment;
mod glob;
mod group;
mod job;
mod keys;
mod login;
mod ndjson;
mod otel;
mod otlp;
mod protocol;
mod queue;
mod remote_write;
mod resolve;
mod section;
mod selector;
mod target;
mod tls;
mod yaml;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::available_parallelism,
    time::Duration,
};

use observer_aggregate::stream::Rule;

use crate::memory;

pub(crate) use self::{
    check::report,
    client::ClientConfig,
    content::Content,
    document::document,
    duration::write as write_duration,
    environment::Environment,
    glob::expand,
    group::{Group, parse_json_groups, read_groups},
    job::{FileSd, HttpSd, Job, Settings},
    login::Login,
    ndjson::{Ndjson, Place, Rotation},
    otlp::{Otlp, OtlpCompression, OtlpProtocol},
    protocol::Dialect,
    queue::{Export, QueueConfig},
    remote_write::{Compressing, Message, RemoteWrite, parse_url, shown},
    resolve::{Resolution, Resolver},
    target::{Flag, ScrapeTarget, Target},
    tls::{TlsConfig, TlsVersion},
};
use self::{
    keys::{ExportKeys, GlobalKeys, LimitKeys, RootKeys, ServerKeys},
    section::{At, Size, Value as _},
    yaml::Fault,
};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// What holds for all.
    pub(crate) global: Global,
    /// What is scraped.
    pub(crate) jobs: Vec<Job>,
    /// Where windows are written to.
    pub(crate) remote_write: Vec<RemoteWrite>,
    /// What holds for all of those.
    pub(crate) export: Export,
    /// What is reduced before it is exported.
    pub(crate) aggregate: Vec<Rule>,
    /// What the agent may use.
    pub(crate) limits: Limits,
    /// The agent's own HTTP server.
    pub(crate) server: Server,
}

/// The `global` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Global {
    /// How a job is scraped that says nothing else.
    pub(crate) settings: Settings,
    /// Labels that every exported series gets unless it has a label of that name. Sorted by name.
    pub(crate) external_labels: Vec<(String, String)>,
}

/// The `limits` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most targets over all jobs.
    pub(crate) targets: usize,
    /// The most scraped series.
    pub(crate) series: usize,
    /// The most series of a target.
    pub(crate) series_per_target: usize,
    /// The most exemplars.
    pub(crate) exemplars: usize,
    /// The memory for scraped series, in bytes; see [`Self::arena`].
    pub(crate) arena_bytes: Option<usize>,
    /// How many buffers for bodies are kept.
    pub(crate) body_buffers: usize,
    /// The memory of those, in bytes.
    pub(crate) body_buffer_bytes: usize,
    /// How many threads scrape; see [`Self::scrape_threads`].
    pub(crate) scrape_threads: Option<usize>,
    /// How many windows there are.
    pub(crate) windows: usize,
    /// The memory for pages that are being read, in bytes.
    pub(crate) page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            targets: 100_000,
            series: 4_000_000,
            series_per_target: 200_000,
            exemplars: 10_000,
            arena_bytes: None,
            body_buffers: 16,
            body_buffer_bytes: 8 << 20,
            scrape_threads: None,
            windows: 3,
            page_bytes: 256 << 20,
        }
    }
}

/// The `server` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Serve other hosts too.
    pub(crate) allow_remote: bool,
    /// A Unix socket that also takes changes.
    pub(crate) socket: Option<PathBuf>,
    /// How long the last window can still be read after the signal to end.
    pub(crate) linger: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9435)),
            allow_remote: false,
            socket: None,
            linger: Duration::ZERO,
        }
    }
}

/// Something in a file that is understood and not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", self.place())]
pub(crate) struct Problem {
    /// The file as it was named, or what else it is in, which has no lines.
    pub(crate) file: String,
    /// From 1; 0 if there is none.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file as it was named.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file says something that has no meaning.
    #[error(transparent)]
    Content(Problem),
}

impl Error {
    /// 2 where the file has to be mended, 1 where it is not there.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Read { .. } => 1,
            Self::Content(_) => 2,
        })
    }
}

impl Problem {
    fn place(&self) -> String {
        match self {
            Self { file, line: 0, .. } => format!("{file}: "),
            Self { file, line, column, .. } => format!("{file}:{line}:{column}: "),
        }
    }
}

/// Reads a file, if there is one, and the environment over it. The problems are what they say that this version leaves out.
pub(crate) fn load(path: Option<&Path>, over: &Environment) -> Result<(Config, Vec<Problem>), Error> {
    let Some(path) = path else { return parse("", "", over).map_err(Error::Content) };
    let name = path.display().to_string();
    let base = path.parent().unwrap_or(Path::new(""));
    let failed = |file: &str, fault: Fault| Error::Content(fault.within(file));
    let mut reading = Reading::new(&read_file(path)?, base, over).map_err(|fault| failed(&name, fault))?;
    let mut problems = reading.problems(&name);
    let files: Vec<PathBuf> = reading.files.iter().flat_map(|pattern| expand(pattern)).collect();
    for path in files {
        let file = path.display().to_string();
        let Reading { config, defaults, warnings, files: _ } = &mut reading;
        job::more(config, &read_file(&path)?, defaults, base, warnings)
            .map_err(|fault| failed(&file, fault))?;
        problems.extend(reading.problems(&file));
    }
    Ok((reading.config, problems))
}

fn read_file(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.display().to_string(), source })
}

/// Reads a text that is in no folder; `file` is the name for messages.
pub(crate) fn parse(file: &str, text: &str, over: &Environment) -> Result<(Config, Vec<Problem>), Problem> {
    let mut reading = Reading::new(text, Path::new(""), over).map_err(|fault| fault.within(file))?;
    let problems = reading.problems(file);
    Ok((reading.config, problems))
}

/// A configuration and what else its file says.
struct Reading {
    config: Config,
    defaults: job::Defaults,
    warnings: Vec<Fault>,
    /// Patterns of files with more jobs.
    files: Vec<PathBuf>,
}

impl Reading {
    /// Reads a file; relative paths in it start at `base`.
    fn new(text: &str, base: &Path, over: &Environment) -> Result<Self, Fault> {
        let mut warnings = over.strangers();
        let document = yaml::root(text)?;
        let root = match document.as_ref() {
            Some(document) => RootKeys::read(document.node(), &mut warnings)?,
            None => RootKeys::default(),
        };
        let global: GlobalKeys<'_> = over.section("global", root.global.map(|at| at.node), &mut warnings)?;
        let limits: LimitKeys<'_> = over.section("limits", root.limits.map(|at| at.node), &mut warnings)?;
        let server: ServerKeys<'_> = over.section("server", root.server.map(|at| at.node), &mut warnings)?;
        let export: ExportKeys<'_> = over.section("export", root.export.map(|at| at.node), &mut warnings)?;
        let defaults = job::Defaults::new(&global, &limits, &mut warnings)?;
        let mut config = Config {
            limits: Limits::new(&limits)?,
            server: Server::new(server),
            export: Export::new(export, base, over)?,
            ..Config::default()
        };
        config.global.settings = defaults.settings;
        config.global.external_labels = job::external_labels(global.external_labels, over)?;
        for keys in root.scrape_configs.into_iter().flat_map(|at| at.value) {
            config.push(keys, &defaults, base, &mut warnings)?;
        }
        for keys in root.remote_write.into_iter().flat_map(|at| at.value) {
            config.push_remote_write(keys, base)?;
        }
        for keys in root.aggregate.into_iter().flat_map(|at| at.value) {
            let number = config.aggregate.len() + 1;
            config.aggregate.push(aggregate::rule(keys, number)?);
        }
        let patterns = root.scrape_config_files.into_iter().flat_map(|at| at.value);
        let files = patterns.map(|pattern| base.join(pattern.value)).collect();
        Ok(Self { config, defaults, warnings, files })
    }

    /// The warnings since the last time, from top to bottom.
    fn problems(&mut self, file: &str) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.warnings.drain(..).map(|fault| fault.within(file)).collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

impl Server {
    fn new(keys: ServerKeys<'_>) -> Self {
        let ServerKeys { listen, allow_remote, socket, linger, .. } = keys;
        let default = Self::default();
        Self {
            listen: listen.map_or(default.listen, |at| at.value),
            allow_remote: allow_remote.map_or(default.allow_remote, |at| at.value),
            socket: socket.map(|at| at.value),
            linger: linger.map_or(default.linger, |at| at.value.0),
        }
    }
}

impl Limits {
    /// The memory for scraped series, in bytes: half of what there is if nothing is said.
    pub(crate) fn arena(&self) -> usize {
        self.arena_bytes.unwrap_or_else(memory::half)
    }

    /// How many threads scrape: if nothing is said a quarter of the CPUs that may be used, from 1 to 16. One takes several
    /// million samples a second.
    pub(crate) fn scrape_threads(&self) -> usize {
        let quarter = || available_parallelism().map_or(1, |cpus| (cpus.get() / 4).clamp(1, 16));
        self.scrape_threads.unwrap_or_else(quarter)
    }

    fn new(keys: &LimitKeys<'_>) -> Result<Self, Fault> {
        let mut limits = Self::default();
        let LimitKeys {
            targets,
            series,
            series_per_target,
            exemplars,
            arena_bytes,
            body_buffers,
            body_buffer_bytes,
            scrape_threads,
            windows,
            page_bytes,
            ..
        } = keys;
        for (limit, said) in [
            (&mut limits.targets, targets),
            (&mut limits.series, series),
            (&mut limits.series_per_target, series_per_target),
            (&mut limits.exemplars, exemplars),
            (&mut limits.body_buffers, body_buffers),
            (&mut limits.windows, windows),
        ] {
            job::set(limit, said);
        }
        if let Some(At { value: Size(bytes), .. }) = arena_bytes {
            limits.arena_bytes = Some(*bytes);
        }
        if let Some(At { value: Size(bytes), .. }) = page_bytes {
            limits.page_bytes = *bytes;
        }
        if let Some(At { value: Size(bytes), .. }) = body_buffer_bytes {
            limits.body_buffer_bytes = *bytes;
        }
        if let Some(at) = body_buffers.as_ref().filter(|at| at.value > 4096) {
            return Err(at.node.fault("expected at most 4096 buffers"));
        }
        if let Some(at) = scrape_threads {
            if !(1..=256).contains(&at.value) {
                return Err(at.node.fault("expected 1 to 256 threads"));
            }
            limits.scrape_threads = Some(at.value);
        }
        match windows {
            Some(at) if !(2..=64).contains(&at.value) => Err(at.node.fault("expected 2 to 64 windows")),
            _ => Ok(limits),
        }
    }
}

impl Config {
    /// Adds a target from the command line, to the job of its name if there is one.
    pub(crate) fn add(&mut self, flag: Flag) {
        let Flag { job: name, target } = flag;
        let job = match self.jobs.iter().position(|job| job.name == name) {
            Some(at) => &mut self.jobs[at],
            None => {
                self.jobs.push(Job { name, settings: self.global.settings, ..Job::default() });
                self.jobs.last_mut().expect("just pushed")
            }
        };
        let target = target.with_job(&job.name);
        if !job.targets.contains(&target) {
            job.targets.push(target.clone());
            job.fixed.push(target);
        }
    }
}

#[cfg(test)]
mod tests;
