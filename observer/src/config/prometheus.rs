//! The sections of a Prometheus configuration.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/>

use std::time::Duration;

use super::{
    Config, Global, Job, Settings, Target, duration,
    target::encode_query,
    yaml::{Document, Fault, Keys, Node},
};

#[rustfmt::skip]
const ROOT: Keys = Keys {
    read: &[
        "global", "scrape_configs",
    ],
    known: &[
        "runtime", "rule_files", "scrape_config_files", "alerting", "remote_write", "remote_read",
        "storage", "tracing", "otlp",
    ],
};

#[rustfmt::skip]
const GLOBAL: Keys = Keys {
    read: &[
        "scrape_interval", "scrape_timeout", "external_labels", "sample_limit", "body_size_limit",
    ],
    known: &[
        "evaluation_interval", "rule_query_offset", "query_log_file", "scrape_failure_log_file",
        "scrape_protocols", "target_limit", "label_limit", "label_name_length_limit",
        "label_value_length_limit", "keep_dropped_targets", "metric_name_validation_scheme",
        "metric_name_escaping_scheme", "scrape_native_histograms", "always_scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb", "extra_scrape_metrics",
    ],
};

#[rustfmt::skip]
const JOB: Keys = Keys {
    read: &[
        "job_name", "scrape_interval", "scrape_timeout", "metrics_path", "scheme", "params",
        "honor_labels", "honor_timestamps", "sample_limit", "body_size_limit", "static_configs",
    ],
    known: &[
        "track_timestamps_staleness", "basic_auth", "authorization", "oauth2", "bearer_token",
        "bearer_token_file", "follow_redirects", "enable_http2", "enable_compression", "tls_config",
        "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header", "http_headers",
        "scrape_protocols", "fallback_scrape_protocol", "scrape_native_histograms",
        "always_scrape_classic_histograms", "scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb", "native_histogram_bucket_limit",
        "native_histogram_min_bucket_factor", "scrape_failure_log_file", "relabel_configs",
        "metric_relabel_configs", "target_limit", "label_limit", "label_name_length_limit",
        "label_value_length_limit", "keep_dropped_targets", "metric_name_validation_scheme",
        "metric_name_escaping_scheme", "extra_scrape_metrics", "aws_sd_configs", "azure_sd_configs",
        "consul_sd_configs", "digitalocean_sd_configs", "dns_sd_configs", "docker_sd_configs",
        "dockerswarm_sd_configs", "ec2_sd_configs", "eureka_sd_configs", "file_sd_configs",
        "gce_sd_configs", "hetzner_sd_configs", "http_sd_configs", "ionos_sd_configs",
        "kubernetes_sd_configs", "kuma_sd_configs", "lightsail_sd_configs", "linode_sd_configs",
        "marathon_sd_configs", "nerve_sd_configs", "nomad_sd_configs", "openstack_sd_configs",
        "ovhcloud_sd_configs", "puppetdb_sd_configs", "scaleway_sd_configs", "serverset_sd_configs",
        "stackit_sd_configs", "triton_sd_configs", "uyuni_sd_configs", "vultr_sd_configs",
    ],
};

const STATIC: Keys = Keys { read: &["targets", "labels"], known: &[] };

/// What Prometheus lets a scrape take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn config(root: Option<&Document<'_>>, warnings: &mut Vec<Fault>) -> Result<Config, Fault> {
    let mut config = Config::default();
    let Some(root) = root else { return Ok(config) };
    let sections = root.node().section(ROOT, warnings)?;
    let mut timeout = TIMEOUT;
    // What is global holds for the jobs, wherever it stands.
    for (_, node) in sections.iter().filter(|(name, _)| *name == "global") {
        (config.global, timeout) = global(*node, warnings)?;
    }
    for (_, node) in sections.iter().filter(|(name, _)| *name == "scrape_configs") {
        for node in node.list()? {
            let job = job(node, config.global.settings, timeout, warnings)?;
            if config.jobs.iter().any(|other| other.name == job.name) {
                return Err(node.fault(format!("a second job `{}`", job.name)));
            }
            config.jobs.push(job);
        }
    }
    Ok(config)
}

/// The section, and the timeout of jobs that do not say theirs.
fn global(node: Node<'_>, warnings: &mut Vec<Fault>) -> Result<(Global, Duration), Fault> {
    let mut global = Global::default();
    let mut times = Times::default();
    for (key, value) in node.section(GLOBAL, warnings)? {
        match key {
            "scrape_interval" => times.interval = Some(interval(value)?),
            "scrape_timeout" => times.timeout = Some((value, interval(value)?)),
            "sample_limit" => global.settings.sample_limit = limit(value)?,
            "body_size_limit" => global.settings.body_size_limit = size(value)?,
            "external_labels" => global.external_labels = labels(value)?,
            _ => unreachable!("`{key}` is in `GLOBAL` and not here"),
        }
    }
    let timeout = times.timeout.map_or(TIMEOUT, |(_, timeout)| timeout);
    times.apply(&mut global.settings, TIMEOUT)?;
    Ok((global, timeout))
}

/// What a section says about time.
#[derive(Default)]
struct Times<'n> {
    interval: Option<Duration>,
    timeout: Option<(Node<'n>, Duration)>,
}

impl Times<'_> {
    /// A timeout that is not said is `default`, or the interval if that is shorter.
    fn apply(self, settings: &mut Settings, default: Duration) -> Result<(), Fault> {
        let interval = self.interval.unwrap_or(settings.interval);
        let timeout = match self.timeout {
            Some((node, timeout)) if timeout > interval => {
                return Err(node.fault(format!(
                    "scrape timeout {} is longer than the scrape interval {}",
                    duration::write(timeout),
                    duration::write(interval)
                )));
            }
            Some((_, timeout)) => timeout,
            None => default.min(interval),
        };
        (settings.interval, settings.timeout) = (interval, timeout);
        Ok(())
    }
}

/// `timeout` is for a job that does not say its own.
fn job(node: Node<'_>, global: Settings, timeout: Duration, warnings: &mut Vec<Fault>) -> Result<Job, Fault> {
    let mut settings = global;
    let mut times = Times::default();
    let mut name = None;
    let mut unsupported = None;
    let mut path = "/metrics";
    let mut query = Vec::new();
    let mut groups = Vec::new();
    for (key, value) in node.section(JOB, warnings)? {
        match key {
            "job_name" => name = Some(value.text()?).filter(|name| !name.is_empty()),
            "scrape_interval" => times.interval = Some(interval(value)?),
            "scrape_timeout" => times.timeout = Some((value, interval(value)?)),
            "metrics_path" => path = value.text()?,
            "scheme" => match value.text()? {
                "http" => {}
                "https" => unsupported = Some(value),
                other => return Err(value.fault(format!("expected `http` or `https`, not `{other}`"))),
            },
            "params" => query = params(value)?,
            "honor_labels" => settings.honor_labels = value.boolean()?,
            "honor_timestamps" => settings.honor_timestamps = value.boolean()?,
            "sample_limit" => settings.sample_limit = limit(value)?,
            "body_size_limit" => settings.body_size_limit = size(value)?,
            "static_configs" => groups = value.list()?,
            _ => unreachable!("`{key}` is in `JOB` and not here"),
        }
    }
    let name = name.ok_or_else(|| node.fault("a job without `job_name`"))?.to_owned();
    times.apply(&mut settings, timeout)?;
    let mut targets = Vec::new();
    for group in groups {
        for target in group_targets(group, &name, path, &query, warnings)? {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    if let Some(scheme) = unsupported {
        warnings
            .push(scheme.fault(format!("scheme `https` is not supported yet; job `{name}` is not scraped")));
        targets.clear();
    }
    Ok(Job { name, settings, targets })
}

/// One entry of `static_configs`.
fn group_targets(
    node: Node<'_>,
    job: &str,
    path: &str,
    query: &[(String, String)],
    warnings: &mut Vec<Fault>,
) -> Result<Vec<Target>, Fault> {
    let mut addresses = Vec::new();
    let mut extra = Vec::new();
    for (key, value) in node.section(STATIC, warnings)? {
        match key {
            "targets" => addresses = value.list()?,
            "labels" => extra = labels(value)?,
            _ => unreachable!("`{key}` is in `STATIC` and not here"),
        }
    }
    let mut path = path;
    let mut query = query.to_vec();
    for (name, value) in &extra {
        if name == "__metrics_path__" {
            path = value;
        } else if let Some(param) = name.strip_prefix("__param_") {
            query.retain(|(name, _)| name != param);
            query.push((param.to_owned(), value.clone()));
        }
    }
    query.sort_by(|(one, _), (other, _)| one.cmp(other));
    let encoded = encode(&query);
    let mut targets = Vec::new();
    for address in addresses {
        let text = address.text()?;
        let mut target = Target::new(text, path, &encoded)
            .map_err(|_| address.fault(format!("expected `host:port`, not `{text}`")))?;
        if extra.iter().any(|(name, value)| name == "instance" && !value.is_empty()) {
            target.labels.clear();
        }
        for (name, value) in extra.iter().filter(|(name, _)| !name.starts_with("__")) {
            target.or_label(name, value);
        }
        targets.push(target.with_job(job));
    }
    Ok(targets)
}

fn encode(query: &[(String, String)]) -> String {
    let mut encoded = String::new();
    for (name, value) in query {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encode_query(name, &mut encoded);
        encoded.push('=');
        encode_query(value, &mut encoded);
    }
    encoded
}

fn params(node: Node<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut params = Vec::new();
    for (key, values) in node.entries()? {
        for value in values.list()? {
            params.push((key.text()?.to_owned(), value.text()?.to_owned()));
        }
    }
    Ok(params)
}

fn labels(node: Node<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut labels = Vec::new();
    for (key, value) in node.entries()? {
        let name = key.read("a label name", |text| is_label_name(text).then(|| text.to_owned()))?;
        labels.push((name, value.text()?.to_owned()));
    }
    labels.sort();
    Ok(labels)
}

fn is_label_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn interval(node: Node<'_>) -> Result<Duration, Fault> {
    node.read("a duration such as `1s`, more than 0", |text| duration::parse(text).filter(|d| !d.is_zero()))
}

fn limit(node: Node<'_>) -> Result<usize, Fault> {
    node.read("a whole number", |text| text.parse().ok())
}

fn size(node: Node<'_>) -> Result<usize, Fault> {
    node.read("a size such as `10MB`", duration::size)
}
