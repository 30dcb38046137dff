//! Latencies are right: what a trace says agrees with what the programs measured by themselves around the same operations,
//! within one bucket, at the median and at the 99th percentile.

use std::{net::SocketAddr, time::Duration};

use observer_tests::{
    exchange::{Measured, Talk},
    lab::{Family, Lab},
    observer::Trace,
    privileges::Privileges,
    program::Start,
    quantile::{agrees, between, near},
    row::Row,
};

const PORT: u16 = 7000;

/// The rows of a talk, and what its two programs measured.
struct Talked {
    rows: Vec<Row>,
    client: Vec<Measured>,
    server: Vec<Measured>,
}

fn talk(lab: &Lab, family: Family, talk: Talk) -> Talked {
    let trace = Trace::start(Privileges::Root, &["--addr", &lab.network(family)]);
    let address: SocketAddr = lab.service(family, PORT);
    let mut server = Start::new(&lab.server, "l-server").answer(address, &talk);
    let mut client = Start::new(&lab.client, "l-client").ask(address, &talk);
    let (client, server) = (client.measured(), server.measured());
    let rows = talk.connections as usize * 4;
    assert!(trace.reaches(rows, |_| true), "{:#?}", trace.rows());
    Talked { rows: trace.stop().rows, client, server }
}

impl Talked {
    /// The row of the connection that the client made from this port.
    #[track_caller]
    fn row(&self, event: &str, role: &str, port: u16) -> &Row {
        let end = if role == "client" { "local_port" } else { "peer_port" };
        let row = self.rows.iter().find(|row| row.is(event, role) && row.number(end) == Some(port.into()));
        row.unwrap_or_else(|| panic!("no {event} of the {role} on {port}: {:#?}", self.rows))
    }

    /// Holds both quantiles of every close row of a role against the samples of its program.
    #[track_caller]
    fn check(&self, role: &str, figure: &str, samples: fn(&Measured) -> &[u64]) {
        for measured in if role == "client" { &self.client } else { &self.server } {
            let row = self.row("close", role, measured.port);
            let samples = samples(measured);
            assert_eq!(row.number("exchanges"), Some(measured.turns.len() as u64), "{row:?}");
            for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
                let field = format!("{figure}_{name}_seconds");
                let reported = row.seconds(&field).unwrap_or_else(|| panic!("no {field} in {row:?}"));
                assert!(
                    agrees(reported, samples, quantile),
                    "{role}: {field} is {reported}, the program measured {:?} in {row:?}",
                    between(samples, quantile),
                );
            }
        }
    }

    /// Holds both round-trip times of a role against what its program was told by the kernel before it closed.
    #[track_caller]
    fn check_rtt(&self, role: &str) {
        for measured in if role == "client" { &self.client } else { &self.server } {
            let row = self.row("close", role, measured.port);
            for (field, measured) in [("srtt_seconds", measured.srtt), ("min_rtt_seconds", measured.min_rtt)]
            {
                let (reported, measured) = (row.seconds(field).unwrap_or_default(), measured as f64 / 1e9);
                assert!(
                    near(reported, measured),
                    "{role}: {field} is {reported}, the program saw {measured}: {row:?}"
                );
            }
        }
    }

    #[track_caller]
    fn check_connects(&self) {
        for measured in &self.client {
            let row = self.row("connect", "client", measured.port);
            let reported = row.seconds("connect_seconds").unwrap_or_default();
            let measured = measured.connect as f64 / 1e9;
            assert!(near(reported, measured), "connected in {measured}: {row:?}");
        }
    }
}

const NONE: Duration = Duration::ZERO;

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The server thinks; both sides must tell.
#[track_caller]
fn check_think(family: Family, think: u64, exchanges: u32) {
    let shape = Talk { connections: 1, exchanges, think: milliseconds(think), linger: NONE };
    let talked = talk(&Lab::new(), family, shape);
    talked.check("client", "response", |measured| &measured.turns);
    talked.check("server", "service", |measured| &measured.turns);
}

#[test]
fn thinking_for_1_ms() {
    check_think(Family::V4, 1, 200);
    check_think(Family::V6, 1, 200);
}

#[test]
fn thinking_for_5_ms() {
    check_think(Family::V4, 5, 200);
}

#[test]
fn thinking_for_20_ms() {
    check_think(Family::V4, 20, 100);
    check_think(Family::V6, 20, 100);
}

#[test]
fn thinking_for_100_ms() {
    check_think(Family::V4, 100, 30);
}

#[test]
fn a_slow_path() {
    for family in [Family::V4, Family::V6] {
        let mut lab = Lab::new();
        lab.slow_path(25);
        let shape = Talk { connections: 5, exchanges: 20, think: milliseconds(2), linger: NONE };
        let talked = talk(&lab, family, shape);
        talked.check_connects();
        talked.check_rtt("client");
        talked.check_rtt("server");
        // The path is in the response, not in the service.
        talked.check("client", "response", |measured| &measured.turns);
        talked.check("server", "service", |measured| &measured.turns);
    }
}

#[test]
fn a_slow_reader() {
    for linger in [2, 20] {
        let shape =
            Talk { connections: 1, exchanges: 100, think: milliseconds(5), linger: milliseconds(linger) };
        let talked = talk(&Lab::new(), Family::V4, shape);
        talked.check("client", "receive_wait", |measured| &measured.waits);
        // What the program does not read in time is not the server's fault.
        talked.check("client", "response", |measured| &measured.turns);
        talked.check("server", "service", |measured| &measured.turns);
    }
}
