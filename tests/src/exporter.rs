//! Exporters that the agent scrapes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use crate::{
    peer::{self, Peer},
    sys,
};

/// A running exporter on a port of its own.
pub struct Exporter {
    process: Peer,
    address: SocketAddr,
    arguments: Vec<String>,
}

impl Exporter {
    /// Debian's `prometheus-node-exporter`.
    #[track_caller]
    #[must_use]
    pub fn node() -> Self {
        // Without a service manager and udev to ask, these two only complain.
        let quiet = ["--log.level=error", "--no-collector.systemd", "--no-collector.diskstats"];
        Self::start("prometheus-node-exporter", "--web.listen-address=", &quiet)
    }

    /// Debian's `prometheus-redis-exporter`, of this Redis.
    #[track_caller]
    #[must_use]
    pub fn redis(redis: SocketAddr) -> Self {
        Self::start(
            "prometheus-redis-exporter",
            "-web.listen-address=",
            &[&format!("-redis.addr=redis://{redis}")],
        )
    }

    #[track_caller]
    fn start(program: &str, listen: &str, arguments: &[&str]) -> Self {
        let address = loopback(peer::free_port());
        let mut all = vec![program.to_owned(), format!("{listen}{address}")];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Self { process: run(&all, address), address, arguments: all }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a word for `--scrape`.
    #[must_use]
    pub fn scrape(&self, job: &str) -> String {
        format!("{job}=http://{}/metrics", self.address)
    }

    /// Ends it as a crash does.
    #[track_caller]
    pub fn kill(&self) {
        sys::kill(self.process.pid(), libc::SIGKILL).expect("it is our child");
    }

    /// Starts it again where it was.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process = run(&self.arguments, self.address);
    }
}

/// A Redis that keeps nothing.
#[track_caller]
#[must_use]
pub fn redis() -> (Peer, SocketAddr) {
    let address = loopback(peer::free_port());
    let port = address.port().to_string();
    let words = ["redis-server", "--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
    (run(&words.map(str::to_owned), address), address)
}

#[track_caller]
fn run(words: &[String], address: SocketAddr) -> Peer {
    let process = Peer::start(Command::new(&words[0]).args(&words[1..]).current_dir("/"));
    process.wait_for_port(None, address);
    process
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}
