//! The histograms on the page agree with what the programs measured by themselves.

use std::time::Duration;

use observer_tests::{
    exchange::{Measured, Talk},
    lab::{Family, Lab},
    observer::Agent,
    page::Page,
    privileges::Privileges,
    program::Start,
    quantile::near,
};

const PORT: u16 = 7000;
const CLIENT: &[(&str, &str)] = &[("comm", "h-client"), ("role", "client")];
const SERVER: &[(&str, &str)] = &[("comm", "h-server"), ("role", "server")];

/// Talks under an agent, and gives the page on which all of it is, and what the programs measured.
fn talk(lab: &Lab, shape: Talk) -> (Page, Vec<Measured>, Vec<Measured>) {
    talk_under(&["--no-node"], lab, shape)
}

fn talk_under(arguments: &[&str], lab: &Lab, shape: Talk) -> (Page, Vec<Measured>, Vec<Measured>) {
    let agent = Agent::start(Privileges::Root, arguments);
    let address = lab.service(Family::V4, PORT);
    let mut server = Start::new(&lab.server, "h-server").answer(address, &shape);
    let mut client = Start::new(&lab.client, "h-client").ask(address, &shape);
    let (client, server) = (client.measured(), server.measured());
    let all = f64::from(shape.connections);
    let closed = |page: &Page| {
        [CLIENT, SERVER].iter().all(|labels| page.sum("observer_tcp_closes_total", labels) >= all)
    };
    (agent.page_with(closed), client, server)
}

/// Holds a histogram against samples in nanoseconds: their number is exact; at each bound the cumulative count lies between
/// those of the samples with the bound moved by one bucket of a quarter octave; so does the sum.
#[track_caller]
fn check(page: &Page, name: &str, labels: &[(&str, &str)], samples: &[u64]) {
    const STEP: f64 = 1.189_207_115;
    let samples: Vec<f64> = samples.iter().map(|nanoseconds| *nanoseconds as f64 / 1e9).collect();
    let below = |bound: f64| samples.iter().filter(|seconds| **seconds <= bound).count() as f64;
    assert_eq!(page.sum(&format!("{name}_count"), labels), samples.len() as f64, "{name}_count");
    let buckets = page.buckets(name, labels);
    assert!(buckets.last().is_some_and(|(bound, _)| bound.is_infinite()), "{name}: {buckets:?}");
    for (bound, count) in &buckets {
        let (least, most) = (below(bound / STEP), below(bound * STEP));
        assert!(
            (least..=most).contains(count),
            "{name}: {count} up to {bound} s, the program measured {least} to {most}: {buckets:?}"
        );
    }
    let (told, measured) = (page.sum(&format!("{name}_sum"), labels), samples.iter().sum::<f64>());
    assert!((measured / STEP..=measured * STEP).contains(&told), "{name}_sum is {told}, measured {measured}");
}

fn all(measured: &[Measured], samples: fn(&Measured) -> &[u64]) -> Vec<u64> {
    measured.iter().flat_map(|one| samples(one).iter().copied()).collect()
}

#[test]
fn responses_services_and_late_reads() {
    let milliseconds = Duration::from_millis;
    for (think, linger) in [(1, 0), (5, 3), (20, 0), (100, 8)] {
        let shape =
            Talk { connections: 2, exchanges: 20, think: milliseconds(think), linger: milliseconds(linger) };
        let (page, client, server) = talk(&Lab::new(), shape);
        check(&page, "observer_tcp_response_seconds", CLIENT, &all(&client, |one| &one.turns));
        check(&page, "observer_tcp_service_seconds", SERVER, &all(&server, |one| &one.turns));
        if linger > 0 {
            check(&page, "observer_tcp_receive_wait_seconds", CLIENT, &all(&client, |one| &one.waits));
        }
        let bytes = |name: &str, labels| page.sum(&format!("observer_tcp_{name}_bytes_total"), labels);
        assert_eq!([bytes("sent", CLIENT), bytes("received", SERVER)], [40.0 * 200.0; 2], "requests");
        assert_eq!([bytes("sent", SERVER), bytes("received", CLIENT)], [40.0 * 400.0; 2], "responses");
    }
}

/// Sockets whose place another one has are counted as exactly as the others.
#[test]
fn sockets_without_a_place() {
    let think = Duration::from_millis(5);
    let shape = Talk { connections: 6, exchanges: 10, think, linger: Duration::ZERO };
    let (page, client, server) = talk_under(&["--no-node", "--tcp-places", "1"], &Lab::new(), shape);
    assert_eq!(page.sum("observer_tcp_places", &[]), 1.0);
    assert!(page.sum("observer_tcp_sockets_displaced_total", &[]) >= 1.0);
    check(&page, "observer_tcp_response_seconds", CLIENT, &all(&client, |one| &one.turns));
    check(&page, "observer_tcp_service_seconds", SERVER, &all(&server, |one| &one.turns));
    let bytes = |name: &str, labels| page.sum(&format!("observer_tcp_{name}_bytes_total"), labels);
    assert_eq!([bytes("sent", CLIENT), bytes("received", SERVER)], [60.0 * 200.0; 2], "requests");
    assert_eq!([bytes("sent", SERVER), bytes("received", CLIENT)], [60.0 * 400.0; 2], "responses");
}

#[test]
fn a_slow_path() {
    let mut lab = Lab::new();
    lab.slow_path(25);
    let think = Duration::from_millis(2);
    let (page, client, server) =
        talk(&lab, Talk { connections: 5, exchanges: 10, think, linger: Duration::ZERO });
    let connects: Vec<u64> = client.iter().map(|one| one.connect).collect();
    let success = [CLIENT, &[("outcome", "success")]].concat();
    check(&page, "observer_tcp_connect_duration_seconds", &success, &connects);
    check(&page, "observer_tcp_response_seconds", CLIENT, &all(&client, |one| &one.turns));
    check(&page, "observer_tcp_service_seconds", SERVER, &all(&server, |one| &one.turns));
    // Round-trip times are sampled once a window; the path is the same all the time.
    let mean = |of: fn(&Measured) -> u64, all: &[Measured]| {
        all.iter().map(of).sum::<u64>() as f64 / all.len() as f64 / 1e9
    };
    for (name, labels, measured) in [
        ("rtt", CLIENT, mean(|one| one.srtt, &client)),
        ("min_rtt", CLIENT, mean(|one| one.min_rtt, &client)),
        ("rtt", SERVER, mean(|one| one.srtt, &server)),
        ("min_rtt", SERVER, mean(|one| one.min_rtt, &server)),
    ] {
        let name = format!("observer_tcp_{name}_seconds");
        let count = page.sum(&format!("{name}_count"), labels);
        assert!(count > 0.0, "{name} has no samples");
        let told = page.sum(&format!("{name}_sum"), labels) / count;
        assert!(near(told, measured), "{name}: {told} on average, the programs were told {measured}");
    }
}
