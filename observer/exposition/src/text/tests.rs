use super::*;
use crate::text;

/// Every event in a short form, then the error if there is one.
fn read(body: &str) -> Vec<String> {
    text(body.as_bytes())
        .map(|event| match event {
            Ok(Event::Sample(s)) => {
                let labels: Vec<_> =
                    s.labels.iter().map(|l| format!("{}={}", l.name, labels::unescape(l.value))).collect();
                let at = s.timestamp_ms.map(|t| format!("@{t}")).unwrap_or_default();
                format!("{}[{}] {}{at}", s.name, labels.join("|"), s.value)
            }
            Ok(Event::Help { name, text }) => format!("help {name}: {text}"),
            Ok(Event::Type { name, kind }) => format!("type {name}: {kind:?}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        })
        .collect()
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    assert_eq!(read(body), expected, "{body:?}");
}

#[test]
fn the_documented_example_is_read() {
    let body = "\
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem=\"division by zero\"} +Inf -3982045
";
    check(
        body,
        &[
            "help http_requests_total: The total number of HTTP requests.",
            "type http_requests_total: Counter",
            "http_requests_total[method=post|code=200] 1027@1395066363000",
            "msdos_file_access_time_seconds[path=C:\\DIR\\FILE.TXT|error=Cannot find file:\n\"FILE.TXT\"] 1458255915",
            "metric_without_timestamp_and_labels[] 12.47",
            "something_weird[problem=division by zero] inf@-3982045",
        ],
    );
}

#[test]
fn blanks_stand_anywhere_between_parts() {
    check(" \ta { x = \"1\" , y=\"2\",\t} \t1  2 \n", &["a[x=1|y=2] 1@2"]);
    check("a{} 1\n", &["a[] 1"]);
    check("a{x=\"1\"}1\n", &["a[x=1] 1"]);
}

#[test]
fn one_blank_behind_a_comma_takes_the_short_way() {
    let line = "a{x=\"1\", y=\"2\"} 1\n";
    check(line, &["a[x=1|y=2] 1"]);
    let (sample, length) = crate::plain::sample(line, Grammar::Text).unwrap();
    assert_eq!((sample.series, sample.labels.block(), length), (&line[..15], "x=\"1\", y=\"2\"", line.len()));
    assert!(crate::plain::sample(line, Grammar::OpenMetrics).is_none());
    for (line, expected) in [
        ("a{x=\"1\",  y=\"2\"} 1\n", "a[x=1|y=2] 1"),
        ("a{x=\"1\", } 1\n", "a[x=1] 1"),
        ("a{x=\"1\", x=\"2\"} 1\n", "line 1, column 2: duplicate label name"),
    ] {
        assert!(crate::plain::sample(line, Grammar::Text).is_none(), "{line:?}");
        check(line, &[expected]);
    }
}

#[test]
fn comments_and_blank_lines_say_nothing() {
    check("\n \n#\n# \n#HELP a b\n# anything\n# TYPES x\n", &[]);
}

#[test]
fn the_last_line_feed_may_be_missing() {
    check("a 1", &["a[] 1"]);
}

#[test]
fn quoted_names_are_read() {
    check("{\"http.requests\",\"the.method\"=\"get\",x=\"1\"} 5\n", &["http.requests[the.method=get|x=1] 5"]);
    check("{ \"a b\" } 5\n", &["a b[] 5"]);
    check("# TYPE \"http.requests\" counter\n", &["type http.requests: Counter"]);
}

#[test]
fn help_keeps_quotes_and_strange_backslashes() {
    check("# HELP a one \\\\ two\\nthree \\d \\\" end \n", &["help a: one \\ two\nthree \\d \\\" end "]);
    check("# HELP a\n", &["help a: "]);
}

#[test]
fn the_series_text_is_the_same_for_every_value() {
    let series = |body: &str| match text(body.as_bytes()).next() {
        Some(Ok(Event::Sample(sample))) => sample.series.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(series("a{x=\"1\"} 1\n"), "a{x=\"1\"}");
    assert_eq!(series("a   1 5\n"), "a");
}

#[test]
fn an_error_says_where_and_why() {
    for (body, expected) in [
        ("a\n", "line 1, column 2: expected a number"),
        ("a b\n", "line 1, column 3: expected a number"),
        ("a 1 b\n", "line 1, column 5: invalid timestamp"),
        ("a 1 1.5\n", "line 1, column 5: invalid timestamp"),
        ("a 1 2 3\n", "line 1, column 7: unexpected text at the end of the line"),
        ("a 0x10\n", "line 1, column 3: expected a number"),
        ("a 1\r\n", "line 1, column 3: expected a number"),
        ("1a 1\n", "line 1, column 1: expected a metric name"),
        ("a-b 1\n", "line 1, column 2: expected a metric name"),
        ("{x=\"1\"} 1\n", "line 1, column 2: expected a metric name"),
        ("{} 1\n", "line 1, column 1: expected a metric name"),
        ("{\"\"} 1\n", "line 1, column 2: expected a metric name"),
        ("a{\"b\"} 1\n", "line 1, column 6: expected `=` after the label name"),
        ("a{x} 1\n", "line 1, column 4: expected `=` after the label name"),
        ("a{x:y=\"1\"} 1\n", "line 1, column 4: expected `=` after the label name"),
        ("a{x=1} 1\n", "line 1, column 5: expected a quoted label value"),
        ("a{,} 1\n", "line 1, column 3: expected a label name"),
        ("a{x=\"1\" y=\"2\"} 1\n", "line 1, column 9: expected `,` or `}` after a label"),
        ("a{x=\"1\"\n", "line 1, column 8: expected `,` or `}` after a label"),
        ("a{x=\"1\n", "line 1, column 5: quote not closed on its line"),
        ("a{x=\"1\\\n", "line 1, column 5: quote not closed on its line"),
        ("a{x=\"\\d\"} 1\n", "line 1, column 6: invalid escape sequence"),
        ("ok 1\na{ü=\"1\"} 1\n", "line 2, column 3: expected a label name"),
        ("a{x=\"ü\",x=\"2\"} 1\n", "line 1, column 2: duplicate label name"),
        ("# TYPE a enum\n", "line 1, column 10: unknown metric type"),
        ("# TYPE a\n", "line 1, column 9: unknown metric type"),
        ("# TYPE a gauge x\n", "line 1, column 16: unexpected text at the end of the line"),
        ("# TYPE 1 gauge\n", "line 1, column 8: expected a metric name"),
    ] {
        assert_eq!(read(body).last().map(String::as_str), Some(expected), "{body:?}");
    }
}

#[test]
fn a_duplicate_among_many_labels_is_found() {
    let block: Vec<_> = (0..40).chain([7]).map(|i| format!("l{i}=\"\"")).collect();
    let body = format!("a{{{}}} 1\n", block.join(","));
    check(&body, &["line 1, column 2: duplicate label name"]);
}

#[test]
fn nothing_is_read_behind_an_error() {
    check("a 1\nb\nc 3\n", &["a[] 1", "line 2, column 2: expected a number"]);
}

#[test]
fn bytes_that_are_no_text_are_refused_in_their_line() {
    let events: Vec<_> = text(b"a 1\nb \xff\n").collect();
    assert_eq!(events[1], Err(Error { line: 2, column: 3, reason: Reason::Utf8 }));
    assert_eq!(events.len(), 2);
}
