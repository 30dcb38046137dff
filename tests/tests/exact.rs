//! Under load every request is counted once, however often a sweep takes figures out of a socket that is in use.

use std::process::Command;

use observer_tests::{exporter, observer::Agent, page::Page, privileges::Privileges};

const REQUESTS: u32 = 200_000;

#[test]
fn every_request_is_one_exchange_on_both_sides() {
    let Some((_server, address)) = exporter::redis() else { return };
    let port = address.port().to_string();
    let agent = Agent::start(Privileges::Root, &[]);
    // CSV leaves out the progress lines; one command, so that the number of requests is known.
    let benchmark = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", "set", "-c", "50", "--csv", "-n", &REQUESTS.to_string()])
        .output()
        .expect("redis-benchmark is installed: run `cargo xtask setup --tests`");
    assert!(benchmark.status.success(), "{}", String::from_utf8_lossy(&benchmark.stderr));

    let labels = |role| [("role", role), ("port", port.as_str())];
    let of = |page: &Page, role, name: &str| page.sum(name, &labels(role));
    let ends = |page: &Page, role| of(page, role, "observer_tcp_closes_total");
    let page = agent.page_with(|page| {
        let opened = of(page, "client", "observer_tcp_connects_total");
        opened > 0.0 && ends(page, "client") == opened && ends(page, "server") == opened
    });
    let count = |role, name: &str| of(&page, role, &format!("observer_tcp_{name}_seconds_count"));
    // Before its load the benchmark asks once for the server's settings.
    let exchanges = f64::from(REQUESTS) + 1.0;
    assert_eq!(count("client", "response"), exchanges);
    assert_eq!(count("server", "service"), exchanges);
    assert_eq!(count("client", "receive_wait"), exchanges);
    assert_eq!(count("server", "receive_wait"), exchanges);
    for (one, other) in [("sent", "received"), ("received", "sent")] {
        let bytes = |role, way| of(&page, role, &format!("observer_tcp_{way}_bytes_total"));
        assert_eq!(bytes("client", one), bytes("server", other));
    }
    assert_eq!(page.sum("observer_events_lost_total", &[("cause", "ring")]), 0.0);
}
