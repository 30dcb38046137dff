//! A real storage that takes remote write, and what it says about itself.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    thread,
    time::Duration,
};

use crate::{Result, capacity::sum, clock::Started, collectors, sys};

/// Which storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    VictoriaMetrics,
    Prometheus,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "victoria-metrics" => Ok(Self::VictoriaMetrics),
            "prometheus" => Ok(Self::Prometheus),
            other => Err(format!("`{other}` is neither victoria-metrics nor prometheus")),
        }
    }
}

/// What came in so far, or in a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) requests: f64,
    pub(crate) samples: f64,
    /// CPU seconds.
    pub(crate) cpu: f64,
}

impl Taken {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            samples: self.samples - before.samples,
            cpu: self.cpu - before.cpu,
        }
    }
}

/// The storage, which can be stopped and started again over the same data.
pub(crate) struct Receiver {
    kind: Kind,
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Receiver {
    pub(crate) fn new(kind: Kind, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { kind, dir: dir.to_owned(), port: collectors::free_port()?, child: None })
    }

    fn program(&self) -> PathBuf {
        collectors::newest(match self.kind {
            Kind::VictoriaMetrics => "victoria-metrics",
            Kind::Prometheus => "prometheus",
        })
    }

    pub(crate) fn version(&self) -> Result<String> {
        let output = Command::new(self.program()).arg("--version").output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        Ok(format!("{:?}: {}", self.kind, line.unwrap_or("version unknown")))
    }

    pub(crate) fn write_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/write", self.port)
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let (dir, listen) = (self.dir.display(), format!("127.0.0.1:{}", self.port));
        let mut command = Command::new(self.program());
        match self.kind {
            Kind::VictoriaMetrics => {
                command.arg(format!("-storageDataPath={dir}/data")).arg(format!("-httpListenAddr={listen}"));
                // Answers are asked for right after what they are about.
                command.args(["-search.latencyOffset=1ms", "-search.disableCache", "-retentionPeriod=1d"]);
            }
            Kind::Prometheus => {
                let config = self.dir.join("prometheus.yml");
                fs::write(&config, "global: {}\n")?;
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={dir}/data"));
                command.arg(format!("--web.listen-address={listen}"));
                command.arg("--web.enable-remote-write-receiver");
            }
        }
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(sys::die_with_parent(&mut command).spawn()?);
        let started = Started::now();
        while self.total().is_err() {
            if started.elapsed() > Duration::from_secs(60) {
                return Err("the receiver does not answer".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it as a user does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _asked = sys::interrupt(&child);
            let _gone = child.wait();
        }
    }

    /// What it has taken since it was started.
    pub(crate) fn total(&self) -> Result<Taken> {
        let page = self.get("/metrics")?;
        let (requests, samples) = match self.kind {
            Kind::VictoriaMetrics => (
                sum(&page, "vm_http_requests_total", "path=\"/api/v1/write\""),
                sum(&page, "vm_rows_inserted_total", "promremotewrite"),
            ),
            Kind::Prometheus => (
                sum(&page, "prometheus_http_requests_total", "handler=\"/api/v1/write\""),
                sum(&page, "prometheus_tsdb_head_samples_appended_total", ""),
            ),
        };
        let cpu = self.child.as_ref().map_or(Ok(0.0), |child| sys::cpu_seconds(child.id()))?;
        Ok(Taken { requests, samples, cpu })
    }

    /// How many agents have sent a window in the last minute.
    pub(crate) fn agents(&self) -> Result<f64> {
        let found = self.query("count(count by (agent) (last_over_time(observer_windows_total[1m])))")?;
        Ok(found.first().copied().unwrap_or_default())
    }

    /// How many agents there are, and how many windows lie between their first and their last that did not arrive: each
    /// window's number is a sample of its own.
    pub(crate) fn missing(&self) -> Result<(usize, f64)> {
        let span = "[15m]";
        let each = self.query(&format!(
            "max_over_time(observer_windows_total{span}) - min_over_time(observer_windows_total{span}) + 1 \
             - count_over_time(observer_windows_total{span})"
        ))?;
        Ok((each.len(), each.iter().sum()))
    }

    fn query(&self, expression: &str) -> Result<Vec<f64>> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer: serde_json::Value =
            serde_json::from_str(&self.get(&format!("/api/v1/query?query={encoded}"))?)?;
        let result = answer["data"]["result"].as_array().ok_or("an answer without a result")?;
        let value = |sample: &serde_json::Value| sample["value"][1].as_str()?.parse().ok();
        Ok(result.iter().filter_map(value).collect())
    }

    /// The body of one GET in the version of HTTP that has no chunks.
    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(format!("`{path}`: {}", head.lines().next().unwrap_or_default()).into()),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}
