//! Exporters that the agent scrapes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
};

use crate::{
    daemon::{Daemon, free_address, tool},
    sys,
};

/// A running exporter on a port of its own.
pub struct Exporter {
    process: Daemon,
    address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Exporter {
    /// Debian's `prometheus-node-exporter`, if it is installed.
    #[track_caller]
    #[must_use]
    pub fn node() -> Option<Self> {
        Self::node_with(&[])
    }

    /// The same, with more arguments.
    #[track_caller]
    #[must_use]
    pub fn node_with(arguments: &[&str]) -> Option<Self> {
        Self::start("prometheus-node-exporter", "--web.listen-address=", arguments)
    }

    /// Debian's `prometheus-redis-exporter`, of this Redis, if it is installed.
    #[track_caller]
    #[must_use]
    pub fn redis(redis: SocketAddr) -> Option<Self> {
        Self::start(
            "prometheus-redis-exporter",
            "-web.listen-address=",
            &[&format!("-redis.addr=redis://{redis}")],
        )
    }

    #[track_caller]
    fn start(program: &str, listen: &str, arguments: &[&str]) -> Option<Self> {
        let (program, address) = (tool(program)?, free_address());
        let mut all = vec![format!("{listen}{address}")];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Some(Self { process: run(&program, &all, address), address, program, arguments: all })
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
        self.process = run(&self.program, &self.arguments, self.address);
    }
}

/// An exporter that answers with the body that `body` gives for the nth request, counted from 1, until the test is over.
#[must_use]
pub fn scripted(content_type: &'static str, body: impl Fn(u64) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are to be had");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for (stream, number) in listener.incoming().flatten().zip(1..) {
            let mut stream = stream;
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            // The head of the request.
            if lines.any(|line| line.is_empty()) {
                let body = body(number);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                // Who asked may be gone.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        }
    });
    address
}

/// A Redis that keeps nothing, if it is installed.
#[track_caller]
#[must_use]
pub fn redis() -> Option<(Daemon, SocketAddr)> {
    let (program, address) = (tool("redis-server")?, free_address());
    let port = address.port().to_string();
    let words = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir", "/tmp"];
    Some((run(&program, &words.map(str::to_owned), address), address))
}

#[track_caller]
fn run(program: &Path, words: &[String], address: SocketAddr) -> Daemon {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut process = Daemon::start(program, &words);
    process.wait_for_port(address);
    process
}
