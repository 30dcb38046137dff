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
        durable = kill(&mut agent, durable, random.hash_one(round));
        receiver.open();
    }
    let runs = runs_with_a_last(&config, &receiver, durable);
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
    receiver.slow(20_000);
    for round in 0..times {
        let mut agent = start(&config);
        let before = durable.last().copied().unwrap_or(0);
        durable.push(kill(&mut agent, before, random.hash_one(round)));
    }
    receiver.slow(u32::MAX);
    // Whatever was under way comes again as a whole and the same, and nothing before it is missing.
    let runs = runs_with_a_last(&config, &receiver, durable.last().copied().unwrap_or(0));
    assert_eq!(runs.len() as u32, times + 1, "{runs:?}");
    for (run, durable) in runs.iter().zip(&durable) {
        assert!(run.last().is_some_and(|end| end >= durable), "{durable} {run:?}");
    }
}

/// Kills an agent at some moment of the second after something new has become durable, and says what had by then.
#[track_caller]
fn kill(agent: &mut Agent, before: i64, moment: u64) -> i64 {
    let more = clock::wait(|| Some(durable_ms(&agent.page())).filter(|ms| *ms > before));
    let more = more.unwrap_or_else(|| panic!("nothing becomes durable: {}", agent.stderr()));
    clock::pause(Duration::from_millis(moment % 1000));
    let durable = more.max(durable_ms(&agent.page()));
    agent.signal(libc::SIGKILL);
    let _ = agent.end();
    durable
}

/// Lets one more agent deliver all that waits, and says which windows the receiver has of each.
#[track_caller]
fn runs_with_a_last(config: &Config, receiver: &Receiver, durable: i64) -> Vec<Vec<i64>> {
    let last = start(config);
    receiver.wait_for("windows of the last", |requests| {
        requests.iter().any(|request| request.taken && ends(request).any(|end| end > durable))
    });
    let page = last.page_with(|page| page.sum("observer_export_queue_samples", &[]) == 0.0);
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    let (code, said) = last.stop();
    assert_eq!(code, Some(0), "{said}");
    windows(&receiver.taken())
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
