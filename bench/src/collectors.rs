//! Those who scrape: ours and its peers, each told to do the same.

use std::{
    fmt, fs,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    thread,
    time::Duration,
};

use crate::{
    Result, agent,
    clock::Started,
    peers, sys,
    targets::{self, TargetsArgs},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Vmagent,
    Prometheus,
}

/// A collector to be measured, as it is named on the command line: `KIND[-LABEL][=PATH]`. `ours-v1` writes version 1.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    kind: Kind,
    name: String,
    path: Option<PathBuf>,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(path.into())),
            None => (text, None),
        };
        let kind = match name.split('-').next().unwrap_or_default() {
            "ours" => Kind::Ours,
            "vmagent" => Kind::Vmagent,
            "prometheus" => Kind::Prometheus,
            other => return Err(format!("`{other}` is none of ours, vmagent, prometheus")),
        };
        Ok(Self { kind, name: name.to_owned(), path })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// What every collector is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) targets: &'a TargetsArgs,
    pub(crate) targets_port: u16,
    pub(crate) sink_port: u16,
    /// More arguments for ours.
    pub(crate) ours: &'a [String],
}

impl Collector {
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == Kind::Ours
    }

    /// What is on while it is measured.
    pub(crate) fn does(&self) -> &'static str {
        match self.kind {
            Kind::Ours => {
                "scrape, staleness, windows, /metrics, remote write 2.0 (`-v1`: 1.0) with snappy; no kernel side, no node"
            }
            Kind::Vmagent => "scrape, staleness, remote write 1.0 with snappy from memory",
            Kind::Prometheus => "agent mode: scrape, staleness, log on disk, remote write 1.0 with snappy",
        }
    }

    fn program(&self) -> Result<PathBuf> {
        match (&self.path, self.kind) {
            (Some(path), _) => Ok(path.clone()),
            (None, Kind::Ours) => agent::binary(),
            (None, Kind::Vmagent) => Ok(newest("vmagent")),
            (None, Kind::Prometheus) => Ok(newest("prometheus")),
        }
    }

    /// The first line of what it says about itself. Debian's vmagent does not know its version.
    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command()?.arg("--version").output();
        let output = output.map_err(|error| format!("{self}: {error}"))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("version unknown").to_owned())
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Starts it. That it scrapes is for the targets to say.
    pub(crate) fn start(&self, work: Work<'_>) -> Result<Running> {
        let dir = peers::scratch()?.join(&self.name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let mut config = scrape_config(work);
        if self.is_ours() {
            config += &limits(work.targets);
        }
        if self.kind != Kind::Vmagent {
            config += &format!("remote_write:\n- url: {}\n", work.sink());
            if self.is_ours() && self.name.ends_with("-v1") {
                config += "  protobuf_message: prometheus.WriteRequest\n";
            }
        }
        let file = dir.join("config.yml");
        fs::write(&file, config)?;
        let port = free_port()?;
        let mut command = self.command()?;
        self.arguments(&mut command, &dir, &file, port, work)?;
        let log = File::create(dir.join("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = sys::die_with_parent(&mut command).spawn().map_err(|error| format!("{self}: {error}"))?;
        Ok(Running { child, dir, port })
    }

    fn arguments(
        &self,
        command: &mut Command,
        dir: &Path,
        config: &Path,
        port: u16,
        work: Work<'_>,
    ) -> Result<()> {
        let listen = format!("127.0.0.1:{port}");
        match self.kind {
            Kind::Ours => {
                command.args(["run", "--no-tcp", "--no-node", "--listen", &listen, "--config"]).arg(config);
                command.args(work.ours);
            }
            Kind::Vmagent => {
                command.arg(format!("-promscrape.config={}", config.display()));
                // Its own limit is less than what one target of 200,000 series says.
                command.arg("-promscrape.maxScrapeSize=268435456");
                command.arg(format!("-remoteWrite.url={}", work.sink()));
                command.arg(format!("-remoteWrite.tmpDataPath={}", dir.display()));
                command.arg(format!("-httpListenAddr={listen}"));
                // Newer ones begin with a protocol of their own.
                let help = self.command()?.arg("-help").output()?;
                let help = [help.stdout, help.stderr].concat();
                if String::from_utf8_lossy(&help).contains("-remoteWrite.forcePromProto") {
                    command.arg("-remoteWrite.forcePromProto");
                }
            }
            Kind::Prometheus => {
                let help = self.command()?.arg("--help").output()?;
                let help = [help.stdout, help.stderr].concat();
                let has_agent = String::from_utf8_lossy(&help).lines().any(|line| {
                    line.trim_start().starts_with("--agent ")
                        || line.trim_start().starts_with("--[no-]agent ")
                });
                command.arg(if has_agent { "--agent" } else { "--enable-feature=agent" });
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.agent.path={}", dir.join("log.d").display()));
                command.arg(format!("--web.listen-address={listen}"));
            }
        }
        Ok(())
    }
}

/// What `cargo xtask setup --bench` unpacked, or else the one that the machine has.
pub(crate) fn newest(program: &str) -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/peers/usr/bin").join(program);
    if unpacked.is_file() { unpacked } else { program.into() }
}

impl Work<'_> {
    fn sink(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/write", self.sink_port)
    }
}

fn scrape_config(work: Work<'_>) -> String {
    let mut config = "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
                      scrape_configs:\n- job_name: load\n  static_configs:\n  - targets:\n"
        .to_owned();
    for nth in 0..work.targets.targets {
        config += &format!("    - {}:{}\n", targets::address(nth), work.targets_port);
    }
    config
}

/// Room for more series than ours allows unless told; nothing if the defaults do.
fn limits(targets: &TargetsArgs) -> String {
    const DEFAULT: u64 = 1_000_000;
    /// Most of what the labels of a series and their index take.
    const BYTES_A_SERIES: u64 = 512;
    // Series that go make room a while after others have come.
    let series = u64::from(targets.targets) * u64::from(targets.series) * 5 / 4;
    if series <= DEFAULT {
        return String::new();
    }
    format!(
        "limits:\n  series: {series}\n  series_per_target: {}\n  arena_bytes: {}B\n",
        u64::from(targets.series) * 2,
        series * BYTES_A_SERIES
    )
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

/// A collector at work. It ends when this is dropped.
pub(crate) struct Running {
    child: Child,
    dir: PathBuf,
    /// Of its own page.
    pub(crate) port: u16,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the last lines it said, if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the collector ended with {status}:\n{}", self.said()).into()),
        }
    }

    pub(crate) fn said(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Running {
    /// As a user ends it; by force when it takes too long.
    fn drop(&mut self) {
        let _asked = sys::interrupt(&self.child);
        let asked = Started::now();
        while let Ok(None) = self.child.try_wait() {
            if asked.elapsed() > Duration::from_secs(10) {
                let _gone = self.child.kill();
                let _gone = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _gone = fs::remove_dir_all(&self.dir);
        // The last one out takes the place of all.
        let _gone = self.dir.parent().map(fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_raised_only_where_the_defaults_are_too_low() {
        let load = |targets| TargetsArgs {
            targets,
            series: 1000,
            change: targets::Change::Real,
            churn_percent: 0.0,
            openmetrics: false,
        };
        assert_eq!(limits(&load(800)), "");
        let raised = "limits:\n  series: 1250000\n  series_per_target: 2000\n  arena_bytes: 640000000B\n";
        assert_eq!(limits(&load(1000)), raised);
    }

    #[test]
    fn a_collector_is_named_with_its_kind_and_perhaps_its_place() {
        let collector: Collector = "vmagent-1.145=/opt/vmagent".parse().expect("well formed");
        assert_eq!(
            collector,
            Collector {
                kind: Kind::Vmagent,
                name: "vmagent-1.145".to_owned(),
                path: Some("/opt/vmagent".into())
            }
        );
        assert!("ours".parse::<Collector>().expect("well formed").is_ours());
        let error = "vagent".parse::<Collector>().expect_err("misspelt");
        assert_eq!(error, "`vagent` is none of ours, vmagent, prometheus");
    }
}
