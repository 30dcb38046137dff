//! An agent with a small file system of its own over a directory.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{
    daemon::{self, Daemon},
    http,
    netns::run,
    observer,
    page::Page,
};

/// The agent. The file system is gone with the process.
pub struct Mounted {
    agent: Daemon,
    /// Where it listens.
    pub address: SocketAddr,
    directory: String,
}

impl Mounted {
    /// Starts one, over that directory with these options of `tmpfs`, and without what it measures itself.
    #[track_caller]
    #[must_use]
    pub fn start(directory: &str, options: &str, args: &[&str]) -> Self {
        let address = daemon::free_address();
        let mut command = Command::new("unshare");
        command
            .env("OBSERVER_LOG", "info")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"")
            .args([options, directory])
            .arg(observer::binary())
            .args(["run", "--no-tcp", "--no-node", "--listen", &address.to_string()])
            .args(args);
        let mut agent = Daemon::spawn(command);
        agent.wait_for_port(address);
        Self { agent, address, directory: directory.to_owned() }
    }

    /// Mounts it again with other options.
    #[track_caller]
    pub fn remount(&self, options: &str) {
        let (pid, options) = (self.agent.pid().to_string(), format!("remount,{options}"));
        let mut command = Command::new("nsenter");
        run(command.args(["-t", &pid, "-m", "mount", "-o", &options, &self.directory]), None);
    }

    /// Waits for a page on which `ready` finds what it looks for.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, ready: impl Fn(&Page) -> bool) -> Page {
        let address = self.address;
        let page = || Page::parse(&http::get(address, "/metrics", &[]).text());
        self.agent.wait_for(what, || Some(page()).filter(&ready))
    }

    /// What it said until now.
    #[must_use]
    pub fn said(&self) -> String {
        self.agent.said()
    }

    /// A file of the directory, as the agent sees it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}/{name}", self.agent.pid(), self.directory))
    }
}
