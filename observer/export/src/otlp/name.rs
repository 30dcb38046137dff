//! Names of metrics without what stands beside them in OTLP, as the OpenTelemetry Collector's Prometheus receiver trims them with
//! `trim_metric_suffixes`.
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata>

/// What metrics are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// As in Prometheus.
    #[default]
    Prometheus,
    /// Without the unit and without `_total`: OTLP has both elsewhere.
    Otel,
}

/// The name of a family, and the suffix behind it.
pub(super) fn name<'n>(
    names: Names,
    family: &'n str,
    suffix: &'n str,
    unit: &str,
    monotonic: bool,
) -> (&'n str, &'n str) {
    if names == Names::Prometheus {
        return (family, suffix);
    }
    let without_unit = family.strip_suffix(unit).and_then(|name| name.strip_suffix('_'));
    let name = without_unit.filter(|name| !unit.is_empty() && !name.is_empty()).unwrap_or(family);
    (name, if monotonic && suffix == "_total" { "" } else { suffix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(family: &str, suffix: &str, unit: &str, expected: &str) {
        let is = |names| {
            let (name, suffix) = name(names, family, suffix, unit, suffix == "_total");
            format!("{name}{suffix}")
        };
        assert_eq!(is(Names::Otel), expected);
        assert_eq!(is(Names::Prometheus), format!("{family}{suffix}"));
    }

    #[test]
    fn units_and_total_are_trimmed() {
        check("process_cpu_seconds", "_total", "seconds", "process_cpu");
        check("request_duration_seconds", "", "seconds", "request_duration");
        check("io_bytes_per_second", "", "bytes_per_second", "io");
        check("requests", "_total", "", "requests");
        check("target", "_info", "", "target_info");
    }

    #[test]
    fn what_is_no_unit_stays() {
        // Nobody has said that it is one.
        check("process_cpu_seconds", "_total", "", "process_cpu_seconds");
        check("seconds", "", "seconds", "seconds");
        check("_seconds", "", "seconds", "_seconds");
        check("milliseconds", "", "seconds", "milliseconds");
        check("queue_length", "", "seconds", "queue_length");
    }
}
