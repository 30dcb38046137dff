//! Programs that are scraped in the field, started on this machine.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    Result, agent,
    collectors::{free_port, newest},
    peers::{self, Peer, REDIS_PORT},
};

/// A program that serves a page of metrics. It ends when this is dropped.
struct Exporter {
    name: &'static str,
    port: u16,
    _program: Peer,
    /// What it exports about.
    _subject: Option<Peer>,
}

impl Exporter {
    /// Its page of now, as text.
    fn page(&self) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        // In HTTP/1.0 the end of the connection is the end of the page, so nobody sends chunks.
        write!(
            stream,
            "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/plain;version=0.0.4\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, page) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
        match head.lines().next() {
            Some(status) if status.contains(" 200 ") => Ok(page.to_owned()),
            status => Err(format!("{}: {}", self.name, status.unwrap_or_default()).into()),
        }
    }
}

/// How a program is started: with a directory, an empty configuration and a port.
type Start = fn(&Path, &Path, u16) -> Result<Command>;

/// So many pages, a second apart, of each program that is installed; those that are not are named. One runs at a time, and none
/// when this returns.
pub(super) fn pages(count: usize) -> Result<Vec<(&'static str, Vec<String>)>> {
    let dir = peers::scratch()?;
    let config = dir.join("nothing.yml");
    fs::write(&config, "global: {}\n")?;
    let all: [(&str, Start); 6] = [
        ("node_exporter", |_, _, port| {
            let mut command = Command::new("prometheus-node-exporter");
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            Ok(command)
        }),
        ("redis_exporter", |_, _, port| {
            let mut command = Command::new("prometheus-redis-exporter");
            command.args(["-web.listen-address", &format!("127.0.0.1:{port}")]);
            command.args(["-redis.addr", &format!("redis://127.0.0.1:{REDIS_PORT}")]);
            Ok(command)
        }),
        ("Prometheus", |dir, config, port| {
            let mut command = Command::new(newest("prometheus"));
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            Ok(command)
        }),
        ("VictoriaMetrics", |dir, _, port| {
            let mut command = Command::new(newest("victoria-metrics"));
            command.arg(format!("-storageDataPath={}", dir.join("victoria-metrics").display()));
            command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
            Ok(command)
        }),
        ("vmagent", |dir, config, port| {
            let mut command = Command::new(newest("vmagent"));
            command.arg(format!("-promscrape.config={}", config.display()));
            command.arg(format!("-remoteWrite.tmpDataPath={}", dir.join("vmagent").display()));
            // Nothing is scraped, so nothing is written.
            command.arg(format!("-remoteWrite.url=http://127.0.0.1:{port}/"));
            command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
            Ok(command)
        }),
        ("observer", |_, _, port| {
            let mut command = Command::new(agent::binary()?);
            command.args(["run", "--no-tcp", "--listen", &format!("127.0.0.1:{port}")]);
            Ok(command)
        }),
    ];
    let mut found = Vec::new();
    for (name, command) in all {
        let exporter = match start(name, command, &dir, &config) {
            Ok(exporter) => exporter,
            Err(error) => {
                println!("- {name} is left out: {error}");
                continue;
            }
        };
        // The first page lacks what comes with the first scrape.
        exporter.page()?;
        let mut pages = Vec::with_capacity(count);
        while pages.len() < count {
            thread::sleep(Duration::from_secs(1));
            pages.push(exporter.page()?);
        }
        found.push((name, pages));
    }
    fs::remove_dir_all(dir)?;
    Ok(found)
}

fn start(name: &'static str, command: Start, dir: &Path, config: &Path) -> Result<Exporter> {
    let subject = if name == "redis_exporter" { Some(peers::redis()?) } else { None };
    let port = free_port()?;
    let program = Peer::spawn(&mut command(dir, config, port)?)?.listens(port)?;
    Ok(Exporter { name, port, _program: program, _subject: subject })
}
