//! The outcome matrix: every attempt to connect ends in exactly one row, with the right outcome, error and owner, and the
//! rows add up to the kernel's own counters.

use observer_tests::{
    lifecycle::{Sight, all, play},
    observer::Trace,
    privileges::Privileges,
};

/// Leads every life under one trace and holds the rows against them, as far as it said that it can see.
fn matrix(privileges: Privileges) -> Sight {
    let trace = Trace::start(privileges, &[]);
    let sight = Sight::told(&trace.stderr());
    let played = play(&all()).unwrap_or_else(|failures| panic!("{failures}"));
    let expected = played.iter().map(|life| life.expected_rows(sight)).sum();
    // Whether they come or not, what is missing is told below.
    let _ = trace.reaches(expected, |row| played.iter().any(|life| life.lab.owns(row)));
    let traced = trace.stop();
    let lost = &traced.summary["lost_rows"];
    let wrong: Vec<String> = played.iter().filter_map(|life| life.check_rows(&traced.rows, sight)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} lives have wrong rows ({lost} were lost):\n{}",
        wrong.len(),
        played.len(),
        wrong.join("\n")
    );
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    sight
}

#[test]
fn every_attempt_ends_in_one_row() {
    assert_eq!(matrix(Privileges::Root), Sight::Full);
}

/// The connect exit needs tracefs, which is root's, or trampolines, which not every kernel has.
#[test]
fn least_privileges_cost_only_what_is_said() {
    matrix(Privileges::Least);
}
