//! Nothing is lost in silence: a flood overflows a deliberately tiny ring, the totals stay exact, and the loss is shown.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use observer_tests::{
    clock,
    counters::Counters,
    lab::{Family, Lab},
    netns::Netns,
    observer::Agent,
    page::{Page, Sample},
    privileges::Privileges,
    program::Start,
    serve::Listen,
};

const CONNECTIONS: u32 = 5_000;
const CLIENT: &str = "x-flood";
const SERVER: &str = "x-flooded";

/// Connects and accepts of the whole machine, without what never sent a SYN.
fn totals(page: &Page) -> (f64, f64) {
    let connects = page.sum("observer_tcp_connects_total", &[]);
    let local = page.sum("observer_tcp_connects_total", &[("outcome", "local_error")]);
    (connects - local, page.sum("observer_tcp_accepts_total", &[]))
}

/// What the kernel counted of the same, by network namespace.
fn machine() -> BTreeMap<PathBuf, (f64, f64)> {
    let both = |counters: Counters| (counters.get("ActiveOpens") as f64, counters.get("PassiveOpens") as f64);
    Counters::of_the_machine().into_iter().map(|(namespace, counters)| (namespace, both(counters))).collect()
}

/// A page and what the kernel counted, of a time at which nothing was going on, so that they are about the same.
#[track_caller]
fn quiet(agent: &Agent) -> (Page, BTreeMap<PathBuf, (f64, f64)>) {
    const WINDOWS: &str = "observer_windows_total";
    clock::wait_for("a second in which nobody on this machine connects", || {
        let (before, windows) = (machine(), agent.page().sum(WINDOWS, &[]));
        // The window that was open then, and a whole one.
        let page = agent.page_with(|page| page.sum(WINDOWS, &[]) >= windows + 2.0);
        (machine() == before).then_some((page, before))
    })
}

/// Connects over and over on loopback in a namespace of their own, and checks that the kernel counted them.
fn flood(namespace: &Netns) {
    let before = Counters::read(namespace);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000));
    // Long enough that no request is dropped, and sent again a second later.
    let backlog = 4096;
    let listen = Listen { backlog, connections: CONNECTIONS as usize, ..Listen::once("recv:1=EOF close") };
    let mut server = Start::new(namespace, SERVER).serve(address, &listen);
    let mut client = Start::new(namespace, CLIENT).play_times(address, "connect close", CONNECTIONS);
    for program in [&mut client, &mut server] {
        program.end().unwrap_or_else(|error| panic!("{error}"));
    }
    let counted = Counters::read(namespace).since(&before);
    for name in ["ActiveOpens", "PassiveOpens"] {
        assert_eq!(counted.get(name), i64::from(CONNECTIONS), "{name}");
    }
}

/// Floods between two quiet moments, and holds the page against the kernel.
///
/// The agent sees the whole machine. If others connect meanwhile, in namespaces that are gone before they can be read, the
/// comparison is not possible, and there is no page to look at.
#[track_caller]
fn flooded(agent: &Agent, namespace: &Netns) -> Option<Page> {
    let (first, then) = quiet(agent);
    flood(namespace);
    let (page, now) = quiet(agent);
    let told = minus(totals(&page), totals(&first));
    let counted = now.iter().fold((0.0, 0.0), |sum, (namespace, now)| {
        let grown = minus(*now, then.get(namespace).copied().unwrap_or_default());
        (sum.0 + grown.0, sum.1 + grown.1)
    });
    let alone = then.keys().eq(now.keys()) && counted == (CONNECTIONS.into(), CONNECTIONS.into());
    if told == counted {
        return Some(page);
    }
    assert!(!alone, "connects and accepts: {told:?} on the page, {counted:?} in the kernel");
    None
}

fn minus(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    (one.0 - other.0, one.1 - other.1)
}

#[test]
fn an_overflow_is_shown_and_the_totals_are_exact() {
    const ATTEMPTS: usize = 5;
    let namespace = Netns::new();
    // A process keeps the namespace visible below /proc.
    let _visible = Start::new(&namespace, "x-keeper").play((Ipv4Addr::LOCALHOST, 1).into(), "wait");
    let agent = Agent::start(Privileges::Root, &["--no-node", "--ring-size", "4096"]);
    let page = (1..=ATTEMPTS).find_map(|attempt| Some((attempt, flooded(&agent, &namespace)?)));
    let (floods, page) = page.expect("others connect on this machine all the time");
    let connections = floods as f64 * f64::from(CONNECTIONS);

    let seen = |name: &str, comm: &str| page.sum(name, &[("comm", comm)]);
    let lost = |name: &str| page.sum(name, &[("peer", "(lost)")]);
    for (name, comm) in [
        ("observer_tcp_connects_total", CLIENT),
        ("observer_tcp_accepts_total", SERVER),
        ("observer_tcp_closes_total", CLIENT),
    ] {
        let (seen, lost) = (seen(name, comm), lost(name));
        assert!(lost > 0.0, "{name}: the ring was too large to lose anything ({seen} seen)");
        assert!(seen < connections, "{name}: {seen} seen although some were lost");
        assert!(seen + lost >= connections, "{name}: {seen} seen and {lost} lost of {connections}");
    }
    let successes = page.sum("observer_tcp_connects_total", &[("peer", "(lost)"), ("outcome", "success")]);
    assert!(successes > 0.0, "the outcome of what was lost is known: {successes}");
    assert!(page.sum("observer_events_lost_total", &[("cause", "ring")]) > 0.0, "the loss is counted");
}

#[test]
fn a_ring_of_the_usual_size_loses_nothing() {
    let namespace = Netns::new();
    let agent = Agent::start(Privileges::Root, &["--no-node"]);
    flood(&namespace);
    let seen = |page: &Page, name: &str, comm: &str| page.sum(name, &[("comm", comm)]);
    let all = |page: &Page| {
        seen(page, "observer_tcp_connects_total", CLIENT) >= CONNECTIONS.into()
            && seen(page, "observer_tcp_accepts_total", SERVER) >= CONNECTIONS.into()
    };
    let page = agent.page_with(all);
    assert_eq!(seen(&page, "observer_tcp_connects_total", CLIENT), f64::from(CONNECTIONS));
    assert_eq!(seen(&page, "observer_tcp_accepts_total", SERVER), f64::from(CONNECTIONS));
    assert_eq!(page.sum("observer_events_lost_total", &[("cause", "ring")]), 0.0);
}

/// What exceeds the budget of label groups keeps its place in the sums, under a name of its own.
#[test]
fn over_budget_is_shown_as_other() {
    const PROGRAMS: usize = 20;
    let lab = Lab::new();
    let agent = Agent::start(Privileges::Root, &["--no-node", "--tcp-groups", "8"]);
    let address = lab.service(Family::V4, 7000);
    for number in 0..PROGRAMS {
        let mut program =
            Start::new(&lab.client, &format!("x-{number}")).play(address, "connect=ECONNREFUSED close");
        program.end().unwrap_or_else(|error| panic!("{error}"));
    }
    let refused = |page: &Page| page.sum("observer_tcp_connects_total", &[("outcome", "refused")]);
    let page = agent.page_with(|page| refused(page) >= PROGRAMS as f64);
    let is_ours = |sample: &&Sample| sample.labels.get("comm").is_some_and(|comm| comm.starts_with("x-"));
    let ours: f64 =
        page.of("observer_tcp_connects_total", &[]).filter(is_ours).map(|sample| sample.value).sum();
    let other = page.sum("observer_tcp_connects_total", &[("peer", "(other)"), ("outcome", "refused")]);
    assert!(ours < PROGRAMS as f64 && other > 0.0, "{ours} named, {other} others");
    assert!(ours + other >= PROGRAMS as f64, "{ours} named and {other} others of {PROGRAMS}");
    let budget = ["groups", "groups_limit", "groups_folded_total"];
    let [used, limit, folded] = budget.map(|name| page.sum(&format!("observer_tcp_{name}"), &[]));
    assert!(used <= limit && limit == 8.0, "{used} groups of {limit}");
    assert!(folded >= other, "{folded} folded");
}
