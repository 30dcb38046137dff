//! State changes that happen in a timer's interrupt while the same processor is in the middle of another one.
//!
//! The kernel does not run a tracing program inside itself: it skips it. An attempt that ends in a timer while a busy program
//! connects over and over is such a case, and a second program takes it.

use std::net::{Ipv4Addr, SocketAddr};

use observer_tests::{
    clock::wait_for,
    counters::Counters,
    netns::{self, Netns},
    observer::Trace,
    privileges::Privileges,
    program::{Program, Start},
    row::Row,
    serve::Listen,
};

/// In each of several processes, one after the other: timers that run out together share an interrupt.
const TIMEOUTS: usize = 250;
const PROCESSES: usize = 4;
/// More than are made while the timers run out; it is ended then.
const FLOOD: u32 = 1_000_000;

#[test]
fn change_within_a_change_is_told() {
    let namespace = Netns::new();
    let (open, silent) =
        (SocketAddr::from((Ipv4Addr::LOCALHOST, 7000)), SocketAddr::from(([127, 0, 0, 2], 7001)));
    let rule = "-w 10 -A INPUT -p tcp --dport 7001 -j DROP";
    netns::run(namespace.command("iptables").args(rule.split(' ')), None);
    namespace.sysctl("ipv4/tcp_syn_retries", "1");
    // The rows are those of the silent address; the flood only keeps the processors busy with state changes.
    let trace = Trace::start(Privileges::Root, &["--addr", "127.0.0.2", "--ring-size", "67108864"]);

    let listen = Listen { connections: FLOOD as usize, ..Listen::once("close") };
    let server = Start::new(&namespace, "n-flooded").serve(open, &listen);
    let flood =
        Start::new(&namespace, "n-flood").play_times(open, "linger0 connect=OK|ECONNRESET close", FLOOD);
    let script =
        "tcp user_timeout:500 nonblock connect=EINPROGRESS give_up_after:5 ".repeat(TIMEOUTS) + "wait";
    let mut waiting: Vec<Program> =
        (0..PROCESSES).map(|_| Start::new(&namespace, "n-timer").play(silent, &script)).collect();
    for program in &mut waiting {
        program.expect("waiting");
    }
    let attempts = TIMEOUTS * PROCESSES;
    // Nothing else fails here: the flood is accepted.
    let failed = || usize::try_from(Counters::read(&namespace).get("AttemptFails")).unwrap_or_default();
    wait_for("the timers of all attempts", || (failed() >= attempts).then_some(()));
    drop((flood, server));

    let netns = namespace.inode();
    let is_timeout = |row: &Row| {
        row.number("netns") == Some(netns)
            && row.text("event") == "connect"
            && row.text("outcome") == "timeout"
    };
    // What does not come is told below.
    let _all = trace.reaches(attempts, is_timeout);
    let traced = trace.stop();
    let rows = traced.rows.iter().filter(|row| is_timeout(row)).count();
    assert_eq!(traced.summary["lost_rows"], 0);
    assert_eq!(rows, attempts, "{attempts} attempts timed out");
}
