//! Connections that are older than the trace: picked up at their next exchange, never reported as opened.

use observer_tests::{
    lab::{Family, Lab},
    observer::Trace,
    privileges::Privileges,
    program::{Program, Start},
    row::Row,
    serve::Listen,
};

const PORT: u16 = 7000;

/// A connection that exchanges or closes when told.
struct Connection {
    lab: Lab,
    client: Program,
    server: Program,
}

impl Connection {
    fn open(family: Family) -> Self {
        let lab = Lab::new();
        let address = lab.service(family, PORT);
        let script = "recv:4 send:4 recv:4 send:4 recv:4 send:4 recv:1=EOF close";
        let server = Start::new(&lab.server, "a-server").serve(address, &Listen::once(script));
        let script = "connect send:4 recv:4 wait send:4 recv:4 wait send:4 recv:4 wait close";
        let mut client = Start::new(&lab.client, "a-client").play(address, script);
        client.expect("waiting");
        Self { lab, client, server }
    }

    fn exchange(&mut self) {
        self.client.go_on();
        self.client.expect("waiting");
    }

    fn close(&mut self) {
        self.client.go_on();
        for program in [&mut self.client, &mut self.server] {
            program.end().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn rows(&self, rows: Vec<Row>) -> Vec<Row> {
        rows.into_iter().filter(|row| self.lab.owns(row)).collect()
    }
}

/// The rows are one close a side, of an adopted connection, with the figures of `exchanges` exchanges.
#[track_caller]
fn check_closes(connection: &Connection, rows: Vec<Row>, exchanges: u64) {
    let rows = connection.rows(rows);
    assert_eq!(rows.len(), 2, "a close on each side and nothing else: {rows:#?}");
    for (role, program) in [("client", &connection.client), ("server", &connection.server)] {
        let row = rows.iter().find(|row| row.is("close", role));
        let row = row.unwrap_or_else(|| panic!("no close of the {role} in {rows:#?}"));
        let got = (
            row.0["adopted"].as_bool(),
            row.number("pid"),
            row.text("comm"),
            row.number("port"),
            row.outcome(),
        );
        let expected =
            (Some(true), Some(program.pid.into()), program.name.as_str(), Some(PORT.into()), "closed".into());
        assert_eq!(got, expected, "{row:?}");
        let figures = ["exchanges", "sent_bytes", "received_bytes"].map(|field| row.number(field));
        assert_eq!(figures, [exchanges, 4 * exchanges, 4 * exchanges].map(Some), "{row:?}");
    }
}

#[test]
fn an_older_connection_is_picked_up() {
    for family in [Family::V4, Family::V6] {
        let mut connection = Connection::open(family);
        let trace = Trace::start(Privileges::Root, &[]);
        connection.exchange();
        connection.exchange();
        connection.close();
        assert!(trace.reaches(2, |row| connection.lab.owns(row)), "{:#?}", connection.rows(trace.rows()));
        check_closes(&connection, trace.stop().rows, 2);
    }
}

#[test]
fn least_privileges_are_enough_to_pick_up() {
    let mut connection = Connection::open(Family::V4);
    let trace = Trace::start(Privileges::Least, &[]);
    connection.exchange();
    connection.exchange();
    connection.close();
    assert!(trace.reaches(2, |row| connection.lab.owns(row)), "{:#?}", connection.rows(trace.rows()));
    check_closes(&connection, trace.stop().rows, 2);
}

#[test]
fn a_restart_opens_and_closes_nothing() {
    let mut connection = Connection::open(Family::V4);
    for _ in 0..2 {
        let trace = Trace::start(Privileges::Root, &[]);
        connection.exchange();
        let rows = connection.rows(trace.stop().rows);
        assert!(rows.is_empty(), "the connection was neither opened nor closed: {rows:#?}");
    }
    let trace = Trace::start(Privileges::Root, &[]);
    connection.close();
    assert!(trace.reaches(2, |row| connection.lab.owns(row)), "{:#?}", connection.rows(trace.rows()));
    check_closes(&connection, trace.stop().rows, 0);
}
