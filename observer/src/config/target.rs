//! A thing to scrape: from the file or from `--scrape [job=]URL`.

use std::{str::FromStr, sync::Arc, time::Duration};

use hyper::Uri;

use super::Job;

/// The job of a target from the command line that names none.
const FLAG_JOB: &str = "scrape";

/// A thing to scrape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Where: `http` or `https`, with a host, a path and perhaps a query.
    pub(crate) url: Uri,
    /// The labels of all its series, `job` and `instance` among them. Values as they are. Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
}

/// Something to scrape.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScrapeTarget {
    /// The job it belongs to: limits, rules for its samples, headers.
    pub(crate) job: Arc<Job>,
    /// Where, and the labels of all its series.
    pub(crate) target: Arc<Target>,
    /// Its labels before relabelling, sorted by name.
    pub(crate) discovered: Vec<(String, String)>,
    /// From the begin of one scrape to the begin of the next.
    pub(crate) interval: Duration,
    /// The longest a scrape may take, at most the interval.
    pub(crate) timeout: Duration,
    /// Tells targets of a job apart: what has the same is the same target, whose connection and state go on.
    pub(crate) identity: u64,
}

/// The value of `--scrape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// The job, perhaps of the file.
    pub(crate) job: String,
    /// The target, still without its `job` label.
    pub(crate) target: Target,
}

/// Why text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not a URL.
    #[error("`{0}` is not `host:port`, `http://host:port/path` or `https://host:port/path`")]
    Url(String),
    /// A URL with another scheme.
    #[error("scheme `{0}` is neither `http` nor `https`")]
    Scheme(String),
    /// No name before `=`.
    #[error("`{0}` has no job name before `=`")]
    Job(String),
}

impl Target {
    /// A target by its scheme, its address (`host` or `host:port`), its path and its query, which is encoded.
    pub(super) fn new(scheme: &str, address: &str, path: &str, query: &str) -> Result<Self, TargetError> {
        let mut url = format!("{scheme}://{address}");
        if !path.starts_with('/') {
            url.push('/');
        }
        url.push_str(path);
        if !query.is_empty() {
            url.push(if path.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        let wrong = || TargetError::Url(address.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        // A user name would be part of the address and never be sent.
        if authority.host().is_empty() || authority.as_str() != address || address.contains('@') {
            return Err(wrong());
        }
        if authority.port().is_some() != ends_with_port(address) || authority.port_u16() == Some(0) {
            return Err(wrong());
        }
        Ok(Self { url: uri, labels: vec![("instance".to_owned(), address.to_owned())] })
    }

    /// Sets a label unless the target has it. An empty value is none.
    pub(super) fn or_label(&mut self, name: &str, value: &str) {
        if let Err(at) = self.labels.binary_search_by(|(n, _)| n.as_str().cmp(name))
            && !value.is_empty()
        {
            self.labels.insert(at, (name.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn with_job(mut self, job: &str) -> Self {
        self.or_label("job", job);
        self
    }
}

impl FromStr for Flag {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A URL may have `=` in its query; a job's name ends before any of these.
        let (job, url) = match text.split_once('=') {
            Some((job, url)) if !job.contains(['/', ':', '?']) => (job, url),
            _ => (FLAG_JOB, text),
        };
        if job.is_empty() {
            return Err(TargetError::Job(text.to_owned()));
        }
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some((scheme, _)) if !scheme.contains(['/', '?']) => {
                return Err(TargetError::Scheme(scheme.to_owned()));
            }
            _ => ("http", url),
        };
        let (address, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/metrics" } else { path };
        let target =
            Target::new(scheme, address, path, query).map_err(|_| TargetError::Url(url.to_owned()))?;
        Ok(Self { job: job.to_owned(), target })
    }
}

/// Whether something that looks like a port stands behind the host.
fn ends_with_port(address: &str) -> bool {
    address.rsplit(']').next().is_some_and(|tail| tail.contains(':'))
}

/// Encodes text for a query as a form does.
pub(super) fn encode_query(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, job: &str, url: &str, instance: &str) {
        let flag: Flag = text.parse().unwrap();
        assert_eq!((&*flag.job, &*flag.target.url.to_string()), (job, url), "{text}");
        assert_eq!(flag.target.labels, [("instance".to_owned(), instance.to_owned())]);
    }

    #[test]
    fn a_flag_is_an_address_or_a_url_with_an_optional_job() {
        check("127.0.0.1:9100", "scrape", "http://127.0.0.1:9100/metrics", "127.0.0.1:9100");
        check(
            "node=http://127.0.0.1:9100/metrics",
            "node",
            "http://127.0.0.1:9100/metrics",
            "127.0.0.1:9100",
        );
        check("node=localhost", "node", "http://localhost/metrics", "localhost");
        check("http://h:1/p?a=b", "scrape", "http://h:1/p?a=b", "h:1");
        check("https://h/p", "scrape", "https://h/p", "h");
        check("j=h:1?a=b", "j", "http://h:1/metrics?a=b", "h:1");
        check("[::1]:9100", "scrape", "http://[::1]:9100/metrics", "[::1]:9100");
    }

    #[test]
    fn what_cannot_be_scraped_is_refused() {
        for text in
            ["", "j=", "http://", "h:port", "h:99999", "h:0", "h:", "a b:1", "user@h:1", "::1:80", "h:1/a b"]
        {
            assert!(
                matches!(text.parse::<Flag>(), Err(TargetError::Url(_))),
                "{text}: {:?}",
                text.parse::<Flag>()
            );
        }
        assert_eq!("ftp://h:1".parse::<Flag>(), Err(TargetError::Scheme("ftp".to_owned())));
        assert_eq!("=h:1".parse::<Flag>(), Err(TargetError::Job("=h:1".to_owned())));
    }
}
