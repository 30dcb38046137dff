//! `observer run --ndjson` to places that take no lines: what is lost is counted, and why is said once.

use std::{fs, io::Read as _, os::unix::net::UnixListener};

use observer_tests::{
    clock,
    config::{Config, Directory},
    mounted::Mounted,
    observer::Agent,
    page::Page,
    privileges::Privileges,
};
use serde_json::Value;

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

/// Files begin anew until the disk is full; when there is room, lines go on where the last whole one was.
#[test]
fn a_disk_that_fills_up_costs_windows_and_no_line() {
    let directory = Directory::new();
    let path = format!("{}/lines", directory.path());
    let config = Config::new(&format!(
        "export: {{ndjson: [{{name: e, path: '{path}', max_size: 100KiB, max_files: 99}}]}}\n"
    ));
    let mut agent = Mounted::start(directory.path(), "size=400k", &["--config", config.path()]);
    let lost = |page: &Page| page.sum(LOST, &[("cause", "disk_full")]);
    let page = agent.wait_for("a full disk", |page| lost(page) >= 2.0);
    assert_eq!(page.sum(LOST, &[]), lost(&page), "{}", page.text);
    agent.remount("size=8m");
    let delivered = |page: &Page| page.sum("observer_export_delivered_samples_total", &[]);
    let before = delivered(&page);
    let page = agent.wait_for("more lines", |page| delivered(page) > before + 500.0);
    let missing = lost(&page);

    let files = || {
        let numbered = (1..).map(|number| agent.file(&format!("lines.{number}")));
        let mut files: Vec<_> = numbered.take_while(|path| path.exists()).collect();
        files.reverse();
        files.push(agent.file("lines"));
        files
    };
    let read = || files().iter().map(fs::read_to_string).collect::<Result<String, _>>().ok();
    let text = clock::wait_for("files that stay while they are read", || {
        let (before, text) = (files().len(), read()?);
        (before >= 3 && files().len() == before).then_some(text)
    });
    // The window that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let windows: Vec<u64> = lines.iter().filter_map(|line| line["window"].as_u64()).collect();
    let told: u64 = lines.iter().filter_map(|line| line["windows"].as_u64()).sum();
    let (first, last) = (windows[0], windows[windows.len() - 1]);
    assert_eq!(windows.len() as u64 + told, last - first + 1, "each window is there or told to be lost");
    assert!(told as f64 >= missing && windows.is_sorted(), "{told} {missing} {windows:?}");
    let said = agent.said();
    assert_eq!(said.matches("windows are lost: No space left on device").count(), 1, "{said}");
    assert!(said.contains("takes lines again"), "{said}");
}
