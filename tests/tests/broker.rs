//! `observer trace --port 9092` beside a real Kafka broker with a real producer and consumer: what it shows of them, and
//! that its sentence is right about where the time went.

use std::time::Duration;

use observer_tests::{
    daemon::Daemon,
    kafka::{self, BROKER, Broker, CONSUMER, PRODUCER},
    lab::{Family, Lab},
    netns::Netns,
    observer::{Trace, Traced},
    privileges::Privileges,
    row::Row,
};
use serde_json::Value;

const PORT: u16 = 9092;
const REMOTE: &str = "Mostly the remote side: ";
const NETWORK: &str = "Mostly the network: ";
const READS_LATE: &str = "Mostly this host's program, which reads late: ";

/// A broker, and the trace of what is done to it.
struct Stage {
    lab: Lab,
    broker: Broker,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::new();
        let broker = Broker::start(&lab.server, lab.service(Family::V4, PORT));
        Self { lab, broker }
    }

    /// Messages that are there before anybody asks for them: no fetch waits for one.
    fn fill(&self, messages: u32) {
        self.broker.producer(&self.lab.server, messages, Duration::ZERO).end();
    }

    /// Of the broker's port, and of this lab only.
    fn trace(&self) -> Trace {
        let network = self.lab.network(Family::V4);
        Trace::start(Privileges::Root, &["--port", &PORT.to_string(), "--addr", &network])
    }

    /// Ends the trace when the clients, which have ended, have been seen to end.
    fn stop(self, trace: Trace) -> Seen {
        let open = |role: &str| {
            let rows = trace.rows();
            let count = |event: &str| rows.iter().filter(|row| row.is(event, role)).count();
            let opened = count("connect") + count("accept");
            opened > 0 && opened == count("close")
        };
        assert!(
            observer_tests::clock::wait(|| (open("client") && open("server")).then_some(())).is_some(),
            "not every connection is closed:\n{:#?}",
            trace.rows()
        );
        let Traced { rows, summary, code, stderr } = trace.stop();
        assert_eq!((code, &summary["lost_rows"]), (Some(0), &Value::from(0)), "{stderr}");
        drop(self);
        // For whoever reads the output of a test: the sentence as a user sees it.
        eprintln!("{}", summary["verdict"].as_str().unwrap_or_default());
        Seen { rows, summary }
    }
}

/// What a trace told.
struct Seen {
    rows: Vec<Row>,
    summary: Value,
}

impl Seen {
    fn rows<'a>(&'a self, event: &'a str, role: &'a str, comm: &'a str) -> Vec<&'a Row> {
        self.rows.iter().filter(|row| row.is(event, role) && row.text("comm") == comm).collect()
    }

    #[track_caller]
    fn verdict(&self) -> &str {
        self.summary["verdict"].as_str().expect("there is a sentence")
    }

    #[track_caller]
    fn verdict_starts(&self, start: &str) {
        assert!(self.verdict().starts_with(start), "not `{start}`:\n{}\n{:#}", self.verdict(), self.summary);
    }

    /// A figure of the only group with this role.
    #[track_caller]
    fn figure(&self, role: &str, name: &str) -> f64 {
        let groups = self.summary["groups"].as_array().expect("a list");
        let groups: Vec<_> = groups.iter().filter(|group| group["role"] == role).collect();
        assert_eq!(groups.len(), 1, "{:#}", self.summary);
        groups[0][name].as_f64().unwrap_or_else(|| panic!("no `{name}`:\n{:#}", self.summary))
    }
}

fn produce_and_consume(broker: &Broker, namespace: &Netns, messages: u32) -> (Daemon, Daemon) {
    let consumer = broker.consumer(namespace, messages);
    (broker.producer(namespace, messages, Duration::from_millis(5)), consumer)
}

#[test]
fn broker_producer_and_consumer_are_told_apart() {
    if kafka::is_missing() {
        return;
    }
    const MESSAGES: u32 = 200;
    let stage = Stage::new();
    let trace = stage.trace();
    let (mut producer, mut consumer) = produce_and_consume(&stage.broker, &stage.lab.server, MESSAGES);
    let (producing, consuming, serving) = (producer.pid(), consumer.pid(), stage.broker.process.pid());
    producer.end();
    consumer.end();
    let seen = stage.stop(trace);

    for (comm, pid) in [(PRODUCER, producing), (CONSUMER, consuming)] {
        let connects = seen.rows("connect", "client", comm);
        assert!(!connects.is_empty(), "no connect of `{comm}`: {:#?}", seen.rows);
        for connect in connects {
            assert_eq!((connect.outcome(), connect.number("pid")), ("success".to_owned(), Some(pid.into())));
            // The other end of the same connection.
            let of_broker = |row: &&Row| {
                row.is("accept", "server") && row.number("peer_port") == connect.number("local_port")
            };
            assert_eq!(seen.rows.iter().filter(of_broker).count(), 1, "{connect:?} in {:#?}", seen.rows);
        }
    }
    for accept in seen.rows.iter().filter(|row| row.text("role") == "server") {
        assert_eq!((accept.text("comm"), accept.number("pid")), (BROKER, Some(serving.into())), "{accept:?}");
    }
    assert_eq!(seen.figure("client", "connect_count"), seen.figure("server", "accepts"));
    // Each message was acknowledged before the next was sent.
    let exchanges = |row: &Row| row.number("exchanges").unwrap_or(0);
    let produced: u64 = seen.rows("close", "client", PRODUCER).into_iter().map(exchanges).sum();
    assert!(produced >= u64::from(MESSAGES), "{:#?}", seen.rows("close", "client", PRODUCER));
    // What a client waits for an answer, the broker needs for it: here that is where fetches wait for messages.
    seen.verdict_starts(REMOTE);
    assert!(seen.verdict().contains("of `consumer`: p50 "), "{}", seen.verdict());
    assert!(seen.figure("client", "response_max_seconds") >= seen.figure("server", "service_p50_seconds"));
}

#[test]
fn a_slowed_broker_is_the_remote_side() {
    if kafka::is_missing() {
        return;
    }
    const STOPPED: Duration = Duration::from_millis(100);
    let stage = Stage::new();
    stage.fill(400);
    let trace = stage.trace();
    let slow = stage.broker.process.starve(STOPPED, Duration::from_millis(10));
    let mut producer = stage.broker.producer(&stage.lab.client, 100, Duration::from_millis(5));
    let mut consumer = stage.broker.consumer(&stage.lab.client, 400);
    producer.end();
    consumer.end();
    drop(slow);
    let seen = stage.stop(trace);

    seen.verdict_starts(REMOTE);
    // The broker's own side tells why: it lets requests lie.
    assert!(seen.figure("server", "receive_wait_max_seconds") > STOPPED.as_secs_f64() / 2.0);
    let told = seen.verdict().contains("the serving side is on this host too")
        && seen.verdict().contains("read requests");
    assert!(told, "{}", seen.verdict());
}

#[test]
fn a_consumer_that_reads_late_is_this_host() {
    if kafka::is_missing() {
        return;
    }
    const MESSAGES: u32 = 1500;
    const STOPPED: Duration = Duration::from_millis(200);
    let stage = Stage::new();
    stage.fill(MESSAGES);
    let trace = stage.trace();
    let mut consumer = stage.broker.consumer_of(&stage.lab.client, MESSAGES, 4096);
    let slow = consumer.starve(STOPPED, Duration::from_millis(10));
    consumer.end();
    drop(slow);
    let seen = stage.stop(trace);

    seen.verdict_starts(READS_LATE);
    assert!(seen.figure("client", "receive_wait_max_seconds") > STOPPED.as_secs_f64() / 2.0);
}

#[test]
fn a_slow_path_is_the_network() {
    if kafka::is_missing() {
        return;
    }
    const ROUND_TRIP: u64 = 20;
    const MESSAGES: u32 = 400;
    let mut stage = Stage::new();
    stage.fill(MESSAGES);
    stage.lab.slow_path(ROUND_TRIP);
    let trace = stage.trace();
    let mut consumer = stage.broker.consumer_of(&stage.lab.client, MESSAGES, 4096);
    let mut producer = stage.broker.producer(&stage.lab.client, 50, Duration::from_millis(5));
    producer.end();
    consumer.end();
    let seen = stage.stop(trace);

    seen.verdict_starts(NETWORK);
    let injected = ROUND_TRIP as f64 / 1000.0;
    for name in ["connect_p50_seconds", "min_rtt_p50_seconds"] {
        let measured = seen.figure("client", name);
        // One bucket is 19 %; a busy machine adds to it.
        assert!(
            (injected * 0.84..injected * 1.5).contains(&measured),
            "{name} {measured}: {:#}",
            seen.summary
        );
    }
}
