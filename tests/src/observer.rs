//! A running agent.

mod process;

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use serde_json::Value;

use self::process::Process;
use crate::{binaries, clock, http, page::Page, privileges::Privileges, row::Row};

/// The program, for commands that end by themselves.
#[must_use]
pub fn binary() -> PathBuf {
    binaries::observer()
}

/// `observer trace -o ndjson`, stopped and reaped when dropped.
pub struct Trace {
    process: Process,
    rows: Arc<Mutex<Vec<Row>>>,
}

/// What a trace left behind.
#[derive(Debug)]
pub struct Traced {
    /// The rows in the order in which they were written.
    pub rows: Vec<Row>,
    /// The last line.
    pub summary: Value,
    /// The exit code; none if it was killed.
    pub code: Option<i32>,
    /// What it said.
    pub stderr: String,
}

impl Trace {
    /// Starts one and waits until its probes are attached.
    #[track_caller]
    #[must_use]
    pub fn start(privileges: Privileges, args: &[&str]) -> Self {
        let mut trace = Self::launch(privileges, args);
        trace.process.wait_for_stderr("observer: ready");
        trace
    }

    fn launch(privileges: Privileges, args: &[&str]) -> Self {
        let args: Vec<&str> = ["trace", "-o", "ndjson"].iter().chain(args).copied().collect();
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&rows);
        let process = Process::start(privileges, &args, move |line| {
            sink.lock().expect("no panic while it is held").push(Row::parse(line));
        });
        Self { process, rows }
    }

    /// What it said until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// The rows so far.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.rows.lock().expect("no panic while it is held").clone()
    }

    /// Waits until there are at least `count` such rows; true if they came.
    #[must_use]
    pub fn reaches(&self, count: usize, wanted: impl Fn(&Row) -> bool) -> bool {
        let rows = || self.rows.lock().expect("no panic while it is held");
        let have = || rows().iter().filter(|row| wanted(row)).count();
        clock::wait(|| (have() >= count).then_some(())).is_some()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: libc::c_int) {
        self.process.signal(signal);
    }

    /// Interrupts it as Ctrl-C does, and waits for its end.
    #[track_caller]
    #[must_use]
    pub fn stop(mut self) -> Traced {
        self.process.signal(libc::SIGINT);
        self.end()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    #[must_use]
    pub fn end(&mut self) -> Traced {
        let (code, stderr) = self.process.end();
        let mut rows = self.rows();
        let last = rows.pop_if(|row| row.text("event") == "summary");
        Traced { rows, summary: last.map_or(Value::Null, |row| row.0), code, stderr }
    }
}

/// Any `observer` command whose output is only wanted at its end.
pub struct Running {
    process: Process,
    stdout: Arc<Mutex<String>>,
}

impl Running {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start(privileges: Privileges, args: &[&str]) -> Self {
        let stdout = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&stdout);
        let process = Process::start(privileges, args, move |line| {
            let mut text = sink.lock().expect("no panic while it is held");
            text.push_str(line);
            text.push('\n');
        });
        Self { process, stdout }
    }

    /// Waits until it says on standard error a line that starts so.
    #[track_caller]
    pub fn wait_for(&mut self, start: &str) {
        self.process.wait_for_stderr(start);
    }

    /// Waits for its end: exit code, standard output, standard error.
    #[track_caller]
    #[must_use]
    pub fn end(&mut self) -> (Option<i32>, String, String) {
        let (code, stderr) = self.process.end();
        let stdout = self.stdout.lock().expect("no panic while it is held").clone();
        (code, stdout, stderr)
    }
}

/// Runs an `observer` command to its end: exit code, standard output, standard error.
#[track_caller]
#[must_use]
pub fn run(privileges: Privileges, args: &[&str]) -> (Option<i32>, String, String) {
    Running::start(privileges, args).end()
}

/// `observer run`, stopped and reaped when dropped.
pub struct Agent {
    process: Process,
    address: SocketAddr,
    socket: PathBuf,
}

impl Agent {
    /// Starts one on a port of its own and waits until it listens.
    #[track_caller]
    #[must_use]
    pub fn start(privileges: Privileges, args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("observer-test-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let socket = env::temp_dir().join(name);
        let place = socket.to_string_lossy().into_owned();
        let fixed = ["run", "--listen", "127.0.0.1:0", "--socket", &place];
        let args: Vec<&str> = fixed.iter().chain(args).copied().collect();
        let mut process = Process::start(privileges, &args, |_| {});
        let line = process.wait_for_stderr("observer: listening on http://");
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in `{line}`"));
        Self { process, address, socket }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it said until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// The page as it is now. Asking for it makes no TCP connection.
    #[track_caller]
    #[must_use]
    pub fn page(&self) -> Page {
        let answer = http::get_unix(&self.socket, "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page::parse(&answer.text())
    }

    /// Waits for a page on which `ready` finds what it looks for; the last page if it never comes.
    #[track_caller]
    #[must_use]
    pub fn page_with(&self, ready: impl Fn(&Page) -> bool) -> Page {
        clock::wait(|| Some(self.page()).filter(&ready)).unwrap_or_else(|| self.page())
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: libc::c_int) {
        self.process.signal(signal);
    }

    /// Waits for its end: exit code and standard error.
    #[track_caller]
    #[must_use]
    pub fn end(&mut self) -> (Option<i32>, String) {
        self.process.end()
    }

    /// Asks it to end, and waits: exit code and standard error.
    #[track_caller]
    #[must_use]
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(libc::SIGTERM);
        self.end()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It takes the socket away itself unless it is killed.
        let _ = std::fs::remove_file(&self.socket);
    }
}
