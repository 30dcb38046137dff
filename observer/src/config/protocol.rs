//! The formats of scraped bodies, and how they are asked for.
//! <https://prometheus.io/docs/instrumenting/content_negotiation/>

use std::fmt::Write as _;

/// An entry of `scrape_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScrapeProtocol {
    PrometheusProto,
    OpenMetricsText1,
    OpenMetricsText0,
    PrometheusText1,
    PrometheusText0,
}

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    /// The Prometheus text format.
    Text,
    /// OpenMetrics as text.
    OpenMetrics,
    /// Prometheus' protobuf messages.
    Protobuf,
}

/// What is asked for, the most wanted first; each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScrapeProtocols {
    list: [ScrapeProtocol; 5],
    len: usize,
}

impl ScrapeProtocol {
    /// As Prometheus calls them.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("PrometheusProto", Self::PrometheusProto),
        ("OpenMetricsText1.0.0", Self::OpenMetricsText1),
        ("OpenMetricsText0.0.1", Self::OpenMetricsText0),
        ("PrometheusText1.0.0", Self::PrometheusText1),
        ("PrometheusText0.0.4", Self::PrometheusText0),
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol)
    }

    /// The format of its bodies.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::PrometheusProto => Dialect::Protobuf,
            Self::OpenMetricsText1 | Self::OpenMetricsText0 => Dialect::OpenMetrics,
            Self::PrometheusText1 | Self::PrometheusText0 => Dialect::Text,
        }
    }

    /// Names that not every reader downstream understands are asked for with underscores.
    const fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetricsText1 => "application/openmetrics-text;version=1.0.0;escaping=underscores",
            Self::OpenMetricsText0 => "application/openmetrics-text;version=0.0.1",
            Self::PrometheusText1 => "text/plain;version=1.0.0;escaping=underscores",
            Self::PrometheusText0 => "text/plain;version=0.0.4",
        }
    }
}

impl Dialect {
    /// The format of a media type, if it is one of ours.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*media {
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "application/vnd.google.protobuf" => Some(Self::Protobuf),
            "text/plain" => Some(Self::Text),
            _ => None,
        }
    }
}

impl ScrapeProtocols {
    /// What Prometheus asks for unless told otherwise: protobuf only where native histograms are wanted, and then first.
    pub(crate) fn default_for(native_histograms: bool) -> Self {
        use ScrapeProtocol::{
            OpenMetricsText0, OpenMetricsText1, PrometheusProto, PrometheusText0, PrometheusText1,
        };
        let text = [OpenMetricsText1, OpenMetricsText0, PrometheusText1, PrometheusText0];
        let proto = native_histograms.then_some(PrometheusProto);
        Self::of(proto.into_iter().chain(text)).expect("each is there once")
    }

    /// `None` for an empty list, or one that names something twice.
    pub(crate) fn of(protocols: impl IntoIterator<Item = ScrapeProtocol>) -> Option<Self> {
        let mut all = Self { list: [ScrapeProtocol::PrometheusText0; 5], len: 0 };
        for protocol in protocols {
            if all.iter().any(|known| known == protocol) {
                return None;
            }
            all.list[all.len] = protocol;
            all.len += 1;
        }
        (all.len > 0).then_some(all)
    }

    fn iter(&self) -> impl Iterator<Item = ScrapeProtocol> {
        self.list[..self.len].iter().copied()
    }

    /// The `Accept` header, with Prometheus' q-values (`scrape/scrape.go`, `acceptHeader`).
    pub(crate) fn accept(&self) -> String {
        let mut header = String::new();
        let mut weight = ScrapeProtocol::NAMES.len() + 1;
        for protocol in self.iter() {
            // A String takes every write.
            let _written = write!(header, "{};q=0.{weight},", protocol.media_type());
            weight -= 1;
        }
        let _written = write!(header, "*/*;q=0.{weight}");
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Settings, parse};

    #[test]
    fn the_most_wanted_format_has_the_highest_q_value() {
        assert_eq!(
            ScrapeProtocols::default_for(false).accept(),
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=underscores;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        let accept = ScrapeProtocols::default_for(true).accept();
        let proto = ScrapeProtocol::PrometheusProto.media_type();
        assert!(accept.starts_with(&format!("{proto};q=0.6,")) && accept.ends_with(",*/*;q=0.1"), "{accept}");
        let one = ScrapeProtocols::of([ScrapeProtocol::PrometheusText0]).unwrap();
        assert_eq!(one.accept(), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
    }

    fn settings(lines: &str) -> Result<Vec<Settings>, String> {
        let read = parse("o.yml", lines, &Environment::default());
        let (config, warnings) = read.map_err(|problem| problem.to_string())?;
        assert!(warnings.is_empty(), "{warnings:?}");
        Ok(config.jobs.iter().map(|job| job.settings).collect())
    }

    #[test]
    fn a_job_says_what_it_takes_or_takes_what_all_do() {
        let read = settings(
            "global: {scrape_protocols: [PrometheusText0.0.4], scrape_native_histograms: true}\n\
             scrape_configs:\n\
             - {job_name: a}\n\
             - {job_name: b, scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0], scrape_native_histograms: false}\n\
             - {job_name: c, fallback_scrape_protocol: PrometheusProto, scrape_classic_histograms: true}\n\
             - {job_name: d, native_histogram_bucket_limit: 9, native_histogram_min_bucket_factor: 1.5}\n",
        );
        let [a, b, c, d] = read.unwrap()[..] else { panic!("four jobs") };
        assert_eq!(
            (a.accept(), a.native_histograms),
            ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5".into(), true)
        );
        assert!(b.accept().starts_with("application/vnd.google.protobuf;") && !b.native_histograms);
        assert_eq!((b.fallback, c.fallback), (Dialect::Text, Dialect::Protobuf));
        assert_eq!((b.classic_histograms, c.classic_histograms), (false, true));
        assert_eq!((c.bucket_limit, c.max_schema, d.bucket_limit, d.max_schema), (0, 8, 9, 0));
        for (lines, expected) in [
            (
                "global:\n  scrape_protocols: [PrometheusText]\n",
                "o.yml:2:22: expected one of PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, \
                 PrometheusText1.0.0, PrometheusText0.0.4, not `PrometheusText`",
            ),
            (
                "global:\n  scrape_protocols: []\n",
                "o.yml:2:21: expected at least one format, and none of them twice",
            ),
        ] {
            assert_eq!(settings(lines).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_list_names_something_and_nothing_twice() {
        assert_eq!(ScrapeProtocols::of([]), None);
        assert_eq!(ScrapeProtocols::of([ScrapeProtocol::PrometheusText0; 2]), None);
    }

    #[test]
    fn a_media_type_says_the_format() {
        for (content_type, expected) in [
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Some(Dialect::OpenMetrics)),
            ("Application/OpenMetrics-Text", Some(Dialect::OpenMetrics)),
            ("text/plain; version=0.0.4", Some(Dialect::Text)),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Some(Dialect::Protobuf),
            ),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of(content_type), expected, "{content_type}");
        }
    }
}
