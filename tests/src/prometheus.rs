//! The real Prometheus, and its checker.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    http,
    page::Sample,
    peer::{self, Peer},
};

/// A Prometheus that scrapes one page every second.
pub struct Prometheus {
    process: Peer,
    address: SocketAddr,
    directory: PathBuf,
}

impl Prometheus {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start(page: SocketAddr) -> Self {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), peer::free_port());
        let directory =
            env::temp_dir().join(format!("observer-prometheus-{}-{}", std::process::id(), address.port()));
        fs::create_dir_all(&directory).expect("there is room for temporary files");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: observer, honor_labels: true, static_configs: [{{targets: ['{page}']}}]}}\n"
        );
        let file = directory.join("prometheus.yml");
        fs::write(&file, config).expect("there is room for temporary files");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn");
        let prometheus = Self { process: Peer::start(&mut command), address, directory };
        prometheus.process.wait_for_port(None, address);
        prometheus
    }

    /// All series as they are now.
    #[track_caller]
    #[must_use]
    pub fn series(&self) -> Vec<Sample> {
        const ALL: &str = "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D";
        let answer = http::get(self.address, ALL, &[]);
        let value: Value = serde_json::from_str(&answer.text())
            .unwrap_or_else(|error| panic!("{error}: {}", self.process.said()));
        let series = value["data"]["result"].as_array().expect("a vector");
        series.iter().map(|series| sample(series).unwrap_or_else(|| panic!("no sample: {series}"))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The process may still write there; what is left is temporary anyway.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn sample(series: &Value) -> Option<Sample> {
    let mut labels: BTreeMap<String, String> = series["metric"]
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    let name = labels.remove("__name__")?;
    Some(Sample { name, labels, value: series["value"][1].as_str()?.parse().ok()? })
}

/// What `promtool check metrics` says about a page, a line each.
///
/// # Panics
/// When it cannot read the page.
#[track_caller]
#[must_use]
pub fn lint(page: &str) -> Vec<String> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `promtool`, which the tests need: {error}"));
    child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads to the end");
    let output = child.wait_with_output().expect("a child can be waited for");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // 3: it understood everything, and finds some names unusual.
    assert!(matches!(output.status.code(), Some(0 | 3)), "promtool refuses the page: {said}");
    said.lines().map(str::to_owned).collect()
}
