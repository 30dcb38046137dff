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
        Self::start_with(program, page, "", &[])
    }

    /// As [`Self::start`], and takes both forms of native histograms.
    #[track_caller]
    #[must_use]
    pub fn start_native(program: &Path, page: SocketAddr) -> Self {
        let both = "always_scrape_classic_histograms: true, ";
        Self::start_with(program, page, both, &["--enable-feature=native-histograms"])
    }

    #[track_caller]
    fn start_with(program: &Path, page: SocketAddr, keys: &str, flags: &[&str]) -> Self {
        let (address, directory) = (daemon::free_address(), daemon::scratch("prometheus"));
        fs::create_dir(&directory).expect("a temporary directory can be made");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: observer, honor_labels: true, {keys}static_configs: [{{targets: ['{page}']}}]}}\n"
        );
        let file = directory.join("prometheus.yml");
        fs::write(&file, config).expect("a temporary file can be written");
        let own = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let args: Vec<&str> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        let mut process = Daemon::start(program, &args);
        process.wait_for_port(address);
        Self { process, address, directory }
    }

    /// All series as they are now; none while it is not ready.
    #[track_caller]
    #[must_use]
    pub fn series(&self) -> Vec<Sample> {
        let all = self.matching(".%2B");
        all.iter().map(|series| sample(series).unwrap_or_else(|| panic!("no sample: {series}"))).collect()
    }

    /// All series whose names match, at one moment, in the form of the API; none while it is not ready.
    #[track_caller]
    #[must_use]
    pub fn matching(&self, names: &str) -> Vec<Value> {
        let query = format!("/api/v1/query?query=%7B__name__%3D~%22{names}%22%7D");
        let answer = http::get(self.address, &query, &[]);
        if answer.status == 503 {
            return Vec::new();
        }
        let value: Value = serde_json::from_str(&answer.text())
            .unwrap_or_else(|error| panic!("{error}: {}", self.process.said()));
        value["data"]["result"].as_array().expect("a vector").clone()
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
