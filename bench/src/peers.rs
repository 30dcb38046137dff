//! The servers and load generators of the measurements. They talk over loopback, and end with this process' handles to them.

use std::{
    env, fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Result,
    clock::{self, Started},
    machine, sys,
};

pub(crate) const REDIS_PORT: u16 = 26_379;
const NGINX_PORT: u16 = 28_080;

/// A server, or a tool, that we started.
pub(crate) struct Peer {
    child: Child,
    dir: Option<PathBuf>,
}

impl Peer {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { child, dir: None })
    }

    /// CPU seconds of the process and of those it has started, by the scheduler's clock.
    fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let mut ns = 0.0;
        for pid in children.split_ascii_whitespace().chain([pid.to_string().as_str()]) {
            let times = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
            ns += times.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
        Ok(ns / 1e9)
    }

    pub(crate) fn listens(self, port: u16) -> Result<Self> {
        let waited = Started::now();
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            if waited.elapsed() > Duration::from_secs(5) {
                return Err(format!("nothing listens on port {port}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Politely, so that nginx takes its worker along.
        let _asked = sys::interrupt(&self.child);
        let _gone = self.child.wait();
        if let Some(dir) = &self.dir {
            let _gone = fs::remove_dir_all(dir);
        }
    }
}

/// redis-server, that keeps nothing.
pub(crate) fn redis() -> Result<Peer> {
    let port = REDIS_PORT.to_string();
    Peer::spawn(Command::new("redis-server").args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]))?
        .listens(REDIS_PORT)
}

/// nginx with one worker, that answers every request from memory.
pub(crate) fn nginx() -> Result<Peer> {
    let dir = scratch()?;
    let configuration = format!(
        "daemon off; worker_processes 1; pid {dir}/pid; error_log /dev/null;
         events {{ worker_connections 1024; }}
         http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {dir}; proxy_temp_path {dir};
                server {{ listen 127.0.0.1:{NGINX_PORT}; location / {{ return 200 hello; }} }} }}",
        dir = dir.display()
    );
    let file = dir.join("conf");
    fs::write(&file, configuration)?;
    let mut peer =
        Peer::spawn(Command::new("nginx").arg("-c").arg(&file).arg("-p").arg(&dir))?.listens(NGINX_PORT)?;
    peer.dir = Some(dir);
    Ok(peer)
}

/// A directory of this process.
pub(crate) fn scratch() -> Result<PathBuf> {
    let dir = env::temp_dir().join(format!("observer-bench-{}", process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// A load on one of the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// redis-benchmark without pipelining: the smallest exchanges there are.
    Redis { clients: u32, requests: u64 },
    /// wrk on nginx, for so many seconds.
    Wrk { connections: u32, seconds: u32 },
}

/// What a load reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) requests_a_second: f64,
    /// Of server and client, what the kernel and the programs do in their place included.
    pub(crate) cpu_us_a_request: f64,
    /// Of the whole machine, whatever else runs on it included.
    pub(crate) machine_us_a_request: f64,
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Redis { clients, .. } => format!("redis-benchmark, {clients} connections"),
            Self::Wrk { connections, .. } => format!("wrk on nginx, {connections} connections"),
        }
    }

    pub(crate) fn server(self) -> Result<Peer> {
        match self {
            Self::Redis { .. } => redis(),
            Self::Wrk { .. } => nginx(),
        }
    }

    pub(crate) fn run(self, server: &Peer) -> Result<Reached> {
        let pair = || -> Result<f64> { Ok(server.cpu_seconds()? + sys::ended_children_cpu_seconds()?) };
        let (busy, cpu) = (machine::cpu_seconds()?, pair()?);
        let (took, output) = clock::timed(|| self.command().output());
        let output = String::from_utf8(output?.stdout)?;
        let (busy, cpu) = (machine::cpu_seconds()? - busy, pair()? - cpu);
        let (requests, requests_a_second) = match self {
            Self::Redis { requests, .. } => {
                (requests as f64, redis_rate(&output).unwrap_or(requests as f64 / took.as_secs_f64()))
            }
            Self::Wrk { .. } => {
                wrk_rates(&output).ok_or_else(|| format!("wrk said something else:\n{output}"))?
            }
        };
        Ok(Reached {
            requests_a_second,
            cpu_us_a_request: cpu * 1e6 / requests,
            machine_us_a_request: busy * 1e6 / requests,
        })
    }

    fn command(self) -> Command {
        match self {
            Self::Redis { clients, requests } => {
                let mut command = Command::new("redis-benchmark");
                command.args(["-p", &REDIS_PORT.to_string(), "-t", "get", "--csv", "-P", "1"]);
                command.args(["-c", &clients.to_string(), "-n", &requests.to_string()]);
                command
            }
            Self::Wrk { connections, seconds } => {
                let mut command = Command::new("wrk");
                command.args(["-t", "1", "-c", &connections.to_string(), "-d", &format!("{seconds}s")]);
                command.arg(format!("http://127.0.0.1:{NGINX_PORT}/"));
                command
            }
        }
    }
}

/// `"GET","108695.65",…`: requests a second.
fn redis_rate(csv: &str) -> Option<f64> {
    csv.lines().find_map(|line| line.strip_prefix("\"GET\",\"")?.split('"').next()?.parse().ok())
}

/// Requests, and requests a second.
fn wrk_rates(output: &str) -> Option<(f64, f64)> {
    let requests = output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    Some((requests, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_redis_benchmark() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"108695.65\",\"0.23\"\n";
        assert_eq!(redis_rate(csv), Some(108_695.65));
    }

    #[test]
    fn the_rates_of_wrk() {
        let output =
            "  68012 requests in 1.10s, 10.12MB read\nRequests/sec:  61829.73\nTransfer/sec: 9.20MB\n";
        assert_eq!(wrk_rates(output), Some((68_012.0, 61_829.73)));
    }
}
