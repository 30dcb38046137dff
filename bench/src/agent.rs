//! The agent under measurement: the released binary, as a user runs it.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use crate::{Result, sys};

/// How much of each connection the agent watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Outcomes,
    Exchanges,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Outcomes => "outcomes",
            Self::Exchanges => "exchanges",
        }
    }
}

/// A running agent. It ends when this is dropped.
pub(crate) struct Agent(Child);

/// The binary that is measured.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("OBSERVER_AGENT") {
        return Ok(path.into());
    }
    let path = env::current_exe()?.with_file_name("observer");
    if !path.is_file() {
        return Err(format!("`{}` is not there: build the agent first", path.display()).into());
    }
    Ok(path)
}

impl Agent {
    /// Starts it and waits until its programs are attached.
    pub(crate) fn start(level: Level) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--output", "ndjson", "--tcp-level", level.as_str()]);
        Self::spawn(&mut command)
    }

    /// Starts a command that says `observer: ready`.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut agent = Self(child);
        let mut said = BufReader::new(agent.0.stderr.take().ok_or("no standard error")?);
        let mut before = String::new();
        loop {
            let mut line = String::new();
            if said.read_line(&mut line)? == 0 {
                return Err(format!("the agent did not start\n{before}").into());
            }
            if line.trim_end() == "observer: ready" {
                break;
            }
            before += &line;
        }
        // Nobody reads the summary, but a full pipe would stop the agent.
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it the way a user does.
    pub(crate) fn stop(mut self) -> Result<()> {
        sys::interrupt(&self.0)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended is reaped already.
        if let Ok(None) = self.0.try_wait() {
            let _gone = self.0.kill();
            let _gone = self.0.wait();
        }
    }
}
