//! `observer run --ndjson` to places that take no lines: what is lost is counted, and why is said once.

use std::{io::Read as _, os::unix::net::UnixListener};

use observer_tests::{config::Directory, observer::Agent, page::Page, privileges::Privileges};

const LOST: &str = "observer_export_windows_lost_total";

/// An agent that writes to that place, when it has lost a few windows of that cause.
#[track_caller]
fn losing(place: &str, cause: &str) -> Agent {
    let agent = Agent::start(Privileges::Root, &["--ndjson", place, "--no-tcp", "--no-node"]);
    let lost = |page: &Page| page.sum(LOST, &[("cause", cause)]);
    let page = agent.page_with(|page| lost(page) >= 3.0);
    assert!(lost(&page) >= 3.0 && page.sum(LOST, &[]) == lost(&page), "{}", page.text);
    agent
}

/// It ends, and has said that once.
#[track_caller]
fn said_once(agent: Agent, expected: &str) {
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" export `")).collect();
    assert!(lines.len() == 1 && lines[0].contains(expected), "{said}");
}

#[test]
fn a_full_disk_is_named_once() {
    let agent = losing("/dev/full", "disk_full");
    said_once(agent, "cannot write to `/dev/full`, windows are lost: No space left on device");
}

#[test]
fn a_reader_that_is_gone_is_named_once_and_gets_the_next_window() {
    let directory = Directory::new();
    let path = format!("{}/reader", directory.path());
    let agent = losing(&format!("unix:{path}"), "no_reader");
    let reader = UnixListener::bind(&path).expect("the directory is there");
    let (mut stream, _) = reader.accept().expect("it comes");
    let mut first = [0; 16];
    stream.read_exact(&mut first).expect("it writes");
    assert!(first.starts_with(b"{"), "{first:?}");
    said_once(agent, "windows are lost: No such file or directory");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("lines");
    assert!(rest.contains("\"cause\":\"no_reader\"") && rest.ends_with('\n'), "{rest}");
}
