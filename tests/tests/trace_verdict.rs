//! The sentence at the end of a trace is right about where the time went.

use std::time::Duration;

use observer_tests::{
    exchange::Talk,
    lab::{Family, Lab},
    observer::Trace,
    privileges::Privileges,
    program::Start,
};

const PORT: u16 = 7000;

/// What one side's trace concludes from a talk.
fn verdict(lab: &Lab, comm: &str, think: u64, linger: u64) -> String {
    let (think, linger) = (Duration::from_millis(think), Duration::from_millis(linger));
    let shape = Talk { connections: 2, exchanges: 20, think, linger };
    let trace = Trace::start(Privileges::Root, &["--comm", comm, "--addr", &lab.network(Family::V4)]);
    let address = lab.service(Family::V4, PORT);
    let mut server = Start::new(&lab.server, "v-server").answer(address, &shape);
    let mut client = Start::new(&lab.client, "v-client").ask(address, &shape);
    let _ = (client.measured(), server.measured());
    assert!(trace.reaches(4, |_| true), "{:#?}", trace.rows());
    trace.stop().summary["verdict"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn check(verdict: &str, begins: &str) {
    assert!(verdict.starts_with(begins), "`{begins}` expected: {verdict}");
    assert!(verdict.contains("40 ") && verdict.contains('%'), "the numbers behind it are missing: {verdict}");
}

#[test]
fn the_server_is_slow() {
    let lab = Lab::new();
    check(&verdict(&lab, "v-client", 20, 0), "Mostly the remote side");
    check(&verdict(&lab, "v-server", 20, 0), "Mostly this host's program, which takes its time to answer");
}

#[test]
fn the_path_is_slow() {
    let mut lab = Lab::new();
    lab.slow_path(25);
    check(&verdict(&lab, "v-client", 2, 0), "Mostly the network");
    check(&verdict(&lab, "v-server", 2, 0), "Mostly the network");
}

#[test]
fn the_reader_is_slow() {
    check(&verdict(&Lab::new(), "v-client", 1, 20), "Mostly this host's program, which reads late");
}

#[test]
fn nobody_answers() {
    let lab = Lab::new();
    lab.server_input(Family::V4, "-j DROP");
    let trace = Trace::start(Privileges::Root, &["--addr", &lab.network(Family::V4)]);
    let script = "nonblock connect=EINPROGRESS give_up_after:100 close";
    let mut client = Start::new(&lab.client, "v-patience").play(lab.service(Family::V4, PORT), script);
    client.end().unwrap_or_else(|error| panic!("{error}"));
    assert!(trace.reaches(1, |_| true));
    let verdict = trace.stop().summary["verdict"].as_str().unwrap_or_default().to_owned();
    assert!(verdict.contains("gave up"), "{verdict}");
}

#[test]
fn nothing_happens() {
    let trace = Trace::start(Privileges::Root, &["--comm", "nobody-at-all"]);
    assert_eq!(trace.stop().summary["verdict"], "Nothing was seen.");
}
