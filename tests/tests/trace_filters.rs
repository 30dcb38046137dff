//! Each filter of `observer trace` shows what it should and hides the rest.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use observer_tests::{
    cgroup::Cgroup,
    exchange::Talk,
    lab::{Family, Lab},
    observer::Trace,
    privileges::Privileges,
    program::{Program, Start},
    row::Row,
    serve::Listen,
};

/// Programs that wait for the trace before they do anything.
struct Traffic {
    lab: Lab,
    cgroup: Cgroup,
    good: Program,
    rest: Vec<Program>,
    servers: Vec<Program>,
}

const OPEN: u16 = 7000;
const REFUSED: u16 = 7001;
const SLOW: u16 = 7002;
const LOST: u16 = 7003;

/// Connect, accept and two closes for each of the three connections that are made, and two failed connects.
const ROWS: usize = 3 * 4 + 2;

impl Traffic {
    fn prepare() -> Self {
        let lab = Lab::new();
        lab.server_input(Family::V4, &format!("--dport {LOST} -j DROP"));
        let cgroup = Cgroup::new();
        let at = |family, port| lab.service(family, port);
        let listen = Listen::once("recv:4 send:4 recv:1=EOF close");
        let serve = |family| Start::new(&lab.server, "f-server").serve(at(family, OPEN), &listen);
        let (think, linger) = (Duration::from_millis(120), Duration::ZERO);
        let talk = Talk { connections: 1, exchanges: 1, think, linger };
        let servers = vec![
            serve(Family::V4),
            serve(Family::V6),
            Start::new(&lab.server, "f-thinker").answer(at(Family::V4, SLOW), &talk),
        ];
        let waiting = |start: Start<'_>, target: SocketAddr, script: &str| {
            let mut program = start.play(target, &format!("wait {script}"));
            program.expect("waiting");
            program
        };
        let start = |name| Start::new(&lab.client, name);
        let good = waiting(start("f-good"), at(Family::V4, OPEN), "connect send:4 recv:4 close");
        let rest = vec![
            waiting(
                start("f-six").in_cgroup(cgroup.procs()),
                at(Family::V6, OPEN),
                "connect send:4 recv:4 close",
            ),
            waiting(start("f-refused"), at(Family::V4, REFUSED), "connect=ECONNREFUSED close"),
            waiting(
                start("f-lost"),
                at(Family::V4, LOST),
                "nonblock connect=EINPROGRESS give_up_after:100 close",
            ),
            // The shape of one exchange of a talk.
            waiting(start("f-slow"), at(Family::V4, SLOW), "connect send:200 recv:400 close"),
        ];
        Self { lab, cgroup, good, rest, servers }
    }

    fn run(&mut self) {
        for program in self.rest.iter_mut().chain([&mut self.good]) {
            program.go_on();
        }
        for program in self.rest.iter_mut().chain([&mut self.good]).chain(&mut self.servers) {
            program.end().unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// What makes a row the same in two runs.
fn essence(row: &Row) -> String {
    let family = if row.text("peer").contains(':') { 6 } else { 4 };
    let port = row.number("port").unwrap_or_default();
    format!(
        "{} {} of {} over {family} at {port}: {}",
        row.text("role"),
        row.text("event"),
        row.text("comm"),
        row.outcome()
    )
}

fn count(rows: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(row).or_default() += 1;
    }
    counted
}

type Fits = fn(&Row, &Traffic) -> bool;

/// Runs the traffic under one trace with the filter, beside one without, and compares.
#[track_caller]
fn check(args: impl Fn(&Traffic) -> Vec<String>, fits: Fits) {
    let mut traffic = Traffic::prepare();
    let args = args(&traffic);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // Room for what others do on the machine meanwhile.
    let all = Trace::start(Privileges::Root, &["--ring-size", "67108864"]);
    let filtered = Trace::start(Privileges::Root, &args);
    traffic.run();
    assert!(
        all.reaches(ROWS, |row| traffic.lab.owns(row)),
        "the unfiltered trace lacks rows: {:#?}",
        all.rows()
    );
    let mine =
        |rows: Vec<Row>| -> Vec<Row> { rows.into_iter().filter(|row| traffic.lab.owns(row)).collect() };
    let all = mine(all.stop().rows);
    let expected = count(all.iter().filter(|row| fits(row, &traffic)).map(essence));
    let shown: usize = expected.values().sum();
    assert!(0 < shown && shown < all.len(), "{args:?} should show some rows and hide others: {expected:#?}");
    // What does not come is told below.
    let _ = filtered.reaches(shown, |row| traffic.lab.owns(row));
    let got = count(mine(filtered.stop().rows).iter().map(essence));
    assert_eq!(got, expected, "{args:?}");
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn has_port(row: &Row, port: u16) -> bool {
    ["port", "local_port", "peer_port"].iter().any(|field| row.number(field) == Some(port.into()))
}

#[test]
fn port() {
    check(|_| words(&format!("--port {OPEN}")), |row, _| has_port(row, OPEN));
}

#[test]
fn several_ports() {
    check(
        |_| words(&format!("--port {REFUSED} --port {LOST}")),
        |row, _| has_port(row, REFUSED) || has_port(row, LOST),
    );
}

#[test]
fn pid() {
    check(
        |traffic| words(&format!("--pid {}", traffic.good.pid)),
        |row, traffic| row.number("pid") == Some(traffic.good.pid.into()),
    );
}

#[test]
fn pid_of_a_server() {
    check(
        |traffic| words(&format!("--pid {}", traffic.servers[0].pid)),
        |row, traffic| row.number("pid") == Some(traffic.servers[0].pid.into()),
    );
}

#[test]
fn comm() {
    check(|_| words("--comm f-six"), |row, _| row.text("comm") == "f-six");
}

#[test]
fn address() {
    check(
        |traffic| words(&format!("--addr {}", traffic.lab.server_ip(Family::V6))),
        |row, traffic| {
            let address = traffic.lab.server_ip(Family::V6).to_string();
            row.text("peer") == address || row.text("local") == address
        },
    );
}

#[test]
fn network_of_version_4() {
    check(
        |traffic| words(&format!("--addr {}/29", traffic.lab.client_ip(Family::V4))),
        |row, _| !row.text("peer").contains(':'),
    );
}

#[test]
fn network_of_version_6() {
    check(|_| words("--addr fd00:6f62::/32"), |row, _| row.text("peer").contains(':'));
}

#[test]
fn cgroup_by_path() {
    check(
        |traffic| words(&format!("--cgroup {}", traffic.cgroup.path())),
        |row, traffic| row.number("cgroup") == Some(traffic.cgroup.id()),
    );
}

#[test]
fn cgroup_by_id() {
    check(
        |traffic| words(&format!("--cgroup {}", traffic.cgroup.id())),
        |row, traffic| row.number("cgroup") == Some(traffic.cgroup.id()),
    );
}

#[test]
fn outcome() {
    check(|_| words("--outcome refused"), |row, _| row.text("outcome") == "refused");
}

#[test]
fn several_outcomes() {
    check(
        |_| words("--outcome refused --outcome closed"),
        |row, _| ["refused", "closed"].contains(&row.text("outcome")),
    );
}

#[test]
fn failed() {
    check(|_| words("--failed"), |row, _| !["success", "closed"].contains(&row.text("outcome")));
}

#[test]
fn slow() {
    check(
        |_| words("--min-latency 50ms"),
        |row, _| {
            ["connect_seconds", "response_p99_seconds", "service_p99_seconds"]
                .iter()
                .any(|field| row.seconds(field).is_some_and(|seconds| seconds >= 0.05))
        },
    );
}

#[test]
fn filters_combine() {
    check(
        |_| words(&format!("--port {OPEN} --comm f-good --outcome success")),
        |row, _| has_port(row, OPEN) && row.text("comm") == "f-good" && row.text("outcome") == "success",
    );
}
