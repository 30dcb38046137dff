//! How `observer trace` ends, what it says then, and the formats it writes.

use observer_tests::{
    lab::{Family, Lab},
    observer::{self, Running, Trace},
    privileges::Privileges,
    program::Start,
    serve::Listen,
};
use serde_json::Value;

const PORT: u16 = 7000;

/// One connection that is made and closed, and one that is refused: five rows.
fn traffic(lab: &Lab) {
    let address = lab.service(Family::V4, PORT);
    let listen = Listen::once("recv:4 send:4 recv:1=EOF close");
    let mut server = Start::new(&lab.server, "o-server").serve(address, &listen);
    let script = "connect:closed=ECONNREFUSED connect send:4 recv:4 close";
    let mut client = Start::new(&lab.client, "o,\"client").play(address, script);
    for program in [&mut client, &mut server] {
        program.end().unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The output of a trace in some format, of the traffic above and nothing else.
fn trace(format: &str) -> (String, String) {
    let lab = Lab::new();
    let network = lab.network(Family::V4);
    let args = ["trace", "-o", format, "--addr", &network, "--count", "5"];
    let mut trace = Running::start(Privileges::Root, &args);
    trace.wait_for("observer: ready");
    traffic(&lab);
    let (code, stdout, stderr) = trace.end();
    assert_eq!(code, Some(0), "{stderr}");
    (stdout, stderr)
}

#[test]
fn json_is_one_document() {
    let (text, _) = trace("json");
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(document["events"].as_array().map(Vec::len), Some(5), "{text}");
    assert!(document["summary"].is_object(), "{text}");
}

#[test]
fn ndjson_is_a_document_a_line_and_ends_in_the_summary() {
    let (text, _) = trace("ndjson");
    let line = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let events: Vec<Value> = text.lines().map(|text| line(text)["event"].clone()).collect();
    assert_eq!(events.len(), 6, "{text}");
    assert_eq!(events.last(), Some(&"summary".into()), "{text}");
}

#[test]
fn csv_has_a_header_and_equal_columns() {
    let (text, _) = trace("csv");
    let rows: Vec<Vec<String>> = text.lines().map(columns).collect();
    assert_eq!(rows.len(), 6, "{text}");
    assert_eq!(rows[0][..4], ["event", "time", "role", "outcome"]);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
    let comm = rows[0].iter().position(|field| field == "comm").expect("a documented field");
    let quoted = rows.iter().filter(|row| row[comm] == "o,\"client").count();
    assert_eq!(quoted, 3, "a name with a comma and a quote survives: {text}");
}

/// RFC 4180, for lines without line breaks in quotes.
fn columns(line: &str) -> Vec<String> {
    let (mut columns, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let column = columns.last_mut().expect("never empty");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => column.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            other => column.push(other),
        }
    }
    columns
}

#[test]
fn a_table_is_for_people() {
    let (text, _) = trace("table");
    assert!(!text.contains('\x1b'), "colours are for terminals only: {text:?}");
    for word in ["ECONNREFUSED", "o,\"client", "o-server", "p50", "p99"] {
        assert!(text.contains(word), "`{word}` is missing:\n{text}");
    }
}

#[test]
fn ctrl_c_prints_the_summary() {
    let lab = Lab::new();
    let trace = Trace::start(Privileges::Root, &["--addr", &lab.network(Family::V4)]);
    traffic(&lab);
    assert!(trace.reaches(5, |_| true), "{:#?}", trace.rows());
    let traced = trace.stop();
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    let text = traced.summary.to_string();
    for word in ["refused", "success", &lab.server_ip(Family::V4).to_string()] {
        assert!(text.contains(word), "the summary lacks `{word}`: {text}");
    }
}

#[test]
fn termination_prints_the_summary() {
    let mut trace = Trace::start(Privileges::Root, &["--comm", "nobody-at-all"]);
    trace.signal(libc::SIGTERM);
    let traced = trace.end();
    assert_eq!(
        (traced.code, traced.summary["event"].as_str()),
        (Some(0), Some("summary")),
        "{}",
        traced.stderr
    );
}

#[test]
fn a_duration_ends_it() {
    let mut trace = Trace::start(Privileges::Root, &["--duration", "500ms", "--comm", "nobody-at-all"]);
    let traced = trace.end();
    assert_eq!((traced.code, traced.rows.len()), (Some(0), 0), "{}", traced.stderr);
    assert_eq!(traced.summary["event"], "summary");
}

#[test]
fn a_count_ends_it() {
    let lab = Lab::new();
    let mut trace = Trace::start(Privileges::Root, &["--addr", &lab.network(Family::V4), "--count", "3"]);
    traffic(&lab);
    let traced = trace.end();
    assert_eq!((traced.code, traced.rows.len()), (Some(0), 3), "{}", traced.stderr);
}

/// Wrong usage is answered with one exit code and a sentence that names the culprit.
#[track_caller]
fn check_usage(args: &[&str], names: &str) {
    let (code, stdout, stderr) = observer::run(Privileges::Root, args);
    assert_eq!(code, Some(2), "{args:?}: {stderr}");
    assert!(stderr.contains(names), "{args:?} should name `{names}`: {stderr}");
    assert!(!stderr.contains("panicked") && stdout.is_empty(), "{args:?}: {stdout}{stderr}");
}

#[test]
fn wrong_usage_is_explained() {
    for (args, names) in [
        (["trace", "--port", "http"], "http"),
        (["trace", "--port", "70000"], "70000"),
        (["trace", "--addr", "10.0.0.0/33"], "33"),
        (["trace", "--addr", "localhost"], "localhost"),
        (["trace", "--outcome", "lost"], "lost"),
        (["trace", "--comm", "a-name-of-sixteen"], "15"),
        (["trace", "--cgroup", "/no/such/cgroup"], "/no/such/cgroup"),
        (["trace", "--duration", "5"], "5"),
        (["trace", "--min-latency", "fast"], "fast"),
        (["trace", "--count", "-1"], "-1"),
        (["trace", "--output", "xml"], "xml"),
        (["trace", "--no-such-flag", "1"], "--no-such-flag"),
        (["no-such-command", "-o", "json"], "no-such-command"),
    ] {
        check_usage(&args, names);
    }
    let ports: Vec<&str> = std::iter::once("trace").chain(["--port", "80"].repeat(9)).collect();
    check_usage(&ports, "8");
    check_usage(&["trace", "--failed", "--outcome", "refused"], "--outcome");
}

#[test]
fn missing_privileges_are_named() {
    let (code, _, stderr) = observer::run(Privileges::None, &["trace", "--duration", "1s"]);
    assert_eq!(code, Some(3), "{stderr}");
    for word in ["CAP_BPF", "CAP_PERFMON"] {
        assert!(stderr.contains(word), "`{word}` is not named:\n{stderr}");
    }
}
