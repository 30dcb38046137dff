//! The wall clock is set while the agent runs: every sample is delivered or counted, and time goes on.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use observer_tests::{
    config::{Config, Directory},
    daemon::{self, Daemon, scratch},
    http, observer,
    page::Page,
    parallel,
    receiver::{Receiver, Reply},
    written::{self, STALE},
};

/// A wall clock for one process.
struct Wall(PathBuf);

impl Wall {
    fn new() -> Self {
        let wall = Self(scratch("clock"));
        wall.set(0);
        wall
    }

    /// So many seconds off from now on.
    fn set(&self, seconds: i64) {
        // By a rename: the process reads it at each look at its clock.
        let beside = self.0.with_extension("next");
        fs::write(&beside, format!("{seconds:+}")).expect("a temporary file can be written");
        fs::rename(&beside, &self.0).expect("a temporary file can be renamed");
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        // What is left is temporary anyway.
        let _ = fs::remove_file(&self.0);
    }
}

/// The library that gives a process a wall clock of its own, where it is installed.
fn library() -> Option<PathBuf> {
    let name = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    daemon::tool(&name)
}

/// An agent with a clock of its own, and its receiver.
struct Stepped {
    agent: Daemon,
    address: SocketAddr,
    receiver: Receiver,
    wall: Wall,
    _config: Config,
    _queue: Directory,
}

impl Stepped {
    #[track_caller]
    fn start(library: &Path) -> Self {
        let (receiver, queue, wall) = (Receiver::start(|_, _| Reply::Take), Directory::new(), Wall::new());
        let config = Config::new(&format!(
            "remote_write: [{{name: e, url: '{}', queue_config: {{spill_after: 0s, max_backoff: 200ms}}}}]\n\
             export: {{queue_dir: '{}'}}\n",
            receiver.url(),
            queue.path()
        ));
        let address = daemon::free_address();
        let mut command = Command::new(observer::binary());
        command
            .args(["run", "--config", config.path(), "--no-tcp", "--no-node"])
            .args(["--listen", &address.to_string()])
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &wall.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut agent = Daemon::spawn(command);
        agent.wait_for_port(address);
        Self { agent, address, receiver, wall, _config: config, _queue: queue }
    }

    #[track_caller]
    fn page_with(&mut self, what: &str, ready: impl Fn(&Page) -> bool) -> Page {
        let address = self.address;
        let page = || Page::parse(&http::get(address, "/metrics", &[]).text());
        self.agent.wait_for(what, || Some(page()).filter(&ready))
    }

    /// Waits until so many more windows are closed.
    #[track_caller]
    fn windows(&mut self, more: f64) {
        let closed = self.page_with("a page", |_| true).sum("observer_windows_total", &[]);
        let _page =
            self.page_with("windows", |page| page.sum("observer_windows_total", &[]) >= closed + more);
    }

    /// Ends it well. Gives the windows that came, in the order in which they came: their times and numbers.
    #[track_caller]
    fn end(mut self) -> Vec<(i64, u64)> {
        self.agent.stop();
        let mut came = Vec::new();
        for request in self.receiver.requests().iter().filter(|request| request.taken) {
            let samples = written::only(&request.written, "observer_windows_total").iter();
            let samples = samples.filter(|(_, bits)| *bits != STALE);
            came.extend(samples.map(|(time, bits)| (*time, f64::from_bits(*bits) as u64)));
        }
        assert!(came.is_sorted_by(|(_, one), (_, other)| one < other), "each once, in order: {came:?}");
        came
    }
}

fn lost(page: &Page) -> f64 {
    page.sum("observer_export_windows_lost_total", &[("cause", "clock")])
}

/// Whether each time is behind the one before.
fn rises(came: &[(i64, u64)]) -> bool {
    came.is_sorted_by(|(one, _), (other, _)| one < other)
}

fn last(came: &[(i64, u64)]) -> u64 {
    came.last().expect("some came").1
}

/// Each is mostly waiting.
const STEPS: [fn(&Path); 5] = [
    a_second_more_or_less_costs_no_window,
    a_few_seconds_back_cost_as_many_windows,
    an_hour_forward_is_a_gap_and_what_waits_is_delivered,
    a_day_forward_drops_what_waits_and_counts_it,
    an_hour_back_is_believed,
];

#[test]
fn each_step_costs_what_the_documents_say() {
    let Some(library) = library() else { return };
    parallel::map(&STEPS, |check| check(&library));
}

fn a_second_more_or_less_costs_no_window(library: &Path) {
    let mut agent = Stepped::start(library);
    agent.windows(2.0);
    for seconds in [1, 0, -1, 0] {
        agent.wall.set(seconds);
        agent.windows(2.0);
    }
    let page = agent.page_with("a page", |_| true);
    assert_eq!(lost(&page), 0.0, "{}", page.text);
    let came = agent.end();
    assert!(rises(&came), "{came:?}");
    assert_eq!((came[0].1, came.len() as u64), (1, last(&came)), "{came:?}");
}

fn a_few_seconds_back_cost_as_many_windows(library: &Path) {
    let mut agent = Stepped::start(library);
    agent.windows(2.0);
    agent.wall.set(-4);
    let page = agent.page_with("windows that are lost", |page| lost(page) >= 3.0);
    let status = http::get(agent.address, "/api/v1/status/exports", &[]).text();
    assert!(status.contains("the clock is"), "{status}");
    assert!(page.sum("observer_windows_total", &[]) >= 5.0, "{}", page.text);
    // It catches up.
    let requests = agent.receiver.requests().len();
    agent.receiver.wait_for("more windows", |now| now.len() >= requests + 2);
    let page = agent.page_with("a page", |_| true);
    let lost = lost(&page);
    assert!(lost <= 5.0, "{}", page.text);
    let came = agent.end();
    assert!(rises(&came), "{came:?}");
    assert_eq!(last(&came) - came.len() as u64, lost as u64, "{came:?}");
}

/// What waits is an hour older then, and not too old. The hour is a gap.
fn an_hour_forward_is_a_gap_and_what_waits_is_delivered(library: &Path) {
    let mut agent = Stepped::start(library);
    agent.windows(2.0);
    agent.receiver.close();
    agent.windows(2.0);
    agent.wall.set(3600);
    agent.windows(2.0);
    agent.receiver.open();
    let page = agent.page_with("delivery", |page| page.sum("observer_export_queue_samples", &[]) == 0.0);
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    assert_eq!(lost(&page), 0.0, "{}", page.text);
    let came = agent.end();
    assert!(rises(&came), "{came:?}");
    assert_eq!((came[0].1, came.len() as u64), (1, last(&came)), "{came:?}");
    let gaps = came.windows(2).filter(|pair| pair[1].0 - pair[0].0 > 3_590_000);
    assert_eq!(gaps.count(), 1, "{came:?}");
}

/// What waits is too old then, and counted.
fn a_day_forward_drops_what_waits_and_counts_it(library: &Path) {
    let mut agent = Stepped::start(library);
    agent.receiver.close();
    agent.windows(3.0);
    agent.wall.set(86_400);
    agent.windows(2.0);
    let age = |page: &Page| page.sum("observer_export_dropped_samples_total", &[("cause", "age")]);
    let _page = agent.page_with("samples that are too old", |page| age(page) > 0.0);
    agent.receiver.open();
    let sum = |page: &Page, what: &str| page.sum(&format!("observer_export_{what}_samples_total"), &[]);
    let page = agent.page_with("delivery", |page| {
        sum(page, "delivered") > 0.0 && page.sum("observer_export_queue_samples", &[]) == 0.0
    });
    assert_eq!(sum(&page, "dropped"), age(&page), "{}", page.text);
    let came = agent.end();
    assert!(rises(&came) && came[0].1 >= 3, "{came:?}");
    assert_eq!(last(&came) - came[0].1 + 1, came.len() as u64, "{came:?}");
}

/// That is no correction but the truth: what comes is of then.
fn an_hour_back_is_believed(library: &Path) {
    let mut agent = Stepped::start(library);
    agent.windows(2.0);
    agent.wall.set(-3600);
    agent.windows(3.0);
    let page = agent.page_with("a page", |_| true);
    assert_eq!(lost(&page), 0.0, "{}", page.text);
    let came = agent.end();
    assert_eq!((came[0].1, came.len() as u64), (1, last(&came)), "{came:?}");
    let back: Vec<i64> =
        came.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step <= 0).collect();
    assert!(back.len() == 1 && back[0] > -3_605_000 && back[0] < -3_590_000, "{came:?}");
}
