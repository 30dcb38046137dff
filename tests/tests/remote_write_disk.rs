//! A queue's disk that is full or read-only costs nothing that memory can hold, says so, and is used again.

use observer_tests::{
    clock,
    config::{Config, Directory},
    http,
    mounted::Mounted,
    page::Page,
    parallel,
    receiver::{Receiver, Reply},
    written::windows,
};

/// An agent whose queue is a file system of its own, and a receiver that is away.
struct Case {
    agent: Mounted,
    receiver: Receiver,
    queue: Directory,
    _config: Config,
}

impl Case {
    /// With these options of the file system.
    #[track_caller]
    fn start(options: &str) -> Self {
        let receiver = Receiver::start(|_, _| Reply::Take);
        receiver.close();
        let queue = Directory::new();
        let config = Config::new(&format!(
            "remote_write: [{{name: e, url: '{}', queue_config: {{spill_after: 0s, fsync: 1s, max_backoff: 200ms}}}}]\n\
             export: {{queue_dir: '{}'}}\n",
            receiver.url(),
            queue.path()
        ));
        let agent = Mounted::start(queue.path(), options, &["--config", config.path()]);
        Self { agent, receiver, queue, _config: config }
    }

    /// A line of the log, which is written once a second.
    #[track_caller]
    fn wait_for_line(&self, what: &str) -> String {
        let line = || self.agent.said().lines().find(|line| line.contains(what)).map(str::to_owned);
        clock::wait(line).unwrap_or_else(|| panic!("no `{what}` in\n{}", self.agent.said()))
    }

    /// The disk fails, which is told everywhere, and is mended after some windows, which then are safe on it. All are delivered.
    #[track_caller]
    fn check(mut self, error: &str, mended: &str) {
        let failing = |page: &Page| page.sum("observer_export_disk_failing", &[]);
        let waiting = |page: &Page, place| page.sum("observer_export_queue_samples", &[("place", place)]);
        let full = self.agent.wait_for("a disk that fails", |page| failing(page) == 1.0);
        assert!(full.sum("observer_export_disk_errors_total", &[]) >= 1.0, "{}", full.text);
        let told = http::get(self.agent.address, "/api/v1/status/exports", &[]).text();
        assert!(told.contains(r#""state":"disk failing","diskError":""#) && told.contains(error), "{told}");
        let line = self.wait_for_line("memory takes what the queue's disk does not");
        assert!(line.contains(error) && line.contains(self.queue.path()), "{line}");

        let closed = full.sum("observer_windows_total", &[]);
        let page = self.agent.wait_for("more windows", |page| {
            page.sum("observer_windows_total", &[]) >= closed + 3.0 && waiting(page, "memory") > 0.0
        });
        let durable = |page: &Page| page.sum("observer_export_durable_timestamp_seconds", &[]);
        let before = durable(&page);
        self.agent.remount(mended);
        let page = self.agent.wait_for("a disk that works", |page| {
            failing(page) == 0.0 && waiting(page, "memory") == 0.0 && durable(page) >= before + 3.0
        });
        assert!(waiting(&page, "disk") > 0.0, "{}", page.text);
        let told = http::get(self.agent.address, "/api/v1/status/exports", &[]).text();
        assert!(told.contains(r#""state":"disk","memory""#), "{told}");
        self.wait_for_line("the queue's disk works again after");

        let closed = page.sum("observer_windows_total", &[]);
        self.receiver.open();
        let page = self.agent.wait_for("delivery", |page| {
            page.sum("observer_export_queue_samples", &[]) == 0.0
                && page.sum("observer_windows_total", &[]) > closed
        });
        assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
        assert_eq!(page.sum("observer_export_disk_damaged_total", &[]), 0.0, "{}", page.text);
        let runs = windows(&self.receiver.taken());
        assert!(runs.len() == 1 && runs[0].len() as f64 >= closed, "{closed} {runs:?}");
    }
}

/// The file system at first, how it fails, and how it is mended.
const CASES: [(&str, &str, &str); 2] =
    [("size=32k", "No space left on device", "size=8m"), ("size=8m,ro", "Read-only file system", "rw")];

#[test]
fn a_full_disk_and_a_read_only_one_cost_no_window() {
    parallel::map(&CASES, |(options, error, mended)| Case::start(options).check(error, mended));
}
