//! The real Prometheus.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    daemon::{self, Daemon},
    http,
    page::Sample,
};

/// A Prometheus that scrapes one page every second.
pub struct Prometheus {
    process: Daemon,
    address: SocketAddr,
    directory: PathBuf,
}

impl Prometheus {
    /// Starts this program.
    #[track_caller]
    #[must_use]
    pub fn start(program: &Path, page: SocketAddr) -> Self {
        let (address, directory) = (daemon::free_address(), daemon::scratch("prometheus"));
        fs::create_dir(&directory).expect("a temporary directory can be made");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: observer, honor_labels: true, static_configs: [{{targets: ['{page}']}}]}}\n"
        );
        let file = directory.join("prometheus.yml");
        fs::write(&file, config).expect("a temporary file can be written");
        let mut process = Daemon::start(
            program,
            &[
                &format!("--config.file={}", file.display()),
                &format!("--storage.tsdb.path={}", directory.join("data").display()),
                &format!("--web.listen-address={address}"),
            ],
        );
        process.wait_for_port(address);
        Self { process, address, directory }
    }

    /// All series as they are now; none while it is not ready.
    #[track_caller]
    #[must_use]
    pub fn series(&self) -> Vec<Sample> {
        const ALL: &str = "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D";
        let answer = http::get(self.address, ALL, &[]);
        if answer.status == 503 {
            return Vec::new();
        }
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
