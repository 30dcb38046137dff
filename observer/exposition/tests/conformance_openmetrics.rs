//! What the OpenMetrics specification says, section by section.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use observer_exposition::{Event, Reason, openmetrics};

/// Reads the lines with the end of the document behind them.
fn read(lines: &str) -> Result<usize, Reason> {
    let body = format!("{lines}# EOF\n");
    let mut samples = 0;
    for event in openmetrics(body.as_bytes()) {
        samples += usize::from(matches!(event.map_err(|error| error.reason)?, Event::Sample(_)));
    }
    Ok(samples)
}

#[track_caller]
fn accepts(lines: &str) {
    let samples = lines.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(read(lines), Ok(samples), "{lines:?}");
}

#[track_caller]
fn refuses(lines: &str, reason: Reason) {
    assert_eq!(read(lines), Err(reason), "{lines:?}");
}

#[test]
fn a_document_ends_with_eof() {
    fn last(body: &[u8]) -> Result<Event<'_>, Reason> {
        openmetrics(body).last().unwrap().map_err(|error| error.reason)
    }
    assert_eq!(last(b"a 1\n# EOF\n"), Ok(Event::Eof));
    assert_eq!(last(b"# EOF"), Ok(Event::Eof));
    assert_eq!(last(b""), Err(Reason::NoEof));
    assert_eq!(last(b"a 1\n"), Err(Reason::NoEof));
    assert_eq!(last(b"a 1\n# EO"), Err(Reason::Comment));
    assert_eq!(last(b"# EOF\n# EOF\n"), Err(Reason::AfterEof));
    assert_eq!(last(b"# EOF\na 1\n"), Err(Reason::AfterEof));
    assert_eq!(last(b"\xff\n# EOF\n"), Err(Reason::Utf8));
}

#[test]
fn there_is_one_space_between_parts_and_none_elsewhere() {
    for lines in
        ["a  1\n", "a\t1\n", "a{x=\"1\"}1\n", "#  TYPE a gauge\n", "#TYPE a gauge\n", "# TYPE  a gauge\n"]
    {
        refuses(lines, Reason::Space);
    }
    refuses(" a 1\n", Reason::MetricName);
    refuses("a{ x=\"1\"} 1\n", Reason::LabelName);
    refuses("a{x =\"1\"} 1\n", Reason::Equals);
    refuses("a{x=\"1\", y=\"2\"} 1\n", Reason::LabelName);
    refuses("a{x=\"1\" } 1\n", Reason::OpenBlock);
    refuses("a{x=\"1\",} 1\n", Reason::LabelName);
    refuses("a 1 \n", Reason::Timestamp);
    refuses("a 1\r\n", Reason::Value);
}

#[test]
fn there_are_no_empty_lines_and_no_comments() {
    refuses("\n", Reason::Blank);
    refuses("a 1\n\n", Reason::Blank);
    refuses("# a comment\n", Reason::Comment);
    refuses("# help a b\n", Reason::Comment);
}

#[test]
fn numbers_are_decimal() {
    for value in [
        "1",
        "+1",
        "-1",
        "1.",
        ".1",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "NaN",
        "nan",
        "Inf",
        "+Inf",
        "-inf",
        "+Infinity",
    ] {
        accepts(&format!("a {value}\n"));
    }
    for value in ["", "0x1", "1_0", "1e", "+NaN", "-nan", "infin", "1d"] {
        refuses(&format!("a {value}\n"), Reason::Value);
    }
}

#[test]
fn timestamps_are_seconds() {
    for timestamp in ["1", "1.5", "-1", "1e9", "1700000000.123"] {
        accepts(&format!("a 1 {timestamp}\n"));
    }
    for timestamp in ["NaN", "Inf", "-Inf", "x", "1e300", "0x1"] {
        refuses(&format!("a 1 {timestamp}\n"), Reason::Timestamp);
    }
    refuses("a 1 2 3\n", Reason::Trailing);
    let body = b"a 1 1700000000.1234\n# EOF\n";
    let Some(Ok(Event::Sample(sample))) = openmetrics(body).next() else { panic!("no sample") };
    assert_eq!(sample.timestamp_ms, Some(1_700_000_000_123));
}

#[test]
fn names_are_of_their_alphabet_or_in_quotes() {
    accepts("a:b_9{_x=\"\"} 1\n");
    accepts("# TYPE \"with.dot\" counter\n{\"with.dot_total\",\"label.x\"=\"1\"} 1\n");
    accepts("# HELP \"ü\" b\n{\"ü\"} 1\n");
    refuses("9 1\n", Reason::MetricName);
    refuses("{x=\"1\"} 1\n", Reason::MetricName);
    refuses("a{b:c=\"1\"} 1\n", Reason::Equals);
    refuses("a{x=\"1\",x=\"1\"} 1\n", Reason::DuplicateLabel);
    refuses("# TYPE a.b gauge\n", Reason::Space);
}

#[test]
fn a_backslash_may_stand_before_anything() {
    accepts("a{x=\"\\\\ \\\" \\n \\d\"} 1\n");
    accepts("# HELP a \\\\ \\\" \\n \\d\n");
    refuses("a{x=\"\\\"} 1\n", Reason::OpenQuote);
}

#[test]
fn metadata_stands_once_before_the_samples() {
    for keyword in ["HELP", "UNIT", "TYPE"] {
        refuses(&format!("# {keyword} a\n"), Reason::Space);
    }
    accepts("# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds b\na_seconds 1\n");
    accepts("# HELP a_seconds b\n# UNIT a_seconds seconds\n# TYPE a_seconds gauge\n");
    accepts("# HELP a \n# UNIT a \n");
    for (keyword, text) in [("TYPE", "gauge"), ("UNIT", "a"), ("HELP", "b")] {
        let line = format!("# {keyword} a_a {text}\n");
        refuses(&format!("{line}{line}"), Reason::Repeated);
        refuses(&format!("a_a 1\n{line}"), Reason::LateMetadata);
    }
}

#[test]
fn the_unit_ends_the_name() {
    refuses("# UNIT a seconds\n", Reason::Unit);
    refuses("# UNIT a_second seconds\n", Reason::Unit);
    refuses("# TYPE a_seconds info\n# UNIT a_seconds seconds\n", Reason::Unit);
    refuses("# UNIT a_seconds seconds\n# TYPE a_seconds stateset\n", Reason::Unit);
}

#[test]
fn families_do_not_interleave() {
    refuses("a 1\nb 1\na 1\n", Reason::Interleaved);
    refuses("# TYPE a gauge\n# TYPE b gauge\na 1\n", Reason::Interleaved);
    accepts("# TYPE a counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 1\n# TYPE b gauge\nb 1\n");
}

#[test]
fn types_have_their_suffixes() {
    for (kind, good, bad) in [
        ("unknown", &["a 1"][..], &[][..]),
        ("gauge", &["a -1"], &[]),
        ("counter", &["a_total 1", "a_created 1"], &["a 1"]),
        ("info", &["a_info{x=\"1\"} 1"], &["a 1"]),
        ("stateset", &["a{a=\"x\"} 0", "a{a=\"x\"} 1"], &[]),
        ("histogram", &["a_bucket{le=\"+Inf\"} 1", "a_count 1", "a_sum 1", "a_created 1"], &["a 1"]),
        ("gaugehistogram", &["a_bucket{le=\"1.5\"} 1", "a_gcount 1", "a_gsum -1"], &["a 1"]),
        ("summary", &["a{quantile=\"0.5\"} 1", "a_count 1", "a_sum 1", "a_created 1"], &[]),
    ] {
        for line in good {
            accepts(&format!("# TYPE a {kind}\n{line}\n"));
        }
        for line in bad {
            refuses(&format!("# TYPE a {kind}\n{line}\n"), Reason::Suffix);
        }
    }
    for kind in ["untyped", "Counter", "", "native"] {
        refuses(&format!("# TYPE a {kind}\n"), Reason::Type);
    }
}

#[test]
fn counts_are_not_negative_and_not_nan() {
    for (kind, series) in [
        ("counter", "a_total"),
        ("histogram", "a_bucket{le=\"1\"}"),
        ("histogram", "a_count"),
        ("gaugehistogram", "a_bucket{le=\"1\"}"),
        ("gaugehistogram", "a_gcount"),
        ("summary", "a_count"),
    ] {
        refuses(&format!("# TYPE a {kind}\n{series} -1\n"), Reason::TypeValue);
        refuses(&format!("# TYPE a {kind}\n{series} NaN\n"), Reason::TypeValue);
    }
    accepts("# TYPE a summary\na_sum -1\n");
    refuses("# TYPE a info\na_info 0\n", Reason::TypeValue);
    refuses("# TYPE a stateset\na{a=\"x\"} 0.5\n", Reason::TypeValue);
}

#[test]
fn labels_that_a_type_needs_are_there_and_fit() {
    refuses("# TYPE a histogram\na_bucket 1\n", Reason::MissingLabel);
    refuses("# TYPE a gaugehistogram\na_bucket{x=\"1\"} 1\n", Reason::MissingLabel);
    refuses("# TYPE a summary\na 1\n", Reason::MissingLabel);
    refuses("# TYPE a stateset\na{x=\"1\"} 1\n", Reason::MissingLabel);
    for bound in ["", "x", "NaN", "0x1"] {
        refuses(&format!("# TYPE a histogram\na_bucket{{le=\"{bound}\"}} 1\n"), Reason::LabelValue);
    }
    for quantile in ["", "-0.1", "1.1", "NaN", "x"] {
        refuses(&format!("# TYPE a summary\na{{quantile=\"{quantile}\"}} 1\n"), Reason::LabelValue);
    }
    accepts("# TYPE a summary\na{quantile=\"0\"} 1\na{quantile=\"1.0\"} NaN\n");
    accepts("# TYPE a histogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\n");
}

/// The specification forbids these, and Prometheus takes them: see [`openmetrics`].
#[test]
fn what_several_lines_say_together_is_not_judged() {
    for lines in [
        "# TYPE a histogram\na_sum 1\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 0\n",
        "# TYPE a histogram\na_bucket{le=\"2\"} 3\na_bucket{le=\"1\"} 5\na_bucket{le=\"+Inf\"} 1\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_count 1\n",
        "# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 0\na_sum -1\n",
        "# TYPE a gaugehistogram\na_gcount{x=\"1\"} 1\na_gcount{x=\"2\"} 1\na_gsum{x=\"1\"} 1\n",
        "# TYPE a gauge\na 1 2\na 1 1\n",
        "# TYPE a gauge\na 1\na 1 1\n",
        "# TYPE a_created gauge\n# TYPE a counter\n",
    ] {
        accepts(lines);
    }
}

#[test]
fn exemplars_stand_on_totals_and_buckets() {
    accepts("# TYPE a counter\na_total 1 # {} 1\na_total 1 5 # {x=\"1\"} 1 5.5\n");
    accepts("# TYPE a histogram\na_bucket{le=\"1\"} 1 # {x=\"ü\"} -0.5\n");
    accepts("# TYPE a gaugehistogram\na_bucket{le=\"1\"} 1 # {x=\"1\"} 1\n");
    refuses("# TYPE a gauge\na 1 # {x=\"1\"} 1\n", Reason::Exemplar);
    refuses("# TYPE a counter\na_created 1 # {x=\"1\"} 1\n", Reason::Exemplar);
    refuses("# TYPE a histogram\na_count 1 # {x=\"1\"} 1\n", Reason::Exemplar);
    let total = |exemplar: &str| format!("# TYPE a counter\na_total 1{exemplar}\n");
    refuses(&total(" # x 1"), Reason::Exemplar);
    refuses(&total(" #{x=\"1\"} 1"), Reason::Space);
    refuses(&total(" # {x=\"1\"}"), Reason::Space);
    refuses(&total(" # {x=\"1\"} x"), Reason::Value);
    refuses(&total(" # {x=\"1\"} 1 x"), Reason::Timestamp);
    refuses(&total(" # {x=\"1\"} 1 2 3"), Reason::Trailing);
    refuses(&total(" # {x=\"1\",x=\"1\"} 1"), Reason::DuplicateLabel);
    // 128 characters of names and values together, whatever their bytes.
    accepts(&total(&format!(" # {{x=\"{}\"}} 1", "ü".repeat(127))));
    refuses(&total(&format!(" # {{x=\"{}\"}} 1", "x".repeat(128))), Reason::ExemplarLength);
}
