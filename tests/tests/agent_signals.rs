//! What signals end, and what more of them do.

use std::time::Duration;

use observer_tests::{clock, observer::Agent, page::Page, privileges::Privileges};

/// Longer than two signals can be one.
const LATER: Duration = Duration::from_millis(2500);

/// An agent that lingers for a minute, a while after its first signal, and what else it was sent at once.
#[track_caller]
fn ending(first: libc::c_int, at_once: &[libc::c_int]) -> Agent {
    let agent = Agent::start(Privileges::Root, &["--no-tcp", "--no-node", "--linger", "60s"]);
    let sent = clock::now();
    agent.signal(first);
    at_once.iter().for_each(|signal| agent.signal(*signal));
    lives(&agent, sent, LATER);
    agent
}

/// It can still be read until then.
#[track_caller]
fn lives(agent: &Agent, since: std::time::Instant, to: Duration) {
    let seen = |_: &Page| since.elapsed() >= to;
    assert!(seen(&agent.page_with(seen)));
}

/// It does not wait for the minute to be over.
#[track_caller]
fn ends(mut agent: Agent) {
    let (code, said) = agent.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_second_signal_at_once_is_the_same_signal() {
    for (first, second) in
        [(libc::SIGTERM, libc::SIGTERM), (libc::SIGTERM, libc::SIGINT), (libc::SIGINT, libc::SIGINT)]
    {
        let agent = ending(first, &[second, second]);
        agent.signal(libc::SIGINT);
        ends(agent);
    }
}

#[test]
fn sigterm_again_and_again_ends_nothing_sooner() {
    let agent = ending(libc::SIGTERM, &[]);
    let sent = clock::now();
    let _page = agent.page_with(|_| {
        agent.signal(libc::SIGTERM);
        sent.elapsed() >= LATER
    });
    lives(&agent, sent, LATER);
    agent.signal(libc::SIGINT);
    ends(agent);
}
