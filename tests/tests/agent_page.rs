//! The agent's page as its readers see it: formats, health, turning over, older connections, the level, the end.

use std::{net::SocketAddr, time::Duration};

use observer_tests::{
    clock,
    counters::Counters,
    exchange::Talk,
    http,
    lab::{Family, Lab},
    observer::{self, Agent},
    page::Page,
    privileges::Privileges,
    program::{Program, Start},
    serve::{Listen, Then},
};

const PORT: u16 = 7000;
const CONNECTS: &str = "observer_tcp_connects_total";
const ACCEPTS: &str = "observer_tcp_accepts_total";
const CLOSES: &str = "observer_tcp_closes_total";
const RESPONSES: &str = "observer_tcp_response_seconds_count";
const WINDOWS: &str = "observer_windows_total";

fn start(args: &[&str]) -> Agent {
    Agent::start(Privileges::Root, args)
}

fn end(program: &mut Program) {
    program.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_format_is_negotiated() {
    let agent = start(&[]);
    let _ = agent.page_with(|page| !page.samples.is_empty());
    let plain = http::get(agent.address(), "/metrics", &["Accept: text/plain"]);
    assert!(plain.field("content-type").starts_with("text/plain; version=0.0.4"), "{:?}", plain.head);
    assert!(!Page::parse(&plain.text()).samples.is_empty());
    let accept = "Accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.5";
    let open = http::get(agent.address(), "/metrics", &[accept]);
    assert!(
        open.field("content-type").starts_with("application/openmetrics-text; version=1.0.0"),
        "{:?}",
        open.head
    );
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
}

#[test]
fn health_is_told() {
    let agent = start(&[]);
    assert_eq!(http::get(agent.address(), "/live", &[]).status, 200);
    let _ = agent.page_with(|_| http::get(agent.address(), "/ready", &[]).status == 200);
    assert_eq!(http::get(agent.address(), "/ready", &[]).status, 200);
    assert_eq!(http::get(agent.address(), "/no-such-path", &[]).status, 404);
}

#[test]
fn the_page_turns_over_and_is_complete() {
    let agent = start(&[]);
    let first = agent.page_with(|page| page.sum(WINDOWS, &[]) >= 1.0).sum(WINDOWS, &[]);
    let page = agent.page_with(|page| page.sum(WINDOWS, &[]) >= first + 3.0);
    assert!(page.sum(WINDOWS, &[]) >= first + 3.0, "{}", page.text);
    assert_eq!(page.sum("observer_window_completeness_ratio", &[]), 1.0, "{}", page.text);
    assert_eq!(page.sum("observer_decode_errors_total", &[]), 0.0);
    for name in ["node_load1", "node_memory_MemTotal_bytes", "process_resident_memory_bytes"] {
        assert!(page.sum(name, &[]) > 0.0, "{name} is missing:\n{}", page.text);
    }
}

/// A connection on which the client exchanges four bytes each of the three times it is told to, and then closes.
fn open(lab: &Lab, name: &str) -> (Program, Program) {
    let address: SocketAddr = lab.service(Family::V4, PORT);
    let listen = Listen::once("recv:4 send:4 recv:4 send:4 recv:4 send:4 recv:1=EOF close");
    let server = Start::new(&lab.server, &format!("{name}-s")).serve(address, &listen);
    let script = format!("connect {}wait close", "wait send:4 recv:4 ".repeat(3));
    let mut client = Start::new(&lab.client, name).play(address, &script);
    client.expect("waiting");
    (client, server)
}

fn exchange(client: &mut Program) {
    client.go_on();
    client.expect("waiting");
}

#[test]
fn a_restart_opens_and_closes_nothing() {
    let lab = Lab::new();
    let (mut client, mut server) = open(&lab, "p-older");
    let is_client = [("comm", "p-older"), ("role", "client")];
    for _ in 0..3 {
        let agent = start(&["--no-node"]);
        exchange(&mut client);
        let page = agent.page_with(|page| page.sum(RESPONSES, &is_client) >= 1.0);
        assert_eq!(page.sum(RESPONSES, &is_client), 1.0, "the exchange of an older connection is seen");
        for name in [CONNECTS, ACCEPTS, CLOSES] {
            let seen: f64 =
                ["p-older", "p-older-s"].iter().map(|comm| page.sum(name, &[("comm", comm)])).sum();
            assert_eq!(seen, 0.0, "{name}: the connection was neither opened nor closed");
        }
        assert_eq!(
            page.sum("observer_tcp_sent_bytes_total", &is_client),
            4.0,
            "bytes since it was picked up"
        );
    }
    let agent = start(&["--no-node"]);
    client.go_on();
    end(&mut client);
    end(&mut server);
    let both = |page: &Page| page.sum(CLOSES, &is_client) + page.sum(CLOSES, &[("comm", "p-older-s")]);
    let page = agent.page_with(|page| both(page) >= 2.0);
    assert_eq!(both(&page), 2.0, "one close a side");
}

#[test]
fn the_level_changes_while_running() {
    let lab = Lab::new();
    let agent = start(&["--no-node", "--tcp-level", "outcomes"]);
    let set = |level| http::put_unix(agent.socket(), "/api/v1/tcp/level", level);
    let (mut client, mut server) = open(&lab, "p-level");
    let is_client = [("comm", "p-level"), ("role", "client")];
    let next_window = || {
        let now = agent.page().sum(WINDOWS, &[]);
        agent.page_with(|page| page.sum(WINDOWS, &[]) >= now + 2.0)
    };
    exchange(&mut client);
    let page = next_window();
    assert_eq!(page.sum(CONNECTS, &is_client), 1.0, "outcomes are always seen");
    assert_eq!(page.sum(RESPONSES, &is_client), 0.0, "exchanges are not watched yet");

    assert_eq!(set("exchanges").text(), "exchanges\n");
    exchange(&mut client);
    let page = agent.page_with(|page| page.sum(RESPONSES, &is_client) >= 1.0);
    assert_eq!(page.sum(RESPONSES, &is_client), 1.0, "now they are");

    assert_eq!(set("outcomes").text(), "outcomes\n");
    exchange(&mut client);
    let page = next_window();
    assert_eq!(page.sum(RESPONSES, &is_client), 1.0, "and no longer");
    assert_eq!(set("everything").status, 400);
    client.go_on();
    end(&mut client);
    end(&mut server);
    let page = agent.page_with(|page| page.sum(CLOSES, &is_client) >= 1.0);
    assert_eq!(page.sum(CLOSES, &is_client), 1.0);
}

/// Why do clients fail while the exporter says up? Because nobody accepts them.
#[test]
fn a_full_listen_queue_is_shown() {
    let lab = Lab::new();
    lab.client.sysctl("ipv4/tcp_syn_retries", "1");
    let agent = start(&["--no-node"]);
    let address = lab.service(Family::V4, PORT);
    let listen = Listen { backlog: 1, then: Then::Queue, ..Listen::once("") };
    let mut server = Start::new(&lab.server, "p-queue").serve(address, &listen);
    let script = "connect tcp connect tcp connect=ETIMEDOUT wait";
    let mut client = Start::new(&lab.client, "p-queued").play(address, script);
    client.expect("waiting");
    let port = PORT.to_string();
    let labels = [("comm", "p-queue"), ("port", port.as_str())];
    let shown = |page: &Page| {
        ["queue", "queue_limit"].map(|name| page.sum(&format!("observer_tcp_listen_{name}"), &labels))
    };
    let page = agent.page_with(|page| {
        shown(page) == [2.0, 1.0] && page.sum("observer_tcp_listen_overflows_total", &labels) > 0.0
    });
    assert_eq!(shown(&page), [2.0, 1.0], "two wait where one may");
    let dropped = Counters::read(&lab.server).get("ListenOverflows");
    let told = page.sum("observer_tcp_listen_overflows_total", &labels);
    assert_eq!(told, dropped as f64, "overflows as the kernel counts them");
    client.go_on();
    end(&mut client);
    server.release();
    end(&mut server);
}

#[test]
fn the_last_window_is_readable_until_the_end() {
    let lab = Lab::new();
    let address = lab.service(Family::V4, PORT);
    let mut agent = start(&["--no-node", "--linger", "20s"]);
    let shape =
        Talk { connections: 3, exchanges: 2, think: Duration::from_millis(1), linger: Duration::ZERO };
    let mut server = Start::new(&lab.server, "p-last-s").answer(address, &shape);
    let client = Start::new(&lab.client, "p-last").ask(address, &shape).measured();
    end(&mut server);
    agent.signal(libc::SIGTERM);
    let seen =
        |page: &Page| (page.sum(CONNECTS, &[("comm", "p-last")]), page.sum(RESPONSES, &[("comm", "p-last")]));
    let page = agent.page_with(|page| seen(page).1 >= 6.0);
    assert_eq!(
        seen(&page),
        (client.len() as f64, 6.0),
        "what happened just before the signal is on the last page"
    );
    // Whoever is in a hurry says so later.
    let seen = clock::now();
    let _last = agent.page_with(|_| seen.elapsed() >= Duration::from_secs(2));
    agent.signal(libc::SIGINT);
    let (code, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!agent.socket().exists(), "the socket is taken away");
}

#[test]
fn wrong_usage_is_explained() {
    for (args, names) in [
        (["run", "--listen", "nowhere"], "nowhere"),
        (["run", "--tcp-level", "all"], "all"),
        (["run", "--config", "/no/such/file.yml"], "/no/such/file.yml"),
        (["run", "--listen", "0.0.0.0:0"], "--allow-remote"),
    ] {
        let (code, _, stderr) = observer::run(Privileges::Root, &args);
        assert!(code.is_some_and(|code| code != 0), "{args:?}: {code:?} {stderr}");
        assert!(stderr.contains(names) && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}
