//! Network namespaces.
//!
//! They are anonymous: a namespace lives as long as a descriptor or a process refers to it. Nothing needs tearing down
//! and nothing is left behind, even if the tests are killed.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    process::{Command, Stdio},
    thread,
};

use crate::sys;

/// A network namespace of our own, with loopback up.
pub struct Netns {
    fd: OwnedFd,
    inode: u64,
}

impl Netns {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let file = thread::spawn(|| {
            sys::unshare(libc::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = file.join().expect("no panic").unwrap_or_else(|error| {
            panic!("cannot make a network namespace (these tests run as root): {error}");
        });
        let inode = file.metadata().expect("an open file has metadata").ino();
        let namespace = Self { fd: file.into(), inode };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its inode number, which rows carry as `netns`.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// A path by which `ip` finds this namespace from any other.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd())
    }

    /// Runs `work` on a thread inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                sys::setns(self.fd.as_fd(), libc::CLONE_NEWNET).expect("the namespace is ours");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A descriptor that keeps the namespace, for a thread of one's own.
    pub(crate) fn handle(&self) -> OwnedFd {
        self.fd.try_clone().expect("descriptors are to be had")
    }

    /// A program to be started inside; it dies with the thread that starts it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let namespace = self.handle();
        let mut command = Command::new(program);
        let enter = move || {
            sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)?;
            sys::die_with_parent()
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Runs `ip` with these words.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        run(self.command("ip").args(words.split_whitespace()), None);
    }

    /// Runs many `ip` commands, one a line.
    #[track_caller]
    pub fn ip_batch(&self, lines: &str) {
        run(self.command("ip").args(["-batch", "-"]), Some(lines));
    }

    /// Sets a value below `/proc/sys/net`, which shows each thread its own namespace.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        if let Err(error) = self.run(|| fs::write(&path, value)) {
            panic!("cannot write `{value}` to `{path}`: {error}");
        }
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a tool to its end; a failed test with the tool's own words if it fails.
#[track_caller]
pub fn run(command: &mut Command, input: Option<&str>) {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{name}`, which the tests need: {error}"));
    if let Some(input) = input {
        let written: io::Result<()> = child.stdin.take().expect("piped").write_all(input.as_bytes());
        written.unwrap_or_else(|error| panic!("`{name}` does not listen: {error}"));
    }
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(
        output.status.success(),
        "`{name} {}` failed: {}",
        command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}
