//! Real programs that run beside the agent: exporters, servers, Prometheus.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{clock, sys};

/// Where a tool is. Where the tests must be complete (`CI=true`), a missing one fails the test; elsewhere the caller skips.
#[track_caller]
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin");
    let mut places = env::split_paths(&path).chain([venv, "/usr/sbin".into()]);
    or_skipped(name, places.find_map(|place| Some(place.join(name)).filter(|path| path.is_file())))
}

/// As [`tool`], for a program that lies within a package of Python.
#[track_caller]
#[must_use]
pub fn packaged(name: &str) -> Option<PathBuf> {
    // The directory before the packages is named after Python's version.
    let pythons = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/lib").read_dir();
    let mut packages =
        pythons.into_iter().flatten().flatten().map(|python| python.path().join("site-packages"));
    or_skipped(name, packages.find_map(|place| Some(place.join(name)).filter(|path| path.is_file())))
}

#[track_caller]
fn or_skipped(name: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let missing = format!("`{name}` is not installed: `cargo xtask setup --tests` installs it");
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        eprintln!("skipped: {missing}");
    }
    found
}

/// An address on loopback where nobody listened a moment ago.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are to be had");
    listener.local_addr().expect("it is bound")
}

/// A running program, killed when dropped.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start(program: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(command)
    }

    /// Starts what a command says; its output goes to a file that failed tests show.
    #[track_caller]
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = scratch("log");
        let file = fs::File::create(&log).expect("a temporary file can be made");
        let errors = file.try_clone().expect("descriptors are to be had");
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        // SAFETY: one system call that takes values only.
        unsafe { command.pre_exec(sys::die_with_parent) };
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{name}`: {error}"));
        Self { name, child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it does what it should; a failed test with its own words if it never does.
    #[track_caller]
    pub fn wait_for<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let child = &mut self.child;
        let found = clock::wait(|| {
            let ended = child.try_wait().ok().flatten().is_some();
            if ended { Some(None) } else { ready().map(Some) }
        });
        found.flatten().unwrap_or_else(|| panic!("no {what} from `{}`:\n{}", self.name, self.said()))
    }

    /// Waits until it listens.
    #[track_caller]
    pub fn wait_for_port(&mut self, address: SocketAddr) {
        self.wait_for("listening", || std::net::TcpStream::connect(address).ok().map(drop));
    }

    /// Asks it to end, and waits for its good end.
    #[track_caller]
    pub fn stop(&mut self) {
        sys::kill(self.pid(), libc::SIGTERM).expect("it is our child");
        self.end();
    }

    /// Waits for its good end.
    #[track_caller]
    pub fn end(&mut self) {
        let status = clock::wait(|| self.child.try_wait().ok().flatten());
        assert!(
            status.is_some_and(|status| status.success()),
            "`{}` has not ended well ({status:?}):\n{}",
            self.name,
            self.said()
        );
    }

    /// Stops it again and again, as a host does that has too little time for it.
    #[must_use]
    pub fn starve(&self, stopped: Duration, running: Duration) -> Starved {
        let (release, released) = sync_channel(1);
        let pid = self.pid();
        let thread = thread::spawn(move || {
            // Long enough for any test, and still not for ever.
            for _ in 0..ROUNDS {
                let over = [(libc::SIGSTOP, stopped), (libc::SIGCONT, running)].into_iter().any(
                    |(signal, pause)| {
                        sys::kill(pid, signal).is_err()
                            || released.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
                    },
                );
                if over {
                    break;
                }
            }
            // It may have ended meanwhile.
            let _ = sys::kill(pid, libc::SIGCONT);
        });
        Starved { release: Some(release), thread: Some(thread) }
    }

    /// What it wrote.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

const ROUNDS: u32 = 1000;

/// A program that is starved; it runs freely again when this is dropped.
pub struct Starved {
    release: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Starved {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// A path for a file of this test process.
#[must_use]
pub fn scratch(extension: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("observer-test-{}-{}.{extension}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    env::temp_dir().join(name)
}

/// Runs a tool on an input: whether it succeeded, and what it said.
#[track_caller]
#[must_use]
pub fn run_with_input(program: &Path, args: &[&str], input: &str) -> (bool, String) {
    let file = scratch("input");
    fs::write(&file, input).expect("a temporary file can be written");
    let reader = fs::File::open(&file).expect("it was just written");
    let output = Command::new(program).args(args).stdin(reader).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start `{}`: {error}", program.display()));
    let _ = fs::remove_file(&file);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
