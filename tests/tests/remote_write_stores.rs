//! Remote write into real stores: each sample that was sent is there once, with its time and value.

use std::net::SocketAddr;

use observer_tests::{
    clock,
    config::Config,
    exporter, http,
    observer::Agent,
    page::Page,
    privileges::Privileges,
    receiver::{Receiver, Reply},
    store::{Kind, Store},
    written::{self, STALE, Written},
};

/// Without the ends of series, which stores do not give out, in the order of time.
fn comparable(mut written: Written) -> Written {
    for samples in written.values_mut() {
        samples.retain(|(_, bits)| *bits != STALE);
        samples.sort_unstable();
    }
    written.retain(|_, samples| !samples.is_empty());
    written
}

/// Equal, or as near as a store that keeps decimals comes.
fn is_equal(one: u64, other: u64, exact: bool) -> bool {
    let (a, b) = (f64::from_bits(one), f64::from_bits(other));
    one == other || (a.is_nan() && b.is_nan()) || (!exact && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()))
}

#[track_caller]
fn same(sent: &Written, stored: &Written, exact: bool) -> Result<(), String> {
    if sent.len() != stored.len() {
        return Err(format!("{} series were sent, {} are there", sent.len(), stored.len()));
    }
    for (labels, samples) in sent {
        let there = stored.get(labels).ok_or_else(|| format!("no {labels:?}"))?;
        let times = |samples: &[(i64, u64)]| samples.iter().map(|(time, _)| *time).collect::<Vec<_>>();
        if times(samples) != times(there) {
            return Err(format!("{labels:?}: {:?} were sent, {:?} are there", times(samples), times(there)));
        }
        let odd = samples.iter().zip(there).find(|((_, one), (_, other))| !is_equal(*one, *other, exact));
        if let Some(((time, one), (_, other))) = odd {
            let (one, other) = (f64::from_bits(*one), f64::from_bits(*other));
            return Err(format!("{labels:?} at {time}: {one} was sent, {other} is there"));
        }
    }
    Ok(())
}

/// Writes windows into a store and, beside it, to a receiver that keeps what comes; the store ends in between.
#[track_caller]
fn check(kind: Kind, outage: f64, windows: f64) {
    written_by(kind, "snappy", outage, windows);
}

/// As [`check`]; how requests of version 1 are compressed, and what the agent says of it.
#[track_caller]
fn written_by(kind: Kind, compression: &str, outage: f64, windows: f64) -> String {
    let Some(mut store) = Store::start(kind) else { return String::new() };
    let receiver = Receiver::start(|_, _| Reply::Take);
    let config = Config::new(&format!(
        "remote_write: [{{url: '{}', compression: {compression}}}, {{url: '{}'}}]\n",
        store.url(),
        receiver.url()
    ));
    let agent =
        Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--shutdown-grace", "20s"]);
    let closed = |count: f64| {
        let page = agent.page_with(|page| page.sum("observer_windows_total", &[]) >= count);
        assert!(page.sum("observer_windows_total", &[]) >= count, "{}", page.text);
    };
    closed(3.0);
    match kind {
        Kind::Prometheus => store.kill(),
        // It keeps what it has confirmed in memory for a second.
        Kind::Victoria => store.stop(),
    }
    closed(3.0 + outage);
    store.run();
    closed(windows);
    let status = http::get_unix(agent.socket(), "/api/v1/status/exports").text();
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let sent = comparable(receiver.taken());
    assert!(sent.len() > 200, "{} series", sent.len());
    let exact = kind == Kind::Prometheus;
    // A store may take a moment until it finds what it has.
    let there = || same(&sent, &comparable(store.samples()), exact);
    if clock::wait(|| there().ok()).is_none() {
        panic!("{}\n{said}\n{}", there().unwrap_err(), store.said());
    }
    status
}

#[test]
fn prometheus_has_every_sample_once() {
    check(Kind::Prometheus, 3.0, 9.0);
}

#[test]
fn victoria_metrics_has_every_sample_once() {
    check(Kind::Victoria, 3.0, 9.0);
}

/// It takes zstd at once, and says so when it is asked.
#[test]
fn victoria_metrics_has_every_sample_once_in_zstd() {
    for compression in ["zstd", "auto"] {
        let status = written_by(Kind::Victoria, compression, 2.0, 8.0);
        assert!(status.is_empty() || status.contains("remote write 1.0, zstd"), "{compression}: {status}");
    }
}

/// Nor does it lose anything to the question, or to a request that it does not understand.
#[test]
fn prometheus_has_every_sample_once_though_zstd_was_tried() {
    let status = written_by(Kind::Prometheus, "zstd", 2.0, 8.0);
    assert!(status.is_empty() || status.contains("\"remote write 1.0\""), "{status}");
}

/// Ten minutes, the second of which the store is away. `cargo xtask delivery` runs it.
#[test]
#[ignore = "takes ten minutes"]
fn prometheus_has_ten_minutes_once() {
    long(Kind::Prometheus);
}

/// Ten minutes, the second of which the store is away. `cargo xtask delivery` runs it.
#[test]
#[ignore = "takes ten minutes"]
fn victoria_metrics_has_ten_minutes_once() {
    long(Kind::Victoria);
}

#[track_caller]
fn long(kind: Kind) {
    clock::with_patience(std::time::Duration::from_secs(700), || check(kind, 60.0, 600.0));
}

/// A page with a sample that no Prometheus takes: its time is far ahead.
fn page_with_a_bad_sample() -> SocketAddr {
    exporter::scripted("text/plain", |number| {
        format!("good 1\nbad 1 {}\nlater 1\n", 9_999_999_999_000 + number).into_bytes()
    })
}

/// One sample that Prometheus refuses costs the others nothing, though version 1 takes back the whole request for it.
#[track_caller]
fn refused(message: &str, cause: &str) {
    let Some(store) = Store::start(Kind::Prometheus) else { return };
    let page = page_with_a_bad_sample();
    let config = Config::new(&format!(
        "remote_write: [{{name: e, url: '{}', protobuf_message: {message}}}]\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{page}']}}]}}]\n",
        store.url()
    ));
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    let dropped = |page: &Page| page.sum("observer_export_dropped_samples_total", &[("cause", cause)]);
    let page = agent.page_with(|page| dropped(page) >= 3.0);
    assert!(dropped(&page) >= 3.0, "{}", page.text);
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), dropped(&page), "{}", page.text);
    let status = http::get_unix(agent.socket(), "/api/v1/status/exports").text();
    assert!(status.contains("lastRefusal") && status.contains("bounds"), "{status}");
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let stored = store.samples();
    let runs = written::windows(&stored);
    assert!(runs.len() == 1 && runs[0].len() >= 4, "{runs:?}");
    for (name, is_there) in [("good", true), ("later", true), ("bad", false)] {
        assert_eq!(stored.keys().any(|labels| labels["__name__"] == name), is_there, "{name}");
    }
}

#[test]
fn prometheus_refuses_one_sample_of_version_1_and_has_the_others() {
    refused("prometheus.WriteRequest", "status_400");
}

#[test]
fn prometheus_refuses_one_sample_of_version_2_and_has_the_others() {
    refused("io.prometheus.write.v2.Request", "refused");
}
