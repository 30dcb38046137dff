//! Jobs: what is scraped, and how.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::Uri;
use observer_aggregate::native;

use super::{
    ClientConfig, Config, Environment, Group, Resolution, Resolver, Target, duration,
    keys::{FileSdKeys, GlobalKeys, HttpSdKeys, JobKeys, LimitKeys, MoreKeys, RelabelKeys, StaticKeys},
    protocol::{Dialect, ScrapeProtocol, ScrapeProtocols},
    section::{At, Labels, Section as _, Size, Value as _},
    yaml::{self, Document, Fault, Node},
};
use crate::relabel::{RelabelConfig, Rules};

/// One entry of `scrape_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// `job_name`
    pub(crate) name: String,
    /// How its targets are scraped.
    pub(crate) settings: Settings,
    /// `scheme`
    pub(crate) scheme: String,
    /// `metrics_path`
    pub(crate) path: String,
    /// `params`, sorted by name.
    pub(crate) params: Vec<(String, Vec<String>)>,
    /// How its targets are spoken to.
    pub(crate) client: ClientConfig,
    /// `static_configs`
    pub(crate) groups: Vec<Group>,
    /// `file_sd_configs`
    pub(crate) files: Vec<FileSd>,
    /// `http_sd_configs`
    pub(crate) servers: Vec<HttpSd>,
    /// `relabel_configs`
    pub(crate) relabel: Rules,
    /// `metric_relabel_configs`, to apply to the labels of each sample, `__name__` among them.
    pub(crate) metric_relabel: Rules,
    /// Targets from the command line, which are not relabelled.
    pub(crate) fixed: Vec<Target>,
    /// The targets that need no discovery: static ones after relabelling, then the fixed ones; each once.
    pub(crate) targets: Vec<Target>,
}

/// One entry of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileSd {
    /// The last part of a path may have `*`.
    pub(crate) files: Vec<PathBuf>,
    /// How often files are read even if nothing seems to have changed.
    pub(crate) refresh: Duration,
}

/// One entry of `http_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpSd {
    /// `http` or `https`.
    pub(crate) url: Uri,
    /// How often it is asked, and the longest an answer may take.
    pub(crate) refresh: Duration,
    /// How the server is spoken to.
    pub(crate) client: ClientConfig,
}

/// How targets are scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// From the begin of one scrape to the begin of the next.
    pub(crate) interval: Duration,
    /// The longest a scrape may take, at most the interval.
    pub(crate) timeout: Duration,
    /// A scraped label wins over the target's of the same name, which otherwise renames it to `exported_…`.
    pub(crate) honor_labels: bool,
    /// A scraped timestamp is kept.
    pub(crate) honor_timestamps: bool,
    /// Series with timestamps of their own get a stale marker too.
    pub(crate) track_timestamps_staleness: bool,
    /// Ask for a compressed body.
    pub(crate) compression: bool,
    /// The most samples a scrape may have; 0 for any number.
    pub(crate) sample_limit: usize,
    /// The most targets of the job; 0 for any number.
    pub(crate) target_limit: usize,
    /// The most labels of a sample; 0 for any number.
    pub(crate) label_limit: usize,
    /// The longest name of a label in bytes; 0 for any length.
    pub(crate) label_name_length_limit: usize,
    /// The longest value of a label in bytes; 0 for any length.
    pub(crate) label_value_length_limit: usize,
    /// The largest body in bytes; 0 for any size.
    pub(crate) body_size_limit: usize,
    /// How many dropped targets are kept.
    pub(crate) keep_dropped: usize,
    /// The formats to ask for, if the configuration says which.
    pub(crate) protocols: Option<ScrapeProtocols>,
    /// How a body is read that does not say what it is.
    pub(crate) fallback: Dialect,
    /// Native histograms are taken.
    pub(crate) native_histograms: bool,
    /// The classic form of a native histogram is taken too.
    pub(crate) classic_histograms: bool,
    /// The most buckets of a native histogram; 0 for any number.
    pub(crate) bucket_limit: usize,
    /// The highest resolution of a native histogram, see [`observer_aggregate::native::Native::schema`].
    pub(crate) max_schema: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            compression: true,
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            // Some hundred thousand samples: more than one exporter has, less than what hurts a node.
            body_size_limit: 64 << 20,
            keep_dropped: 1000,
            protocols: None,
            fallback: Dialect::Text,
            native_histograms: false,
            classic_histograms: false,
            bucket_limit: 0,
            max_schema: native::FINEST,
        }
    }
}

impl Settings {
    /// The `Accept` header of a scrape.
    pub(crate) fn accept(&self) -> String {
        self.protocols.unwrap_or_else(|| ScrapeProtocols::default_for(self.native_histograms)).accept()
    }
}

/// What holds for a job that says nothing else.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) settings: Settings,
    /// The timeout, before the interval cuts it.
    timeout: Duration,
    /// The file says how often, so it is not the default that cuts a timeout.
    says_interval: bool,
    /// The most dropped targets to keep.
    dropped: usize,
}

/// What Prometheus lets a scrape take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Defaults {
    pub(super) fn new(
        global: &GlobalKeys<'_>,
        limits: &LimitKeys<'_>,
        warnings: &mut Vec<Fault>,
    ) -> Result<Self, Fault> {
        let mut settings = Settings::default();
        set(&mut settings.keep_dropped, &limits.dropped_targets);
        let dropped = settings.keep_dropped;
        if let Some(At { value: Size(bytes), .. }) = limits.body_bytes {
            settings.body_size_limit = bytes;
        }
        (settings.interval, settings.timeout) =
            times(&settings, (TIMEOUT, false), &global.scrape_interval, &global.scrape_timeout, warnings)?;
        set(&mut settings.sample_limit, &global.sample_limit);
        set(&mut settings.target_limit, &global.target_limit);
        set(&mut settings.label_limit, &global.label_limit);
        set(&mut settings.label_name_length_limit, &global.label_name_length_limit);
        set(&mut settings.label_value_length_limit, &global.label_value_length_limit);
        if let Some(At { value: Size(bytes), .. }) = global.body_size_limit {
            settings.body_size_limit = bytes;
        }
        keep(&mut settings, dropped, &global.keep_dropped_targets);
        set_protocols(&mut settings, &global.scrape_protocols)?;
        set(&mut settings.native_histograms, &global.scrape_native_histograms);
        set(&mut settings.classic_histograms, &global.always_scrape_classic_histograms);
        let timeout = global.scrape_timeout.as_ref().map_or(TIMEOUT, |at| at.value);
        Ok(Self { settings, timeout, says_interval: global.scrape_interval.is_some(), dropped })
    }
}

/// Sets what is said.
pub(super) fn set<T: Clone>(to: &mut T, said: &Option<At<'_, T>>) {
    if let Some(at) = said {
        to.clone_from(&at.value);
    }
}

/// 0 is any number in Prometheus; here it is what the limit has.
fn keep(settings: &mut Settings, most: usize, said: &Option<At<'_, usize>>) {
    if let Some(at) = said {
        settings.keep_dropped = if at.value == 0 { most } else { at.value.min(most) };
    }
}

/// A timeout that is not said is `default`, or the interval if that is shorter. One that is longer than an interval nobody has said is
/// cut too: Prometheus' own default is a minute, so a file that is good there has such timeouts.
fn times(
    settings: &Settings,
    (default, says_interval): (Duration, bool),
    interval: &Option<At<'_, Duration>>,
    timeout: &Option<At<'_, Duration>>,
    warnings: &mut Vec<Fault>,
) -> Result<(Duration, Duration), Fault> {
    let says_interval = says_interval || interval.is_some();
    let interval = interval.as_ref().map_or(settings.interval, |at| at.value);
    match timeout {
        Some(at) if at.value > interval && !says_interval => {
            warnings.push(at.node.fault(format!(
                "scrape timeout {} is cut to the scrape interval, which is {} where `scrape_interval` says nothing (1m in Prometheus)",
                duration::write(at.value),
                duration::write(interval)
            )));
            Ok((interval, interval))
        }
        Some(at) if at.value > interval => Err(at.node.fault(format!(
            "scrape timeout {} is longer than the scrape interval {}",
            duration::write(at.value),
            duration::write(interval)
        ))),
        Some(at) => Ok((interval, at.value)),
        None => Ok((interval, default.min(interval))),
    }
}

/// Labels that every reader downstream understands.
pub(super) fn external_labels(
    labels: Option<At<'_, Labels>>,
    environment: &Environment,
) -> Result<Vec<(String, String)>, Fault> {
    let Some(At { node, value: Labels(labels) }) = labels else { return Ok(Vec::new()) };
    let legacy = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match labels.iter().find(|(name, _)| !legacy(name)) {
        Some((name, _)) => {
            Err(node.fault(format!("expected a label name of letters, digits and `_`, not `{name}`")))
        }
        None => Ok(labels.into_iter().map(|(name, value)| (name, environment.expand(&value))).collect()),
    }
}

pub(super) fn job(
    mut keys: JobKeys<'_>,
    defaults: &Defaults,
    base: &Path,
    warnings: &mut Vec<Fault>,
) -> Result<Job, Fault> {
    let node = keys.place();
    let mut job = Job {
        settings: settings(&keys, defaults, warnings)?,
        scheme: "http".to_owned(),
        path: "/metrics".to_owned(),
        ..Job::default()
    };
    set(&mut job.name, &keys.job_name);
    set(&mut job.path, &keys.metrics_path);
    if job.name.is_empty() {
        return Err(node.fault("a job without `job_name`"));
    }
    if let Some(At { node, value }) = keys.scheme {
        if !matches!(&*value, "http" | "https") {
            return Err(node.fault(format!("expected `http` or `https`, not `{value}`")));
        }
        job.scheme = value;
    }
    job.params = keys.params.map(|at| at.value.0).unwrap_or_default();
    job.client = ClientConfig::new(client_keys!(keys), base)?;
    job.relabel = rules(keys.relabel_configs)?;
    job.metric_relabel = rules(keys.metric_relabel_configs)?;
    for keys in keys.file_sd_configs.into_iter().flat_map(|at| at.value) {
        job.files.push(file_sd(keys, base)?);
    }
    for keys in keys.http_sd_configs.into_iter().flat_map(|at| at.value) {
        job.servers.push(http_sd(keys, base)?);
    }
    let mut resolver = Resolver::default();
    for keys in keys.static_configs.into_iter().flat_map(|at| at.value) {
        static_targets(&keys, &mut job, &mut resolver, warnings)?;
    }
    let mut seen = HashSet::new();
    job.targets.retain(|target| seen.insert(target.clone()));
    Ok(job)
}

fn settings(keys: &JobKeys<'_>, defaults: &Defaults, warnings: &mut Vec<Fault>) -> Result<Settings, Fault> {
    let mut settings = defaults.settings;
    let before = (defaults.timeout, defaults.says_interval);
    (settings.interval, settings.timeout) =
        times(&settings, before, &keys.scrape_interval, &keys.scrape_timeout, warnings)?;
    for (flag, said) in [
        (&mut settings.honor_labels, &keys.honor_labels),
        (&mut settings.honor_timestamps, &keys.honor_timestamps),
        (&mut settings.track_timestamps_staleness, &keys.track_timestamps_staleness),
        (&mut settings.compression, &keys.enable_compression),
        (&mut settings.native_histograms, &keys.scrape_native_histograms),
    ] {
        set(flag, said);
    }
    for said in [&keys.scrape_classic_histograms, &keys.always_scrape_classic_histograms] {
        set(&mut settings.classic_histograms, said);
    }
    for (limit, said) in [
        (&mut settings.sample_limit, &keys.sample_limit),
        (&mut settings.target_limit, &keys.target_limit),
        (&mut settings.label_limit, &keys.label_limit),
        (&mut settings.label_name_length_limit, &keys.label_name_length_limit),
        (&mut settings.label_value_length_limit, &keys.label_value_length_limit),
        (&mut settings.bucket_limit, &keys.native_histogram_bucket_limit),
    ] {
        set(limit, said);
    }
    if let Some(At { value: Size(bytes), .. }) = keys.body_size_limit {
        settings.body_size_limit = bytes;
    }
    keep(&mut settings, defaults.dropped, &keys.keep_dropped_targets);
    set_protocols(&mut settings, &keys.scrape_protocols)?;
    if let Some(at) = &keys.fallback_scrape_protocol {
        settings.fallback = at.value.dialect();
    }
    if let Some(at) = &keys.native_histogram_min_bucket_factor {
        settings.max_schema = native::schema_of_factor(at.value);
    }
    Ok(settings)
}

fn set_protocols(settings: &mut Settings, said: &Option<At<'_, Vec<ScrapeProtocol>>>) -> Result<(), Fault> {
    let Some(At { node, value }) = said else { return Ok(()) };
    let protocols = ScrapeProtocols::of(value.iter().copied());
    settings.protocols =
        Some(protocols.ok_or_else(|| node.fault("expected at least one format, and none of them twice"))?);
    Ok(())
}

/// One entry of `static_configs`.
fn static_targets(
    keys: &StaticKeys<'_>,
    job: &mut Job,
    resolver: &mut Resolver,
    warnings: &mut Vec<Fault>,
) -> Result<(), Fault> {
    let group = Group::new(keys);
    for At { node, value: address } in keys.targets.iter().flat_map(|at| &at.value) {
        if address.is_empty() || address.contains('/') {
            return Err(node.fault(format!("expected `host:port`, not `{address}`")));
        }
        match resolver.resolve(job, &group.labels, address).1 {
            Resolution::Target { target, .. } => {
                job.targets.push(target);
            }
            Resolution::Dropped => {}
            Resolution::Refused(fault) => {
                warnings.push(node.fault(format!("target `{address}` is not scraped: {fault}")));
            }
        }
    }
    job.groups.push(group);
    Ok(())
}

fn file_sd(keys: FileSdKeys<'_>, base: &Path) -> Result<FileSd, Fault> {
    let node = keys.place();
    let mut files = Vec::new();
    for At { node, value } in keys.files.into_iter().flat_map(|at| at.value) {
        files.push(base.join(pattern(node, &value)?));
    }
    if files.is_empty() {
        return Err(node.fault("`file_sd_configs` without `files`"));
    }
    let refresh = keys.refresh_interval.map_or(Duration::from_secs(300), |at| at.value);
    Ok(FileSd { files, refresh })
}

/// A path to YAML or JSON, with `*` only in its last part.
fn pattern<'t>(node: Node<'_>, text: &'t str) -> Result<&'t str, Fault> {
    let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
    let known = [".json", ".yml", ".yaml"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    if known && !folder.contains('*') {
        Ok(text)
    } else {
        Err(node.fault(format!("expected a path that ends in .json, .yml or .yaml, with `*` only behind the last `/`, not `{text}`")))
    }
}

fn http_sd(mut keys: HttpSdKeys<'_>, base: &Path) -> Result<HttpSd, Fault> {
    let node = keys.place();
    let client = ClientConfig::new(client_keys!(keys), base)?;
    let At { node, value: text } = keys.url.ok_or_else(|| node.fault("`http_sd_configs` without `url`"))?;
    let refresh = keys.refresh_interval.map_or(Duration::from_secs(60), |at| at.value);
    let url = url(node, &text)?;
    Ok(HttpSd { url, refresh, client })
}

/// A URL of `http` or `https` with a host.
pub(super) fn url(node: Node<'_>, text: &str) -> Result<Uri, Fault> {
    let parsed = text.parse().ok().filter(|url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && !url.host().unwrap_or_default().is_empty()
    });
    parsed.ok_or_else(|| node.fault(format!("expected a URL such as `http://host:port/path`, not `{text}`")))
}

pub(super) fn rules(rules: Option<At<'_, Vec<RelabelKeys<'_>>>>) -> Result<Rules, Fault> {
    let rules = rules.map(|at| at.value).unwrap_or_default();
    let configs: Vec<RelabelConfig> = rules.iter().map(relabel_config).collect();
    Rules::compile(&configs).map_err(|error| place(&rules[error.rule], error.key).fault(error.to_string()))
}

fn relabel_config(keys: &RelabelKeys<'_>) -> RelabelConfig {
    let mut config = RelabelConfig::default();
    let RelabelKeys { action, source_labels, separator, regex, modulus, target_label, replacement, .. } =
        keys;
    set(&mut config.action, action);
    set(&mut config.source_labels, source_labels);
    set(&mut config.separator, separator);
    set(&mut config.regex, regex);
    set(&mut config.modulus, modulus);
    set(&mut config.target_label, target_label);
    set(&mut config.replacement, replacement);
    config
}

/// Where a key of a rule stands, or the rule if it does not say it.
fn place<'n>(keys: &RelabelKeys<'n>, key: &str) -> Node<'n> {
    let said = match key {
        "source_labels" => keys.source_labels.as_ref().map(|at| at.node),
        "separator" => keys.separator.as_ref().map(|at| at.node),
        "regex" => keys.regex.as_ref().map(|at| at.node),
        "modulus" => keys.modulus.as_ref().map(|at| at.node),
        "target_label" => keys.target_label.as_ref().map(|at| at.node),
        "replacement" => keys.replacement.as_ref().map(|at| at.node),
        _ => None,
    };
    said.unwrap_or_else(|| keys.place())
}

/// The jobs of one of the `scrape_config_files`.
pub(super) fn more(
    config: &mut Config,
    text: &str,
    defaults: &Defaults,
    base: &Path,
    warnings: &mut Vec<Fault>,
) -> Result<(), Fault> {
    let document = yaml::root(text)?;
    let Some(node) = document.as_ref().map(Document::node) else { return Ok(()) };
    let keys = MoreKeys::read(node, warnings)?;
    for keys in keys.scrape_configs.into_iter().flat_map(|at| at.value) {
        config.push(keys, defaults, base, warnings)?;
    }
    Ok(())
}

impl Config {
    /// Adds a job of the file.
    pub(super) fn push(
        &mut self,
        keys: JobKeys<'_>,
        defaults: &Defaults,
        base: &Path,
        warnings: &mut Vec<Fault>,
    ) -> Result<(), Fault> {
        let node = keys.place();
        let job = job(keys, defaults, base, warnings)?;
        if self.jobs.iter().any(|other| other.name == job.name) {
            return Err(node.fault(format!("a second job `{}`", job.name)));
        }
        self.jobs.push(job);
        Ok(())
    }
}
