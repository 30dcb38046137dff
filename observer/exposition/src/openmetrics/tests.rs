use super::*;
use crate::openmetrics;

#[track_caller]
fn accepts(body: &str) {
    let last = openmetrics(body.as_bytes()).last();
    assert_eq!(last, Some(Ok(Event::Eof)), "{body:?}");
}

#[track_caller]
fn refuses(body: &str, line: usize, column: usize, reason: Reason) {
    let last = openmetrics(body.as_bytes()).last();
    assert_eq!(last, Some(Err(Error { line, column, reason })), "{body:?}");
}

#[test]
fn every_type_is_read() {
    accepts(
        "# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's \\\"HTTP\\\" request router.
acme_http_router_request_seconds_sum{path=\"/api/v1\",method=\"GET\"} 9036.32
acme_http_router_request_seconds_count{path=\"/api/v1\",method=\"GET\"} 807283.0
acme_http_router_request_seconds{quantile=\"0.9\"} NaN
acme_http_router_request_seconds_created{path=\"/api/v1\",method=\"GET\"} 1605281325.0
# TYPE go_goroutines gauge
# HELP go_goroutines Number of goroutines that currently exist.
go_goroutines 69 1520879607.789
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 4.20072246e+06
process_cpu_seconds_created 1.5
# TYPE h histogram
h_bucket{le=\"0.01\"} 0
h_bucket{le=\"0.1\"} 8 # {} 0.054
h_bucket{le=\"+Inf\"} 10 # {trace_id=\"oHg5SJYRHA0\"} 9.8 1520879607.789
h_count 10
h_sum -1
# TYPE g gaugehistogram
g_bucket{le=\"+Inf\"} 2
g_gcount 2
g_gsum -3
# TYPE build info
build_info{version=\"8.2.7\"} 1
# TYPE state stateset
state{state=\"a\"} 1
state{state=\"b\"} 0
# TYPE what unknown
what{x=\"C:\\dir\"} -1
bare 1
# EOF
",
    );
}

#[test]
fn an_empty_body_needs_its_end() {
    accepts("# EOF\n");
    accepts("# EOF");
    refuses("", 1, 1, Reason::NoEof);
    refuses("a 1\n", 2, 1, Reason::NoEof);
    refuses("# EOF\na 1\n", 2, 1, Reason::AfterEof);
    refuses("# EOF\n\n", 2, 1, Reason::AfterEof);
    refuses("# EOF \n", 1, 3, Reason::Comment);
}

#[test]
fn exactly_one_space_separates() {
    refuses("a  1\n# EOF\n", 1, 3, Reason::Space);
    refuses("a\t1\n# EOF\n", 1, 2, Reason::Space);
    refuses(" a 1\n# EOF\n", 1, 1, Reason::MetricName);
    refuses("a 1 \n# EOF\n", 1, 5, Reason::Timestamp);
    refuses("a {x=\"1\"} 1\n# EOF\n", 1, 3, Reason::Value);
    refuses("a{x=\"1\",} 1\n# EOF\n", 1, 9, Reason::LabelName);
    refuses("a{ x=\"1\"} 1\n# EOF\n", 1, 3, Reason::LabelName);
    refuses("a{x=\"1\"}1\n# EOF\n", 1, 9, Reason::Space);
    refuses("#  TYPE a gauge\n# EOF\n", 1, 3, Reason::Space);
    refuses("# TYPE a  gauge\n# EOF\n", 1, 10, Reason::Type);
    refuses("# TYPE a gauge \n# EOF\n", 1, 10, Reason::Type);
}

#[test]
fn blank_lines_and_comments_are_refused() {
    refuses("a 1\n\n# EOF\n", 2, 1, Reason::Blank);
    refuses("# hello\n# EOF\n", 1, 3, Reason::Comment);
    refuses("#\n# EOF\n", 1, 2, Reason::Space);
}

#[test]
fn metadata_stands_once_and_before_its_samples() {
    refuses("# TYPE a gauge\n# TYPE a gauge\n# EOF\n", 2, 3, Reason::Repeated);
    refuses("# HELP a x\n# HELP a x\n# EOF\n", 2, 3, Reason::Repeated);
    refuses("# TYPE a gauge\na 1\n# HELP a x\n# EOF\n", 3, 8, Reason::LateMetadata);
    refuses("a 1\n# TYPE a gauge\n# EOF\n", 2, 8, Reason::LateMetadata);
    refuses("# TYPE a untyped\n# EOF\n", 1, 10, Reason::Type);
}

#[test]
fn a_family_stands_in_one_place() {
    refuses("a 1\nb 1\na 2\n# EOF\n", 3, 1, Reason::Interleaved);
    refuses("# TYPE a gauge\n# TYPE b gauge\n# HELP a x\n# EOF\n", 3, 8, Reason::Interleaved);
    accepts("a{x=\"1\"} 1\na{x=\"2\"} 1\n# EOF\n");
}

#[test]
fn the_suffix_fits_the_type() {
    refuses("# TYPE a counter\na 1\n# EOF\n", 2, 1, Reason::Suffix);
    refuses("# TYPE a info\na 1\n# EOF\n", 2, 1, Reason::Suffix);
    refuses("# TYPE a histogram\na{le=\"1\"} 1\n# EOF\n", 2, 1, Reason::Suffix);
    // A longer name is another family.
    accepts("# TYPE a gauge\na_total 1\n# EOF\n");
}

#[test]
fn the_unit_ends_the_name() {
    refuses("# UNIT a_seconds bytes\n# EOF\n", 1, 18, Reason::Unit);
    refuses("# UNIT seconds seconds\n# EOF\n", 1, 16, Reason::Unit);
    refuses("# UNIT aseconds seconds\n# EOF\n", 1, 17, Reason::Unit);
    refuses("# TYPE a_seconds info\n# UNIT a_seconds seconds\n# EOF\n", 2, 18, Reason::Unit);
    accepts("# UNIT a \na 1\n# EOF\n");
}

#[test]
fn values_fit_the_type() {
    refuses("# TYPE a counter\na_total -1\n# EOF\n", 2, 9, Reason::TypeValue);
    refuses("# TYPE a counter\na_total NaN\n# EOF\n", 2, 9, Reason::TypeValue);
    refuses("# TYPE a info\na_info 2\n# EOF\n", 2, 8, Reason::TypeValue);
    refuses("# TYPE a stateset\na{a=\"x\"} 2\n# EOF\n", 2, 10, Reason::TypeValue);
    refuses("# TYPE a stateset\na{b=\"x\"} 1\n# EOF\n", 2, 1, Reason::MissingLabel);
    refuses("# TYPE a histogram\na_bucket 2\n# EOF\n", 2, 1, Reason::MissingLabel);
    refuses("# TYPE a summary\na 2\n# EOF\n", 2, 1, Reason::MissingLabel);
}

#[test]
fn exemplars_stand_on_counters_and_buckets_only() {
    accepts("# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n");
    refuses("a 1 # {t=\"x\"} 1\n# EOF\n", 1, 1, Reason::Exemplar);
    refuses("# TYPE a counter\na_total 1 # t 1\n# EOF\n", 2, 13, Reason::Exemplar);
    refuses("# TYPE a counter\na_total 1 # {} 1 2 3\n# EOF\n", 2, 19, Reason::Trailing);
    let long = "x".repeat(128);
    refuses(
        &format!("# TYPE a counter\na_total 1 # {{t=\"{long}\"}} 1\n# EOF\n"),
        2,
        13,
        Reason::ExemplarLength,
    );
    accepts(&format!("# TYPE a counter\na_total 1 # {{t=\"{}\"}} 1\n# EOF\n", &long[..127]));
}

#[test]
fn an_exemplar_is_handed_on() {
    let body = "# TYPE a counter\na_total 1 2.5 # {t=\"x\"} 3 4\n# EOF\n";
    let Some(Ok(Event::Sample(sample))) = openmetrics(body.as_bytes()).nth(1) else { panic!("no sample") };
    assert_eq!(sample.timestamp_ms, Some(2500));
    let exemplar = sample.exemplar.unwrap();
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (3.0, Some(4000)));
    assert_eq!(exemplar.labels.value("t"), Some("x"));
}

#[test]
fn a_type_behind_a_help_text_is_checked_as_any_other() {
    accepts("# HELP a x\n# TYPE a counter\na_total 1\n# EOF\n");
    accepts("# HELP \"a b\" x\n# TYPE \"a b\" gauge\n{\"a b\"} 1\n# EOF\n");
    // Without its quotes the name ends at the blank, and so does what belongs to the family.
    refuses("# HELP \"a b\" x\n# TYPE a b gauge\n# EOF\n", 2, 10, Reason::Type);
    refuses("# HELP a x\n# TYPE a gauges\n# EOF\n", 2, 10, Reason::Type);
    refuses("# HELP a x\n# TYPE a gauge \n# EOF\n", 2, 10, Reason::Type);
    refuses("# HELP a x\n# TYPE a gauge\n# TYPE a gauge\n# EOF\n", 3, 3, Reason::Repeated);
    refuses("# HELP a x\na 1\n# TYPE a gauge\n# EOF\n", 3, 8, Reason::LateMetadata);
    refuses("# HELP a_s x\n# UNIT a_s s\n# TYPE a_s info\n# EOF\n", 3, 12, Reason::Unit);
    refuses("# HELP b x\n# HELP a x\n# TYPE b gauge\n# EOF\n", 3, 8, Reason::Interleaved);
}
