//! What the document of the text format says, sentence by sentence.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>

use observer_exposition::{Event, Reason, text, unescape};

/// The samples of a body in a short form: `name|label=value|.. value @timestamp`.
fn samples(body: &[u8]) -> Result<Vec<String>, Reason> {
    let mut all = Vec::new();
    for event in text(body) {
        if let Event::Sample(sample) = event.map_err(|error| error.reason)? {
            let labels: String =
                sample.labels.iter().map(|l| format!("|{}={}", l.name, unescape(l.value))).collect();
            let at = sample.timestamp_ms.map(|at| format!(" @{at}")).unwrap_or_default();
            all.push(format!("{}{labels} {}{at}", sample.name, sample.value));
        }
    }
    Ok(all)
}

#[track_caller]
fn accepts(body: &str, expected: &[&str]) {
    assert_eq!(
        samples(body.as_bytes()).as_deref(),
        Ok(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
        "{body:?}"
    );
}

#[track_caller]
fn refuses(body: &str, reason: Reason) {
    assert_eq!(samples(body.as_bytes()), Err(reason), "{body:?}");
}

#[track_caller]
fn help(body: &str, expected: &str) {
    let event = text(body.as_bytes()).next();
    assert!(matches!(&event, Some(Ok(Event::Help { text, .. })) if text == expected), "{event:?}");
}

#[test]
fn lines_are_separated_by_a_line_feed() {
    accepts("a 1\nb 2\n", &["a 1", "b 2"]);
    refuses("a 1\r\n", Reason::Value);
    refuses("a 1 b 2\n", Reason::Timestamp);
}

/// "The last line must end with a line feed character": Prometheus reads on without, and so do we.
#[test]
fn the_last_line_feed_may_be_missing() {
    accepts("a 1", &["a 1"]);
    accepts("a 1 5", &["a 1 @5"]);
    refuses("a", Reason::Value);
    refuses("a{x=\"1", Reason::OpenQuote);
    refuses("a{x=\"1\"", Reason::OpenBlock);
}

#[test]
fn empty_lines_are_ignored() {
    accepts("\n\n \t\na 1\n\n", &["a 1"]);
    accepts("", &[]);
}

#[test]
fn blanks_and_tabs_separate_tokens() {
    accepts("\t a\t{ x\t= \"1\" ,\ty = \"2\" } \t 1 \t 2\t \n", &["a|x=1|y=2 1 @2"]);
    accepts("a{x=\"1\"}1\n", &["a|x=1 1"]);
    refuses("a\u{a0}1\n", Reason::MetricName);
}

#[test]
fn comments_are_ignored() {
    accepts("# anything { \"\n#\n#HELP\n  # TYPE\ta gauge\na 1\n# TYPEa b c d\n", &["a 1"]);
    accepts("# EOF\na 1\n", &["a 1"]);
    accepts("# UNIT a seconds and more\na 1\n", &["a 1"]);
}

#[test]
fn help_needs_a_name_and_takes_the_rest() {
    help("# HELP a b  c # d \"e\" {f}\n", "b  c # d \"e\" {f}");
    help("#\tHELP\ta\t\tü\n", "ü");
    help("# HELP a\n", "");
    help("# HELP a \\\\ and \\n\n", "\\ and \n");
    help("# HELP \"with.dot\" b\n", "b");
    refuses("# HELP\n", Reason::MetricName);
    refuses("# HELP 1a b\n", Reason::MetricName);
    refuses("# HELP a-b c\n", Reason::MetricName);
}

#[test]
fn type_needs_a_name_and_a_type() {
    for kind in ["counter", "gauge", "histogram", "summary", "untyped"] {
        accepts(&format!("# TYPE a {kind}\n"), &[]);
    }
    for kind in ["", "Counter", "unknown", "info", "stateset", "gaugehistogram", "counters"] {
        refuses(&format!("# TYPE a {kind}\n"), Reason::Type);
    }
    refuses("# TYPE\n", Reason::MetricName);
    refuses("# TYPE a gauge gauge\n", Reason::Trailing);
}

/// Undefined by the document; what Prometheus reads, we read.
#[test]
fn groups_may_be_torn_and_metadata_repeated() {
    accepts(
        "a 1\n# TYPE a gauge\n# TYPE a counter\n# HELP a b\n# HELP a c\nb 1\na 2\na 3\n",
        &["a 1", "b 1", "a 2", "a 3"],
    );
}

#[test]
fn names_are_of_their_alphabet_or_in_quotes() {
    accepts("a_:Z9 1\n_ 1\n:a 1\n", &["a_:Z9 1", "_ 1", ":a 1"]);
    accepts("a{_b9=\"\"} 1\n", &["a|_b9= 1"]);
    accepts("{\"with.dot\",\"l \\\"b\\\"\"=\"1\"} 1\n{\"ü\"} 2\n", &["with.dot|l \"b\"=1 1", "ü 2"]);
    refuses("9a 1\n", Reason::MetricName);
    refuses("ü 1\n", Reason::MetricName);
    refuses("a.b 1\n", Reason::MetricName);
    refuses("{} 1\n", Reason::MetricName);
    refuses("{a=\"1\"} 1\n", Reason::MetricName);
    refuses("{\"\"} 1\n", Reason::MetricName);
    refuses("a{b:c=\"\"} 1\n", Reason::Equals);
    refuses("a{9=\"\"} 1\n", Reason::LabelName);
    refuses("a{ü=\"\"} 1\n", Reason::LabelName);
    refuses("a{\"b\"} 1\n", Reason::Equals);
}

#[test]
fn labels_stand_in_braces() {
    accepts("a{} 1\na{x=\"1\",} 1\n", &["a 1", "a|x=1 1"]);
    refuses("a{,} 1\n", Reason::LabelName);
    refuses("a{x=\"1\",,y=\"2\"} 1\n", Reason::LabelName);
    refuses("a{x=\"1\" y=\"2\"} 1\n", Reason::OpenBlock);
    refuses("a{x} 1\n", Reason::Equals);
    refuses("a{x=1} 1\n", Reason::Quote);
    refuses("a{x='1'} 1\n", Reason::Quote);
    refuses("a{x=\"1\"\n", Reason::OpenBlock);
    refuses("a{x=\"1\"}} 1\n", Reason::Value);
    refuses("a{x=\"1\",x=\"2\"} 1\n", Reason::DuplicateLabel);
}

#[test]
fn label_values_are_any_text_with_three_escapes() {
    accepts("a{x=\"ü 日本 {},=\t#\"} 1\n", &["a|x=ü 日本 {},=\t# 1"]);
    accepts("a{x=\"\\\\ \\\" \\n\"} 1\n", &["a|x=\\ \" \n 1"]);
    refuses("a{x=\"\\t\"} 1\n", Reason::Escape);
    refuses("a{x=\"\n\"} 1\n", Reason::OpenQuote);
    assert_eq!(samples(b"a{x=\"\xff\"} 1\n"), Err(Reason::Utf8));
    assert_eq!(samples(b"a{x=\"\xc3\"} 1\n"), Err(Reason::Utf8));
}

#[test]
fn values_are_what_go_reads_as_a_float() {
    for (value, expected) in [
        ("1", "1"),
        ("+1", "1"),
        ("-1.5e-3", "-0.0015"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1E3", "1000"),
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("+Inf", "inf"),
        ("-Inf", "-inf"),
        ("infinity", "inf"),
        ("9007199254740993", "9007199254740992"),
        ("0.1000000000000000055511151231257827021181583404541015625", "0.1"),
    ] {
        accepts(&format!("a {value}\n"), &[&format!("a {expected}")]);
    }
    for value in
        ["", "x", "1_000", "0x10", "0x1p3", "1e", "--1", "+-1", "1,5", "1.2.3", "e5", ".", "∞", "+NaN"]
    {
        refuses(&format!("a {value}\n"), Reason::Value);
    }
    refuses("a 1e309\n", Reason::Range);
}

#[test]
fn timestamps_are_whole_milliseconds() {
    accepts("a 1 -1\na 1 9223372036854775807\na 1 0\n", &["a 1 @-1", "a 1 @9223372036854775807", "a 1 @0"]);
    for timestamp in ["1.5", "1e3", "x", "9223372036854775808", "NaN", "0x5"] {
        refuses(&format!("a 1 {timestamp}\n"), Reason::Timestamp);
    }
    refuses("a 1 2 3\n", Reason::Trailing);
    // Exemplars are of another format.
    refuses("a 1 # {x=\"1\"} 1\n", Reason::Timestamp);
}
