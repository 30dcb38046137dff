//! The helper program: inside of it ([`main`]), and as the tests start and watch it ([`Program`]).

use std::{
    ffi::CString,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
};

use serde_json::Value;

use crate::{
    binaries, clock,
    exchange::{Measured, Talk},
    netns::Netns,
    script::Player,
    serve::{self, Listen},
    sys,
};

/// Runs in the helper process.
///
/// # Errors
/// When its words make no sense, or a step of its script does not do what it should.
pub fn main(words: &[String]) -> Result<(), String> {
    let [name, cgroup, address, role, rest @ ..] = words else {
        return Err("usage: lifecycle NAME CGROUP ADDRESS ROLE WORDS…".to_owned());
    };
    let name = CString::new(name.as_str()).map_err(|error| error.to_string())?;
    sys::set_name(&name).map_err(|error| format!("cannot take a name: {error}"))?;
    if !cgroup.is_empty() {
        fs::write(cgroup, "0").map_err(|error| format!("cannot join `{cgroup}`: {error}"))?;
    }
    let address: SocketAddr = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
    match role.as_str() {
        "play" => {
            let (script, times) = (&rest[0], rest[1].parse::<u32>().map_err(|error| error.to_string())?);
            (0..times).try_for_each(|_| Player::new(address).play(script))
        }
        "serve" => serve::serve(address, rest),
        "ask" | "answer" => {
            let talk = Talk::from_words(rest).ok_or("four numbers")?;
            let talked = if role == "ask" { talk.client(address) } else { talk.server(address) };
            let measured = talked.map_err(|error| format!("cannot talk: {error}"))?;
            println!("{}", Value::Array(measured.iter().map(Measured::to_json).collect()));
            Ok(())
        }
        _ => Err(format!("no role `{role}`")),
    }
}

/// A helper process, killed when dropped.
pub struct Program {
    /// Its name, as rows show it.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
}

/// How to start one.
pub struct Start<'a> {
    namespace: &'a Netns,
    name: String,
    cgroup: PathBuf,
}

impl<'a> Start<'a> {
    /// A process of this name (at most 15 bytes of it) in that namespace.
    #[must_use]
    pub fn new(namespace: &'a Netns, name: &str) -> Self {
        Self { namespace, name: name.chars().take(15).collect(), cgroup: PathBuf::new() }
    }

    /// It joins a cgroup first, by its `cgroup.procs`.
    #[must_use]
    pub fn in_cgroup(mut self, procs: PathBuf) -> Self {
        self.cgroup = procs;
        self
    }

    /// Plays a script.
    #[must_use]
    pub fn play(&self, target: SocketAddr, script: &str) -> Program {
        self.play_times(target, script, 1)
    }

    /// Plays a script again and again.
    #[must_use]
    pub fn play_times(&self, target: SocketAddr, script: &str, times: u32) -> Program {
        self.start(target, "play", &[script.to_owned(), times.to_string()])
    }

    /// Listens, and returns when it does.
    #[must_use]
    pub fn serve(&self, address: SocketAddr, listen: &Listen) -> Program {
        let mut program = self.start(address, "serve", &listen.words());
        program.expect("listening");
        program
    }

    /// The asking side of a talk.
    #[must_use]
    pub fn ask(&self, target: SocketAddr, talk: &Talk) -> Program {
        self.start(target, "ask", &talk.words())
    }

    /// The answering side of a talk; returns when it listens.
    #[must_use]
    pub fn answer(&self, address: SocketAddr, talk: &Talk) -> Program {
        let mut program = self.start(address, "answer", &talk.words());
        program.expect("listening");
        program
    }

    fn start(&self, address: SocketAddr, role: &str, words: &[String]) -> Program {
        let mut command: Command = self.namespace.command(binaries::lifecycle());
        command.arg(&self.name).arg(&self.cgroup).arg(address.to_string()).arg(role).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the helper program can be started");
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            // Whatever was read before an error is what there is to show.
            let _ = stderr.read_to_string(&mut text);
            text.trim().to_owned()
        });
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Program { name: self.name.clone(), pid: child.id(), child, stdout, stderr: Some(stderr) }
    }
}

impl Program {
    /// Waits for a line of its output.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        let mut got = String::new();
        // An error reads like an end: not the line.
        let _ = self.stdout.read_line(&mut got);
        if got.trim() != line {
            let end = self.end();
            panic!("`{}` says {got:?} instead of {line:?} ({end:?})", self.name);
        }
    }

    /// Lets it go past a `wait` in its script, which it must have reached.
    #[track_caller]
    pub fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").unwrap_or_else(|error| panic!("`{}` does not listen: {error}", self.name));
    }

    /// Tells a server that has nothing more to come.
    pub fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: libc::c_int) {
        sys::kill(self.pid, signal).expect("it is our child");
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it did not end well, or not in time.
    pub fn end(&mut self) -> Result<(), String> {
        let status = clock::wait(|| self.child.try_wait().ok().flatten());
        if status.is_none() {
            // It may have ended in this moment.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let said = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        match status {
            Some(status) if status.success() || status.signal() == Some(libc::SIGKILL) => Ok(()),
            Some(status) => Err(format!("`{}` ended with {status}: {said}", self.name)),
            None => Err(format!("`{}` did not end: {said}", self.name)),
        }
    }

    /// Waits for its end, and gives what it measured.
    #[track_caller]
    #[must_use]
    pub fn measured(&mut self) -> Vec<Measured> {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).expect("its output is text");
        self.end().unwrap_or_else(|error| panic!("{error}"));
        let value: Value = serde_json::from_str(&text).expect("it prints JSON");
        value
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| Measured::from_json(one).expect("complete"))
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
