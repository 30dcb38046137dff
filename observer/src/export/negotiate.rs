//! Which format a client gets, from its `Accept` and `Accept-Encoding`.

use observer_exposition::{Format, Names};

/// The format with the highest q-value of those the client names, the first of equals. A client that names none of
/// ours gets the text format, as from every Prometheus exporter.
pub(crate) fn format(accept: &str) -> (Format, Names) {
    let mut best = (0.0, (Format::Text, Names::Underscores));
    for item in accept.split(',') {
        let (media, mut params) = split(item);
        let version = params.clone().find_map(|(name, value)| (name == "version").then_some(value));
        let utf8 =
            params.any(|(name, value)| name == "escaping" && value.eq_ignore_ascii_case("allow-utf-8"));
        let names = if utf8 { Names::Quoted } else { Names::Underscores };
        let offer = match (&*media.to_ascii_lowercase(), version) {
            ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => (Format::OpenMetrics, names),
            ("text/plain", Some("1.0.0")) => (Format::Text, names),
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => {
                (Format::Text, Names::Underscores)
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

/// Whether the client takes a gzip body.
pub(crate) fn gzip(accept_encoding: &str) -> bool {
    let quality_of = |name: &str| {
        accept_encoding.split(',').find(|item| split(item).0.eq_ignore_ascii_case(name)).map(quality)
    };
    quality_of("gzip").or_else(|| quality_of("*")).is_some_and(|q| q > 0.0)
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

    const TEXT: (Format, Names) = (Format::Text, Names::Underscores);
    const OPENMETRICS: (Format, Names) = (Format::OpenMetrics, Names::Underscores);

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
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                TEXT,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPENMETRICS,
            ),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }

    #[test]
    fn quoted_names_are_for_those_who_ask() {
        let ask = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert_eq!(format(ask), (Format::OpenMetrics, Names::Quoted));
        assert_eq!(format("text/plain;version=1.0.0;escaping=allow-utf-8"), (Format::Text, Names::Quoted));
        assert_eq!(format("text/plain;version=0.0.4;escaping=allow-utf-8"), TEXT);
        assert_eq!(format("text/plain;version=1.0.0;escaping=underscores"), TEXT);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accept, expected) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*", true),
            ("*;q=0", false),
            ("identity", false),
        ] {
            assert_eq!(gzip(accept), expected, "{accept}");
        }
    }
}
