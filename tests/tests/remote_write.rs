//! Remote write against a receiver that does everything receivers do.

use observer_tests::{
    config::Config,
    observer::Agent,
    page::Page,
    privileges::Privileges,
    receiver::{Receiver, Reply, Request},
    written::{self, windows},
};

/// An agent that writes there, with lines of YAML for the endpoint.
#[track_caller]
fn agent(receiver: &Receiver, lines: &str) -> (Agent, Config) {
    let config = Config::new(&format!("remote_write: [{{name: e, url: '{}', {lines}}}]\n", receiver.url()));
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    (agent, config)
}

/// How many windows the receiver has taken.
fn taken(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.taken).count()
}

/// Ends the agent well, and finds each of its windows at the receiver.
#[track_caller]
fn all_there(agent: Agent, receiver: &Receiver, least: usize) {
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let runs = windows(&receiver.taken());
    assert!(runs.len() == 1 && runs[0].len() >= least, "{runs:?}\n{said}");
}

#[test]
fn requests_are_those_of_version_2() {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let agent = Agent::start(Privileges::Root, &["--remote-write", &receiver.url(), "--no-tcp", "--no-node"]);
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    for request in receiver.requests() {
        for (name, expected) in [
            ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "2.0.0"),
            ("retry-attempt", ""),
        ] {
            assert_eq!(request.field(name), expected, "{name}");
        }
        assert!(request.field("user-agent").starts_with("observer/"), "{:?}", request.head);
    }
    all_there(agent, &receiver, 3);
}

#[test]
fn requests_are_those_of_version_1_where_that_is_chosen() {
    let receiver = Receiver::start(|_, _| Reply::TakeSilently);
    let (agent, _config) = agent(&receiver, "protobuf_message: prometheus.WriteRequest, headers: {X-Org: o}");
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    for request in receiver.requests() {
        for (name, expected) in [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            ("x-org", "o"),
        ] {
            assert_eq!(request.field(name), expected, "{name}");
        }
    }
    all_there(agent, &receiver, 3);
}

/// What was queued in version 2 is not lost with it.
#[test]
fn a_receiver_that_refuses_version_2_gets_every_window_in_version_1() {
    let receiver = Receiver::start(|request, _| match request.version {
        2 => Reply::Status(415, Vec::new(), "what is this?"),
        _ => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "");
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    all_there(agent, &receiver, 3);
    assert_eq!(receiver.requests().iter().filter(|request| request.version == 2).count(), 1);
}

#[test]
fn a_receiver_that_does_not_notice_version_2_gets_every_window_in_version_1() {
    // It finds nothing of version 1 in it, and says that all is well.
    let receiver = Receiver::start(|request, _| match request.version {
        2 => Reply::Status(204, Vec::new(), ""),
        _ => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "");
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    all_there(agent, &receiver, 3);
}

#[test]
fn failures_of_all_kinds_cost_no_window() {
    let after = |seconds: &str| vec![format!("Retry-After: {seconds}")];
    let receiver = Receiver::start(move |_, before| match before {
        0 => Reply::Status(500, Vec::new(), "not now"),
        2 => Reply::Close,
        3 => Reply::Status(503, after("1"), "busy"),
        5 => Reply::CloseWithin,
        6 => Reply::Hang,
        7 => Reply::Status(429, after("1"), "too much"),
        8 => Reply::Status(429, after("Sun, 06 Nov 1994 08:49:37 GMT"), "too much"),
        _ => Reply::Take,
    });
    let (agent, _config) = agent(&receiver, "remote_timeout: 1s");
    receiver.wait_for("eight windows", |requests| taken(requests) >= 8);
    let again: Vec<String> =
        receiver.requests().iter().map(|request| request.field("retry-attempt").to_owned()).collect();
    assert_eq!(again[..2], ["", "1"], "{again:?}");
    let sum = |page: &Page, what: &str| page.sum(&format!("observer_export_{what}_samples_total"), &[]);
    let page =
        agent.page_with(|page| sum(page, "encoded") > 0.0 && sum(page, "encoded") == sum(page, "delivered"));
    assert_eq!(sum(&page, "encoded"), sum(&page, "delivered"), "{}", page.text);
    for code in ["500", "503", "429", "timeout", "closed"] {
        assert!(
            page.sum("observer_export_requests_total", &[("code", code)]) >= 1.0,
            "{code}: {}",
            page.text
        );
    }
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    all_there(agent, &receiver, 8);
}

/// As Prometheus does with version 1, the receiver takes nothing of a request that has a series it does not want.
#[test]
fn one_series_that_is_refused_does_not_take_the_others_along() {
    let is_bad =
        |request: &Request| request.written.keys().any(|labels| labels["__name__"] == "observer_build_info");
    let receiver = Receiver::start(move |request, _| match is_bad(request) {
        true => Reply::Status(400, Vec::new(), "out of order sample"),
        false => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "protobuf_message: prometheus.WriteRequest");
    let page = agent.page_with(|page| page.sum("observer_export_dropped_samples_total", &[]) >= 3.0);
    let dropped = page.sum("observer_export_dropped_samples_total", &[("cause", "status_400")]);
    assert!(dropped >= 3.0, "{}", page.text);
    all_there(agent, &receiver, 3);
    // Once it is known, a window takes three requests: all, the others, and the one by itself.
    let requests = receiver.requests();
    let last: Vec<_> = requests[requests.len() - 6..]
        .iter()
        .map(|request| (is_bad(request), request.samples() == 1))
        .collect();
    let window = [(true, false), (false, false), (true, true)];
    assert_eq!(last, [window, window].concat());
    let alone =
        receiver.requests().iter().filter(|request| is_bad(request) && request.samples() == 1).count();
    assert!(dropped <= alone as f64, "{dropped} samples are counted as dropped, and {alone} were refused");
    // All but the one.
    let others = receiver.taken();
    assert!(others.keys().all(|labels| labels["__name__"] != "observer_build_info"));
    assert!(others.keys().any(|labels| labels["__name__"] == "process_threads"));
}

#[test]
fn a_receiver_that_is_slow_gets_every_window() {
    let receiver = Receiver::start(|_, _| Reply::Take);
    receiver.slow(10_000);
    let (agent, _config) = agent(&receiver, "");
    receiver.wait_for("five windows", |requests| taken(requests) >= 5);
    let page = agent.page();
    assert_eq!(page.sum("observer_export_windows_lost_total", &[]), 0.0, "{}", page.text);
    assert_eq!(page.sum("observer_pool_misses_total", &[]), 0.0, "{}", page.text);
    all_there(agent, &receiver, 5);
}

#[test]
fn an_outage_is_made_up_for_and_told() {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let (agent, _config) = agent(&receiver, "");
    receiver.wait_for("two windows", |requests| taken(requests) >= 2);
    receiver.close();
    let page = agent.page_with(|page| page.sum("observer_export_oldest_pending_seconds", &[]) >= 3.0);
    assert!(page.sum("observer_export_requests_total", &[("code", "connect")]) >= 1.0, "{}", page.text);
    let status = observer_tests::http::get_unix(agent.socket(), "/api/v1/status/exports").text();
    assert!(status.contains(r#""state":"retrying""#) && status.contains("cannot connect"), "{status}");
    receiver.open();
    let page = agent.page_with(|page| page.sum("observer_export_queue_samples", &[]) == 0.0);
    assert_eq!(page.sum("observer_export_queue_samples", &[]), 0.0, "{}", page.text);
    all_there(agent, &receiver, 5);
}

/// An agent that ends while its receiver is away, when a window has waited for so many seconds; and the next one, for which the
/// receiver is back. How many windows the first closed at least.
fn two_runs(
    receiver: &Receiver,
    queue: &observer_tests::config::Directory,
    grace: &str,
    pending: f64,
) -> (usize, Agent) {
    let url = receiver.url();
    let args = ["--remote-write", &*url, "--queue-dir", queue.path(), "--shutdown-grace", grace];
    let start = || Agent::start(Privileges::Root, &[&args[..], &["--no-tcp", "--no-node"]].concat());
    let first = start();
    receiver.wait_for("a window", |requests| taken(requests) >= 1);
    receiver.close();
    let page = first.page_with(|page| page.sum("observer_export_oldest_pending_seconds", &[]) >= pending);
    let closed = page.sum("observer_windows_total", &[]) as usize;
    let (code, said) = first.stop();
    assert_eq!(code, Some(0), "{said}");
    receiver.open();
    (closed, start())
}

/// Each process of the agent begins with its first window, and what the one before could not deliver comes before it.
#[test]
fn a_restart_leaves_no_gap() {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let queue = observer_tests::config::Directory::new();
    let (closed, second) = two_runs(&receiver, &queue, "1s", 2.0);
    receiver.wait_for("both", |_| true);
    let page = second.page_with(|page| {
        page.sum("observer_windows_total", &[]) >= 3.0
            && page.sum("observer_export_queue_samples", &[]) == 0.0
    });
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    let (code, said) = second.stop();
    assert_eq!(code, Some(0), "{said}");
    let runs = windows(&receiver.taken());
    // The last window of the first is the one that its end closed.
    assert!(runs.len() == 2 && runs[0].len() > closed && runs[1].len() >= 3, "{runs:?} {closed}");
    let samples = written::only(&receiver.taken(), "observer_windows_total").clone();
    assert!(samples.is_sorted(), "out of order: {samples:?}");
}

/// How requests that have samples are compressed.
fn encodings(requests: &[Request]) -> Vec<&str> {
    let full = requests.iter().filter(|request| request.samples() > 0);
    full.map(|request| request.field("content-encoding")).collect()
}

/// Whether it has no body: it asks what is spoken.
fn is_question(request: &Request) -> bool {
    request.field("content-length") == "0"
}

#[test]
fn zstd_is_sent_to_a_receiver_of_version_1_that_says_it_takes_it() {
    let receiver = Receiver::start(|request, _| match (is_question(request), request.version) {
        (true, _) => Reply::Status(200, Vec::new(), "1"),
        (_, 2) => Reply::Status(415, Vec::new(), "what is this?"),
        _ => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "compression: auto");
    receiver.wait_for("three windows", |requests| {
        requests.iter().filter(|request| request.field("content-encoding") == "zstd").count() >= 3
    });
    all_there(agent, &receiver, 4);
    let requests = receiver.requests();
    assert_eq!(requests.iter().filter(|request| is_question(request)).count(), 1, "asked once");
    for request in requests.iter().filter(|request| request.field("content-encoding") == "zstd") {
        assert_eq!(request.field("x-victoriametrics-remote-write-version"), "1");
        assert_eq!(request.field("x-prometheus-remote-write-version"), "");
    }
}

#[test]
fn a_receiver_that_says_nothing_of_zstd_gets_snappy() {
    let receiver = Receiver::start(|request, _| match is_question(request) {
        true => Reply::Status(400, Vec::new(), "snappy: corrupt input"),
        false => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "compression: auto, protobuf_message: prometheus.WriteRequest");
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    all_there(agent, &receiver, 3);
    assert!(encodings(&receiver.requests()).iter().all(|encoding| *encoding == "snappy"));
}

/// What was queued in zstd is not lost with it.
#[test]
fn a_receiver_that_refuses_zstd_gets_every_window_in_snappy() {
    let receiver = Receiver::start(|request, _| match request.field("content-encoding") {
        "zstd" => Reply::Status(415, Vec::new(), "unsupported encoding"),
        _ => Reply::TakeSilently,
    });
    let (agent, _config) = agent(&receiver, "compression: zstd");
    receiver.wait_for("three windows", |requests| taken(requests) >= 3);
    all_there(agent, &receiver, 3);
    let requests = receiver.requests();
    let encodings = encodings(&requests);
    assert_eq!(encodings.iter().filter(|encoding| **encoding == "zstd").count(), 1, "{encodings:?}");
}

/// What is on disk in zstd goes in snappy when the configuration says so.
#[test]
fn a_queue_in_zstd_is_sent_in_snappy_after_a_restart() {
    let receiver = Receiver::start(|_, _| Reply::TakeSilently);
    let queue = observer_tests::config::Directory::new();
    let start = |compression: &str| {
        let config = Config::new(&format!(
            "remote_write: [{{name: e, url: '{}', protobuf_message: prometheus.WriteRequest, compression: {compression}}}]\n",
            receiver.url()
        ));
        let args = [
            "--config",
            config.path(),
            "--queue-dir",
            queue.path(),
            "--shutdown-grace",
            "0s",
            "--no-tcp",
            "--no-node",
        ];
        (Agent::start(Privileges::Root, &args), config)
    };
    let (first, _config) = start("zstd");
    receiver.wait_for("a window", |requests| taken(requests) >= 1);
    receiver.close();
    let page = first.page_with(|page| page.sum("observer_export_oldest_pending_seconds", &[]) >= 2.0);
    let closed = page.sum("observer_windows_total", &[]) as usize;
    let (code, said) = first.stop();
    assert_eq!(code, Some(0), "{said}");
    let before = receiver.requests().len();
    receiver.open();
    let (second, _config) = start("snappy");
    receiver.wait_for("what was queued", |requests| {
        windows(&written_of(requests)).first().is_some_and(|run| run.len() >= closed)
    });
    let (code, said) = second.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(encodings(&receiver.requests()[before..]).iter().all(|encoding| *encoding == "snappy"));
    assert!(encodings(&receiver.requests()[..before]).iter().all(|encoding| *encoding == "zstd"));
}

fn written_of(requests: &[Request]) -> written::Written {
    let mut all = written::Written::new();
    requests.iter().filter(|request| request.taken).for_each(|r| written::add(&mut all, r.written.clone()));
    all
}

/// The grace is for receivers that may come back; what is on disk comes with the next start.
#[test]
fn a_receiver_that_is_away_does_not_hold_up_the_end() {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let queue = observer_tests::config::Directory::new();
    let (closed, second) = two_runs(&receiver, &queue, "1h", 1.0);
    receiver.wait_for("both", |requests| windows(&written_of(requests)).len() == 2);
    let (code, said) = second.stop();
    assert_eq!(code, Some(0), "{said}");
    let runs = windows(&receiver.taken());
    assert!(runs.len() == 2 && runs[0].len() > closed, "{runs:?} {closed}");
}
