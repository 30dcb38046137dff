//! From an address with labels to a target: what Prometheus adds, relabelling, and what is left.
//! <https://prometheus.io/docs/concepts/jobs_instances/>

use std::time::Duration;

use super::{Job, Target, duration, target::encode_query, write_duration};
use crate::relabel::{LabelSet, Scratch};

/// Resolves targets, with memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    labels: LabelSet,
    scratch: Scratch,
}

/// What became of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It is scraped.
    Target {
        /// Where, and with which labels.
        target: Target,
        /// How often.
        interval: Duration,
        /// How long it may take.
        timeout: Duration,
    },
    /// Relabelling dropped it.
    Dropped,
    /// It cannot be scraped.
    Refused(TargetFault),
}

/// Why a target cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetFault {
    /// Nothing to connect to.
    #[error("no address")]
    NoAddress,
    /// Something that is not `host:port`, or a path that cannot be asked for.
    #[error("`{0}` is not `host:port`")]
    Address(String),
    /// A scheme that nobody can be asked by.
    #[error("scheme `{0}` is neither `http` nor `https`")]
    Scheme(String),
    /// `__scrape_interval__` or `__scrape_timeout__` is no duration.
    #[error("`{0}` is `{1}`, which is no duration above 0")]
    Duration(&'static str, String),
    /// The timeout is longer than the interval.
    #[error("scrape timeout {0} is longer than the scrape interval {1}")]
    Timeout(String, String),
}

impl Resolver {
    /// The labels before relabelling, sorted, and what becomes of the target.
    pub(crate) fn resolve(
        &mut self,
        job: &Job,
        group: &[(String, String)],
        address: &str,
    ) -> (Vec<(String, String)>, Resolution) {
        self.discovered(job, group, address);
        let discovered =
            self.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if !job.relabel.apply(&mut self.labels, &mut self.scratch) {
            return (discovered, Resolution::Dropped);
        }
        (discovered, self.target(job).unwrap_or_else(Resolution::Refused))
    }

    /// Fills in what neither the target nor its group says.
    fn discovered(&mut self, job: &Job, group: &[(String, String)], address: &str) {
        let labels = &mut self.labels;
        labels.clear();
        for (name, value) in group {
            labels.set(name, value);
        }
        // A target's own labels win over those of its group.
        labels.set("__address__", address);
        let mut default = |name: &str, value: &str| {
            if labels.get(name).is_empty() {
                labels.set(name, value);
            }
        };
        default("job", &job.name);
        default("__scrape_interval__", &write_duration(job.settings.interval));
        default("__scrape_timeout__", &write_duration(job.settings.timeout));
        default("__metrics_path__", &job.path);
        default("__scheme__", &job.scheme);
        for (name, values) in &job.params {
            if let Some(value) = values.first() {
                default(&format!("__param_{name}"), value);
            }
        }
    }

    fn target(&self, job: &Job) -> Result<Resolution, TargetFault> {
        let labels = &self.labels;
        let address = labels.get("__address__");
        if address.is_empty() {
            return Err(TargetFault::NoAddress);
        }
        let scheme = labels.get("__scheme__");
        if !matches!(scheme, "http" | "https") {
            return Err(TargetFault::Scheme(scheme.to_owned()));
        }
        let time = |name: &'static str| {
            let text = labels.get(name);
            let wrong = || TargetFault::Duration(name, text.to_owned());
            duration::parse(text).filter(|time| !time.is_zero()).ok_or_else(wrong)
        };
        let (interval, timeout) = (time("__scrape_interval__")?, time("__scrape_timeout__")?);
        if timeout > interval {
            return Err(TargetFault::Timeout(write_duration(timeout), write_duration(interval)));
        }
        let path = encode_path(labels.get("__metrics_path__"));
        let mut target = Target::new(scheme, address, &path, &self.query(job))
            .map_err(|_| TargetFault::Address(address.to_owned()))?;
        if !labels.get("instance").is_empty() {
            target.labels.clear();
        }
        for (name, value) in labels.iter().filter(|(name, _)| !name.starts_with("__")) {
            target.or_label(name, value);
        }
        Ok(Resolution::Target { target, interval, timeout })
    }

    /// The parameters of the job, of which labels replace the first value.
    fn query(&self, job: &Job) -> String {
        let mut params: Vec<(&str, &str)> = Vec::new();
        for (name, value) in self.labels.iter() {
            if let Some(name) = name.strip_prefix("__param_") {
                params.push((name, value));
            }
        }
        for (name, values) in &job.params {
            // Without its label, which relabelling took, the parameter is as the job has it.
            let labelled = params.iter().any(|(other, _)| other == name);
            params.extend(values.iter().skip(usize::from(labelled)).map(|value| (&**name, &**value)));
        }
        // Stable: values stay in their order.
        params.sort_by_key(|(name, _)| *name);
        let mut query = String::new();
        for (name, value) in params {
            if !query.is_empty() {
                query.push('&');
            }
            encode_query(name, &mut query);
            query.push('=');
            encode_query(value, &mut query);
        }
        query
    }
}

/// What a URL cannot have is encoded; a `?` begins a query, as it is mostly meant.
fn encode_path(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~'
                if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') =>
            {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
