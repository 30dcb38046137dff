//! What waits for a receiver outlives the agent.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _, time::Duration};

use observer_tests::{
    clock,
    config::{Config, Directory},
    observer::Agent,
    page::Page,
    privileges::Privileges,
    receiver::{Receiver, Reply, Request},
    written::windows,
};

/// Everything goes to disk at once.
fn config(receiver: &Receiver, queue: &Directory) -> Config {
    Config::new(&format!(
        "remote_write: [{{name: e, url: '{}', queue_config: {{spill_after: 0s, fsync: 1s, max_backoff: 200ms}}}}]\n\
         export: {{queue_dir: '{}', shutdown_grace: 10s}}\n",
        receiver.url(),
        queue.path()
    ))
}

#[track_caller]
fn start(config: &Config) -> Agent {
    Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"])
}

fn durable_ms(page: &Page) -> i64 {
    (page.sum("observer_export_durable_timestamp_seconds", &[]) * 1000.0) as i64
}

/// Kills the agent at some moment of an outage, again and again. Each time it starts anew, what it had reported as durable comes.
#[track_caller]
fn killed(times: u32) {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let queue = Directory::new();
    let config = config(&receiver, &queue);
    let random = RandomState::new();
    let mut durable = 0;
    for round in 0..times {
        receiver.close();
        let mut agent = start(&config);
        let more = clock::wait(|| Some(durable_ms(&agent.page())).filter(|ms| *ms > durable));
        durable =
            more.unwrap_or_else(|| panic!("round {round}: nothing becomes durable: {}", agent.stderr()));
        // Some moment of the next second.
        clock::pause(Duration::from_millis(random.hash_one(round) % 1000));
        durable = durable.max(durable_ms(&agent.page()));
        agent.signal(libc::SIGKILL);
        let _ = agent.end();
        receiver.open();
    }
    let last = start(&config);
    receiver.wait_for("windows of the last", |requests| {
        requests.iter().any(|request| ends(request).any(|end| end > durable))
    });
    let page = last.page_with(|page| page.sum("observer_export_queue_samples", &[]) == 0.0);
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    let (code, said) = last.stop();
    assert_eq!(code, Some(0), "{said}");
    let runs = windows(&receiver.taken());
    assert_eq!(runs.len() as u32, times + 1, "{runs:?}");
    assert!(runs[runs.len() - 2].last().is_some_and(|end| *end >= durable), "{durable} {runs:?}");
}

/// Kills the agent while it delivers to a receiver that takes its time: with requests under way, with answers that it has not noted,
/// and behind an earlier kill.
#[track_caller]
fn killed_under_way(times: u32) {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let queue = Directory::new();
    let config = config(&receiver, &queue);
    let random = RandomState::new();
    let mut durable = Vec::new();
    for round in 0..times {
        receiver.slow(20_000);
        let mut agent = start(&config);
        let before = durable.last().copied().unwrap_or(0);
        let more = clock::wait(|| Some(durable_ms(&agent.page())).filter(|ms| *ms > before));
        let more =
            more.unwrap_or_else(|| panic!("round {round}: nothing becomes durable: {}", agent.stderr()));
        // Some moment of the next second.
        clock::pause(Duration::from_millis(random.hash_one(round) % 1000));
        durable.push(more.max(durable_ms(&agent.page())));
        agent.signal(libc::SIGKILL);
        let _ = agent.end();
    }
    receiver.slow(u32::MAX);
    let last = start(&config);
    let latest = durable.last().copied().unwrap_or(0);
    receiver.wait_for("windows of the last", |requests| {
        requests.iter().any(|request| request.taken && ends(request).any(|end| end > latest))
    });
    let page = last.page_with(|page| page.sum("observer_export_queue_samples", &[]) == 0.0);
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    let (code, said) = last.stop();
    assert_eq!(code, Some(0), "{said}");
    // Whatever was under way came again as a whole and the same, and nothing before it is missing.
    let runs = windows(&receiver.taken());
    assert_eq!(runs.len() as u32, times + 1, "{runs:?}");
    for (run, durable) in runs.iter().zip(&durable) {
        assert!(run.last().is_some_and(|end| end >= durable), "{durable} {run:?}");
    }
}

fn ends(request: &Request) -> impl Iterator<Item = i64> {
    request.written.values().flatten().map(|(time, _)| *time)
}

#[test]
fn what_was_durable_is_there_after_a_kill() {
    killed(3);
}

#[test]
fn what_was_durable_is_there_after_a_kill_under_way() {
    killed_under_way(3);
}

/// Minutes. `cargo xtask delivery` runs it.
#[test]
#[ignore = "takes minutes"]
fn what_was_durable_is_there_after_fifty_kills_under_way() {
    clock::with_patience(Duration::from_secs(120), || killed_under_way(50));
}

/// Minutes. `cargo xtask delivery` runs it.
#[test]
#[ignore = "takes minutes"]
fn what_was_durable_is_there_after_fifty_kills() {
    clock::with_patience(Duration::from_secs(120), || killed(50));
}
