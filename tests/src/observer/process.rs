//! The agent's process: started as somebody, read line by line, never left behind.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use crate::{binaries, clock, privileges::Privileges, sys};

pub(super) struct Process {
    child: Child,
    what: String,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    /// The copy it runs from, if it could not be run where it is.
    copy: Option<PathBuf>,
}

impl Process {
    #[track_caller]
    pub(super) fn start(
        privileges: Privileges,
        args: &[&str],
        mut line: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let binary = binaries::observer();
        // Nobody may not look into a build directory below somebody's home.
        let copy = (privileges != Privileges::Root).then(|| copy(&binary));
        let mut command = Command::new(copy.as_ref().unwrap_or(&binary));
        command.args(args).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let prepare = move || {
            see_tracefs()?;
            privileges.take()?;
            // Changing the user forgets this, so it comes last.
            sys::die_with_parent()
        };
        // SAFETY: only system calls and no allocation.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start the agent: {error}"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let sink = Arc::clone(&stderr);
        let readers = vec![
            thread::spawn(move || each_line(out, |text| line(text))),
            thread::spawn(move || {
                each_line(err, |text| {
                    let mut said = sink.lock().expect("no panic while it is held");
                    said.push_str(text);
                    said.push('\n');
                });
            }),
        ];
        Self { child, what: args.join(" "), stderr, readers, copy }
    }

    /// Waits for a line that starts so.
    #[track_caller]
    pub(super) fn wait_for_stderr(&mut self, start: &str) -> String {
        let found = clock::wait(|| {
            let said = self.stderr();
            let line = said.lines().find(|line| line.starts_with(start)).map(str::to_owned);
            // An agent that has ended says nothing more.
            let ended = line.is_none() && self.child.try_wait().ok().flatten().is_some();
            if ended { Some(None) } else { line.map(Some) }
        });
        found.flatten().unwrap_or_else(|| {
            panic!("`observer {}` does not say `{start}` but:\n{}", self.what, self.stderr())
        })
    }

    pub(super) fn stderr(&self) -> String {
        self.stderr.lock().expect("no panic while it is held").clone()
    }

    #[track_caller]
    pub(super) fn signal(&self, signal: libc::c_int) {
        sys::kill(self.child.id(), signal).expect("it is our child");
    }

    /// Waits for its end, and for the last of what it wrote.
    #[track_caller]
    pub(super) fn end(&mut self) -> (Option<i32>, String) {
        let status = clock::wait(|| self.child.try_wait().ok().flatten());
        let status =
            status.unwrap_or_else(|| panic!("`observer {}` does not end:\n{}", self.what, self.stderr()));
        for reader in self.readers.drain(..) {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        (status.code(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and the copy may never have been made.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(copy) = &self.copy {
            let _ = fs::remove_file(copy);
        }
    }
}

fn each_line(from: impl Read, mut line: impl FnMut(&str)) {
    for text in BufReader::new(from).lines() {
        match text {
            Ok(text) => line(&text),
            Err(error) => {
                eprintln!("the agent's output cannot be read: {error}");
                return;
            }
        }
    }
}

#[track_caller]
fn copy(binary: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("observer-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let copy = env::temp_dir().join(name);
    fs::copy(binary, &copy).unwrap_or_else(|error| panic!("cannot copy the agent: {error}"));
    copy
}

/// Shows the agent a tracefs, in a mount namespace of its own if the machine has none mounted.
fn see_tracefs() -> std::io::Result<()> {
    // SAFETY: a path that ends in zero; asks only whether it is there.
    let there = unsafe { libc::access(c"/sys/kernel/tracing/events".as_ptr(), libc::F_OK) } == 0;
    if there {
        return Ok(());
    }
    sys::unshare(libc::CLONE_NEWNS)?;
    sys::make_mounts_private()?;
    sys::mount(c"tracefs", c"/sys/kernel/tracing")
}
