//! What a configuration comes to, for people and for programs.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write as _},
    path::Path,
    time::Duration,
};

use observer_aggregate::stream::{self, Grouping, Output};
use serde::Serialize;

use super::{
    ClientConfig, Compressing, Config, Error, Export, Group, Job, Limits, Message, Ndjson, Otlp, Problem,
    RemoteWrite, Resolution, Resolver, Target, expand, otlp, read_file, read_groups, shown, write_duration,
};

/// The answer of `observer config check`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Said>,
    warnings: Vec<Said>,
    #[serde(flatten)]
    runs: Option<Runs>,
}

/// A message and its place.
#[derive(Debug, Serialize)]
struct Said {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// 0 if there is no line.
    line: usize,
    column: usize,
}

/// What will run.
#[derive(Debug, Serialize)]
struct Runs {
    jobs: Vec<Scraped>,
    remote_write: Vec<Written>,
    otlp: Vec<Posted>,
    ndjson: Vec<Lines>,
    aggregate: Vec<Rule>,
    external_labels: BTreeMap<String, String>,
    limits: Bounds,
    listen: String,
}

#[derive(Debug, Serialize)]
struct Scraped {
    name: String,
    interval: String,
    timeout: String,
    targets: Vec<Place>,
    files: Vec<Listed>,
    servers: Vec<String>,
    /// Files of certificates and logins that are of no use as they are now, and why.
    problems: Vec<String>,
}

/// Files of targets, as they are now.
#[derive(Debug, Serialize)]
struct Listed {
    pattern: String,
    targets: Vec<Place>,
    /// Files that cannot be read, and why.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Place {
    url: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Written {
    name: String,
    url: String,
    version: &'static str,
    /// As in a job.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Posted {
    name: String,
    url: String,
    protocol: &'static str,
    /// As in a job.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Lines {
    name: String,
    path: String,
}

#[derive(Debug, Serialize)]
struct Rule {
    name: String,
    interval: String,
    grouping: String,
    outputs: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Bounds {
    targets: usize,
    series: usize,
    series_per_target: usize,
    arena_bytes: usize,
    windows: usize,
    page_bytes: usize,
}

/// What the configuration comes to.
pub(crate) fn report(loaded: &Result<(Config, Vec<Problem>), Error>) -> Report {
    match loaded {
        Ok((config, warnings)) => Report {
            valid: true,
            error: None,
            warnings: warnings.iter().map(Said::new).collect(),
            runs: Some(Runs::new(config)),
        },
        Err(error) => Report { valid: false, error: Some(Said::of(error)), warnings: Vec::new(), runs: None },
    }
}

impl Report {
    /// The report as one document.
    pub(crate) fn json(&self) -> String {
        // Strings, numbers and maps with keys that are strings.
        serde_json::to_string_pretty(self).expect("plain data is JSON")
    }
}

impl Said {
    fn new(problem: &Problem) -> Self {
        let Problem { file, line, column, message } = problem;
        Self { message: message.clone(), file: Some(file.clone()), line: *line, column: *column }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Content(problem) => Self::new(problem),
            Error::Read { path, source } => {
                Self { message: format!("{error}: {source}"), file: Some(path.clone()), line: 0, column: 0 }
            }
        }
    }
}

impl Runs {
    fn new(config: &Config) -> Self {
        let Config { global, jobs, remote_write, export, aggregate, limits, server } = config;
        let Export { otlp, ndjson, .. } = export;
        let Limits { targets, series, series_per_target, arena_bytes: _, windows, page_bytes, .. } = *limits;
        let arena_bytes = limits.arena();
        Self {
            jobs: jobs.iter().map(Scraped::new).collect(),
            remote_write: remote_write.iter().map(Written::new).collect(),
            otlp: otlp.iter().map(Posted::new).collect(),
            ndjson: ndjson.iter().map(Lines::new).collect(),
            aggregate: aggregate.iter().map(Rule::new).collect(),
            external_labels: global.external_labels.iter().cloned().collect(),
            limits: Bounds { targets, series, series_per_target, arena_bytes, windows, page_bytes },
            listen: server.listen.to_string(),
        }
    }
}

impl Scraped {
    fn new(job: &Job) -> Self {
        let files = job.files.iter().flat_map(|sd| &sd.files);
        let clients = job.servers.iter().map(|sd| &sd.client).chain([&job.client]);
        let mut problems: Vec<String> = clients.flat_map(ClientConfig::problems).collect();
        problems.sort();
        problems.dedup();
        Self {
            problems,
            name: job.name.clone(),
            interval: write_duration(job.settings.interval),
            timeout: write_duration(job.settings.timeout),
            targets: job.targets.iter().map(Place::new).collect(),
            files: files.map(|pattern| Listed::new(pattern, job)).collect(),
            servers: job.servers.iter().map(|sd| sd.url.to_string()).collect(),
        }
    }
}

impl Place {
    fn new(target: &Target) -> Self {
        Self { url: target.url.to_string(), labels: target.labels.iter().cloned().collect() }
    }
}

impl Listed {
    fn new(pattern: &Path, job: &Job) -> Self {
        let mut this =
            Self { pattern: pattern.display().to_string(), targets: Vec::new(), problems: Vec::new() };
        let mut resolver = Resolver::default();
        for path in expand(pattern) {
            let name = path.display().to_string();
            let read = read_file(&path).map_err(|error| Said::of(&error).message);
            match read.and_then(|text| read_groups(&name, &text).map_err(|problem| problem.to_string())) {
                Ok(groups) => groups.into_iter().for_each(|group| this.add(group, &name, job, &mut resolver)),
                Err(problem) => this.problems.push(problem),
            }
        }
        this
    }

    fn add(&mut self, mut group: Group, file: &str, job: &Job, resolver: &mut Resolver) {
        group.set_label("__meta_filepath", file);
        for address in &group.targets {
            match resolver.resolve(job, &group.labels, address).1 {
                Resolution::Target { target, .. } => self.targets.push(Place::new(&target)),
                Resolution::Dropped => {}
                Resolution::Refused(fault) => {
                    self.problems.push(format!("{file}: target `{address}` is not scraped: {fault}"));
                }
            }
        }
    }
}

impl Written {
    fn new(remote: &RemoteWrite) -> Self {
        Self {
            name: remote.name.clone(),
            url: shown(&remote.url),
            version: match (remote.message, remote.compression) {
                (Message::V2, _) => "2.0",
                (Message::Negotiated, Compressing::Snappy) => "2.0 or 1.0",
                (Message::Negotiated, Compressing::Asked) => "2.0, or 1.0 with zstd if it is taken",
                (Message::V1, Compressing::Snappy) => "1.0",
                (_, _) => "1.0 with zstd if it is taken",
            },
            problems: remote.client.problems(),
        }
    }
}

impl Posted {
    fn new(to: &Otlp) -> Self {
        Self {
            name: to.name.clone(),
            url: shown(&to.url),
            protocol: otlp::name(to.protocol),
            problems: to.client.problems(),
        }
    }
}

impl Lines {
    fn new(Ndjson { name, place, .. }: &Ndjson) -> Self {
        Self { name: name.clone(), path: place.to_string() }
    }
}

impl Rule {
    fn new(rule: &stream::Rule) -> Self {
        let grouping = match &rule.grouping {
            Grouping::By(labels) => format!("by ({})", labels.join(", ")),
            Grouping::Without(labels) => format!("without ({})", labels.join(", ")),
        };
        Self {
            name: rule.name.clone(),
            interval: write_duration(Duration::from_secs(rule.interval_windows.into())),
            grouping,
            outputs: rule.outputs.iter().map(output).collect(),
        }
    }
}

/// The report for people, without what is wrong, which goes to another stream.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(runs) = &self.runs else { return Ok(()) };
        let Runs { jobs, remote_write, otlp, ndjson, aggregate, external_labels, limits, listen } = runs;
        writeln!(f, "listens on {listen}")?;
        if !external_labels.is_empty() {
            writeln!(f, "external labels {{{}}}", labels(external_labels))?;
        }
        let Bounds { targets, series, series_per_target, arena_bytes, windows, page_bytes } = limits;
        writeln!(
            f,
            "limits: {targets} targets, {series} series, {series_per_target} a target, {} MiB for them, {windows} windows, {} MiB for pages",
            arena_bytes >> 20,
            page_bytes >> 20
        )?;
        for Scraped { name, interval, timeout, targets, files, servers, problems } in jobs {
            writeln!(
                f,
                "job `{name}`: every {interval}, at most {timeout}, {} static targets",
                targets.len()
            )?;
            for Place { url, labels: own } in targets {
                writeln!(f, "  {url} {{{}}}", labels(own))?;
            }
            for Listed { pattern, targets, problems } in files {
                writeln!(f, "  {} targets in {pattern}", targets.len())?;
                for Place { url, labels: own } in targets {
                    writeln!(f, "    {url} {{{}}}", labels(own))?;
                }
                for problem in problems {
                    writeln!(f, "    left out: {problem}")?;
                }
            }
            for server in servers {
                writeln!(f, "  targets from {server}")?;
            }
            for problem in problems {
                writeln!(f, "  of no use: {problem}")?;
            }
        }
        for Written { name, url, version, problems } in remote_write {
            writeln!(f, "remote write `{name}`: version {version} to {url}")?;
            for problem in problems {
                writeln!(f, "  of no use: {problem}")?;
            }
        }
        for Posted { name, url, protocol, problems } in otlp {
            writeln!(f, "OTLP `{name}`: {protocol} to {url}")?;
            for problem in problems {
                writeln!(f, "  of no use: {problem}")?;
            }
        }
        for Lines { name, path } in ndjson {
            writeln!(f, "lines of JSON `{name}`: to {path}")?;
        }
        for Rule { name, interval, grouping, outputs } in aggregate {
            writeln!(f, "rule `{name}`: every {interval} {grouping}: {}", outputs.join(", "))?;
        }
        Ok(())
    }
}

fn output(output: &Output) -> String {
    match output {
        Output::Quantiles(numbers) | Output::Histogram(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
            format!("{}({})", output.as_str(), numbers.join(", "))
        }
        _ => output.as_str().to_owned(),
    }
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}{name}={value:?}");
    }
    out
}
