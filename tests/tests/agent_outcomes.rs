//! The outcome matrix on the agent's page: the counters have every attempt once, with its outcome, error and owner, and they
//! add up to the kernel's own.

use observer_tests::{
    lifecycle::{Sight, all, play},
    observer::Agent,
    page::Page,
    privileges::Privileges,
};

/// Leads every life under one agent and holds its page against them, as far as it said that it can see.
fn matrix(privileges: Privileges) -> (Page, Sight) {
    // Room for what others do on the machine meanwhile.
    let agent = Agent::start(privileges, &["--no-node", "--tcp-groups", "20000"]);
    let sight = Sight::told(&agent.stderr());
    let played = play(&all()).unwrap_or_else(|failures| panic!("{failures}"));
    let wrong = |page: &Page| -> Vec<String> {
        played.iter().filter_map(|life| life.check_page(page, sight)).collect()
    };
    let page = agent.page_with(|page| wrong(page).is_empty());
    let wrong = wrong(&page);
    let state = ["events_lost_total", "tcp_groups_folded_total", "windows_total", "windows_busy_total"]
        .map(|name| format!("{name} {}", page.sum(&format!("observer_{name}"), &[])));
    assert!(
        wrong.is_empty(),
        "{} of {} lives are wrong on the page ({state:?}):\n{}",
        wrong.len(),
        played.len(),
        wrong.join("\n")
    );
    let (code, stderr) = agent.stop();
    assert_eq!(code, Some(0), "{stderr}");
    (page, sight)
}

#[test]
fn the_page_has_every_attempt_once() {
    let (page, sight) = matrix(Privileges::Root);
    assert_eq!(sight, Sight::Full);
    // What the kernel skips may have been any socket's of the machine; the rows above are whole.
    for cause in ["ring", "storage"] {
        assert_eq!(page.sum("observer_events_lost_total", &[("cause", cause)]), 0.0, "{cause}");
    }
}

#[test]
fn least_privileges_cost_only_what_is_said() {
    let (page, sight) = matrix(Privileges::Least);
    let told: Vec<f64> = page
        .of("observer_feature_available", &[("feature", "connect_exit")])
        .map(|sample| sample.value)
        .collect();
    assert_eq!(told, [if sight == Sight::Full { 1.0 } else { 0.0 }]);
}
