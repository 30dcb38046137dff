//! Which format a client gets, from its `Accept` and `Accept-Encoding`.

use observer_exposition::{Format, Names};

use super::prometheus::Form;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// As `Content-Encoding` has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The format with the highest q-value of those the client names, the first of equals. A client that names none of
/// ours gets the text format, as from every Prometheus exporter.
pub(crate) fn form(accept: &str) -> Form {
    let mut best = (0.0, Form::Lines(Format::Text, Names::Underscores));
    for item in accept.split(',') {
        let (media, params) = split(item);
        let param = |wanted| params.clone().find_map(|(name, value)| (name == wanted).then_some(value));
        let version = param("version");
        let is_metrics = param("proto").is_none_or(|proto| proto == "io.prometheus.client.MetricFamily")
            && param("encoding").is_none_or(|encoding| encoding == "delimited");
        let utf8 = params
            .clone()
            .any(|(name, value)| name == "escaping" && value.eq_ignore_ascii_case("allow-utf-8"));
        let names = if utf8 { Names::Quoted } else { Names::Underscores };
        let offer = match (&*media.to_ascii_lowercase(), version) {
            ("application/vnd.google.protobuf", _) if is_metrics => Form::Protobuf,
            ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => {
                Form::Lines(Format::OpenMetrics, names)
            }
            ("text/plain", Some("1.0.0")) => Form::Lines(Format::Text, names),
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => {
                Form::Lines(Format::Text, Names::Underscores)
            }
            _ => continue,
        };
        let q = quality(item);
        if q > best.0 {
            best = (q, offer);
        }
    }
    best.1
}

/// The encoding with the highest q-value. Of equals it is zstd, which costs the least, before gzip; a client that says nothing
/// gets the body as it is.
pub(crate) fn encoding(accept_encoding: &str) -> Encoding {
    let quality_of = |name: &str| {
        accept_encoding.split(',').find(|item| split(item).0.eq_ignore_ascii_case(name)).map(quality)
    };
    let any = quality_of("*");
    let mut best = (quality_of("identity").unwrap_or(0.0), Encoding::Identity);
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let q = quality_of(encoding.as_str()).or(any).unwrap_or(0.0);
        if q > 0.0 && q >= best.0 {
            best = (q, encoding);
        }
    }
    best.1
}

/// An item of such a header and its parameters.
fn split(item: &str) -> (&str, impl Iterator<Item = (&str, &str)> + Clone) {
    let mut parts = item.split(';').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let params = parts.filter_map(|param| {
        let (name, value) = param.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    (first, params)
}

/// The q-value, 1 unless it says otherwise, 0 if it makes no sense.
fn quality(item: &str) -> f32 {
    let q = split(item).1.find(|(name, _)| name.eq_ignore_ascii_case("q"));
    q.map_or(1.0, |(_, value)| value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Form = Form::Lines(Format::Text, Names::Underscores);
    const OPENMETRICS: Form = Form::Lines(Format::OpenMetrics, Names::Underscores);

    #[test]
    fn the_highest_q_value_wins_and_the_first_of_equals() {
        for (accept, expected) in [
            ("", TEXT),
            ("*/*", TEXT),
            ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
            ("application/openmetrics-text", OPENMETRICS),
            ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
            ("application/openmetrics-text; version=\"0.0.1\"", OPENMETRICS),
            ("application/openmetrics-text; version=2.0.0", TEXT),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
            ("text/plain;q=0.4, Application/OpenMetrics-Text ; q=0.5", OPENMETRICS),
            ("text/plain,application/openmetrics-text", TEXT),
            ("application/openmetrics-text,text/plain", OPENMETRICS),
            ("application/openmetrics-text;q=0,*/*;q=0.1", TEXT),
            ("application/openmetrics-text;q=2,*/*;q=0.1", TEXT),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.5",
                Form::Protobuf,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,text/plain;q=0.1",
                TEXT,
            ),
            ("application/vnd.google.protobuf;proto=another;encoding=delimited", TEXT),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPENMETRICS,
            ),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }

    #[test]
    fn quoted_names_are_for_those_who_ask() {
        let ask = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert_eq!(form(ask), Form::Lines(Format::OpenMetrics, Names::Quoted));
        let text = form("text/plain;version=1.0.0;escaping=allow-utf-8");
        assert_eq!(text, Form::Lines(Format::Text, Names::Quoted));
        assert_eq!(form("text/plain;version=0.0.4;escaping=allow-utf-8"), TEXT);
        assert_eq!(form("text/plain;version=1.0.0;escaping=underscores"), TEXT);
    }

    #[test]
    fn a_compressed_body_is_for_those_who_take_it() {
        use Encoding::{Gzip, Identity, Zstd};
        for (accept, expected) in [
            ("", Identity),
            ("gzip", Gzip),
            ("zstd", Zstd),
            ("deflate, GZIP;q=0.5", Gzip),
            ("gzip, zstd", Zstd),
            ("gzip, zstd;q=0.9", Gzip),
            ("gzip;q=0", Identity),
            ("gzip;q=0, *", Zstd),
            ("*", Zstd),
            ("*;q=0", Identity),
            ("identity", Identity),
            ("identity, gzip;q=0.5", Identity),
            ("identity;q=0.5, gzip", Gzip),
        ] {
            assert_eq!(encoding(accept), expected, "{accept}");
        }
    }
}
