//! Real stores that take remote write and can be asked what they have: Prometheus and VictoriaMetrics of today.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    daemon::{Daemon, free_address, scratch},
    http,
    written::{Samples, Written},
};

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prometheus, without room for samples out of order, with native histograms.
    Prometheus,
    /// VictoriaMetrics.
    Victoria,
}

/// A native histogram as Prometheus tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// How many observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The buckets that have any, by their bounds.
    pub buckets: Vec<Bucket>,
}

/// Observations between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub low: f64,
    /// The upper one.
    pub high: f64,
    /// How many.
    pub count: f64,
}

/// Native histograms by time, in milliseconds since 1970, of each series, by its labels.
pub type Histograms = BTreeMap<BTreeMap<String, String>, Vec<(i64, Native)>>;

/// A store on a port of its own, with a directory of its own.
pub struct Store {
    kind: Kind,
    process: Option<Daemon>,
    program: PathBuf,
    address: SocketAddr,
    directory: PathBuf,
}

/// An exemplar that a store has.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredExemplar {
    /// The labels of its series.
    pub series: BTreeMap<String, String>,
    /// Its own.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// A program that `cargo xtask setup --tests` has unpacked. Where the tests must be complete, a missing one fails the test.
#[track_caller]
#[must_use]
pub fn unpacked(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/peers/usr/bin").join(name);
    if path.is_file() {
        return Some(path);
    }
    let missing = format!("`{name}` is not there: `cargo xtask setup --tests` unpacks it");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

impl Store {
    /// Starts one, if it is there.
    #[track_caller]
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        let program = unpacked(match kind {
            Kind::Prometheus => "prometheus",
            Kind::Victoria => "victoria-metrics",
        })?;
        let directory = scratch("store");
        fs::create_dir(&directory).expect("a temporary directory can be made");
        fs::write(directory.join("empty.yml"), "").expect("a temporary file can be written");
        let mut store = Self { kind, process: None, program, address: free_address(), directory };
        store.run();
        Some(store)
    }

    /// Where to write to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Starts it again where it was.
    #[track_caller]
    pub fn run(&mut self) {
        let mut command = Command::new(&self.program);
        let data = self.directory.join("data");
        match self.kind {
            Kind::Prometheus => command
                .arg(format!("--config.file={}", self.directory.join("empty.yml").display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--web.listen-address={}", self.address))
                .arg("--web.enable-remote-write-receiver")
                .arg("--enable-feature=native-histograms,exemplar-storage"),
            Kind::Victoria => command
                .arg(format!("-storageDataPath={}", data.display()))
                .arg(format!("-httpListenAddr={}", self.address))
                .arg("-search.latencyOffset=1ms")
                .arg("-retentionPeriod=1d"),
        };
        let mut process = Daemon::spawn(command);
        let (address, path) = (self.address, self.ready_path());
        process.wait_for_port(address);
        process.wait_for("readiness", || (http::get(address, path, &[]).status == 200).then_some(()));
        self.process = Some(process);
    }

    const fn ready_path(&self) -> &'static str {
        match self.kind {
            Kind::Prometheus => "/-/ready",
            Kind::Victoria => "/health",
        }
    }

    /// Ends it as a crash does. What it has taken is in its log.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").stop();
    }

    /// Every sample it has, but for the ends of series, which neither gives out.
    #[track_caller]
    #[must_use]
    pub fn samples(&self) -> Written {
        match self.kind {
            Kind::Prometheus => self.of_prometheus(),
            Kind::Victoria => self.of_victoria(),
        }
    }

    /// Every exemplar that a Prometheus has: the labels of its series, its own labels, its value, and its time in milliseconds since
    /// the Unix epoch.
    #[track_caller]
    #[must_use]
    pub fn exemplars(&self) -> Vec<StoredExemplar> {
        // {__name__=~".+"}
        let path = "/api/v1/query_exemplars?query=%7B__name__%3D~%22.%2B%22%7D&start=0&end=9999999999";
        let answer = http::get(self.address, path, &[]).text();
        let value: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let series = value["data"].as_array().unwrap_or_else(|| panic!("no exemplars: {answer}"));
        let read = |series: &Value, exemplar: &Value| {
            Some(StoredExemplar {
                series: labels(&series["seriesLabels"])?,
                labels: labels(&exemplar["labels"])?,
                value: exemplar["value"].as_str()?.parse().ok()?,
                time_ms: (exemplar["timestamp"].as_f64()? * 1000.0).round() as i64,
            })
        };
        series
            .iter()
            .flat_map(|series| {
                series["exemplars"].as_array().into_iter().flatten().map(move |of| (series, of))
            })
            .map(|(series, of)| read(series, of).unwrap_or_else(|| panic!("no exemplar: {of}")))
            .collect()
    }

    /// Every native histogram it has, if it is Prometheus.
    #[track_caller]
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        let bucket = |bucket: &Value| {
            Some(Bucket { low: number(&bucket[1])?, high: number(&bucket[2])?, count: number(&bucket[3])? })
        };
        let histogram = |pair: &Value| {
            let (time, told) = (milliseconds(&pair[0])?, &pair[1]);
            let buckets = told["buckets"].as_array().into_iter().flatten().map(bucket);
            let (count, sum) = (number(&told["count"])?, number(&told["sum"])?);
            Some((time, Native { count, sum, buckets: buckets.collect::<Option<_>>()? }))
        };
        let read = |series: &Value| {
            let all = series["histograms"].as_array()?.iter().map(histogram);
            Some((labels(&series["metric"])?, all.collect::<Option<_>>()?))
        };
        let series = self.matrix();
        let native = series.iter().filter(|series| series.get("histograms").is_some());
        native.map(|series| read(series).unwrap_or_else(|| panic!("no histograms: {series}"))).collect()
    }

    /// All series with all their samples, as the API of Prometheus gives them.
    #[track_caller]
    fn matrix(&self) -> Vec<Value> {
        // {__name__=~".+"}[1d]
        let answer =
            http::get(self.address, "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D%5B1d%5D", &[]).text();
        let value: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        value["data"]["result"].as_array().unwrap_or_else(|| panic!("no matrix: {answer}")).clone()
    }

    #[track_caller]
    fn of_prometheus(&self) -> Written {
        let sample = |pair: &Value| Some((milliseconds(&pair[0])?, number(&pair[1])?.to_bits()));
        let read = |series: &Value| {
            let values = series["values"].as_array()?;
            Some((labels(&series["metric"])?, values.iter().map(sample).collect::<Option<Samples>>()?))
        };
        self.matrix()
            .iter()
            .filter(|series| series.get("values").is_some())
            .map(|s| read(s).expect("samples"))
            .collect()
    }

    fn of_victoria(&self) -> Written {
        // What came last is not searched yet.
        let flushed = http::get(self.address, "/internal/force_flush", &[]);
        assert_eq!(flushed.status, 200, "{}", flushed.text());
        let answer =
            http::get(self.address, "/api/v1/export?match%5B%5D=%7B__name__%3D~%22.%2B%22%7D", &[]).text();
        let mut written = Written::new();
        for line in answer.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let (times, values) = (&value["timestamps"], &value["values"]);
            let (times, values) = (times.as_array().expect("times"), values.as_array().expect("values"));
            let number = |value: &Value| match value {
                Value::String(text) => text.replace("Infinity", "inf").parse().ok(),
                other => other.as_f64(),
            };
            let samples = times
                .iter()
                .zip(values)
                .filter_map(|(time, value)| Some((time.as_i64()?, number(value)?.to_bits())));
            written.entry(labels(&value["metric"]).expect("labels")).or_default().extend(samples);
        }
        written
    }

    /// What it says of itself.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Daemon::said)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.process = None;
        // What is left is temporary anyway.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn milliseconds(seconds: &Value) -> Option<i64> {
    Some((seconds.as_f64()? * 1000.0).round() as i64)
}

/// A number as Prometheus writes it: as text.
fn number(value: &Value) -> Option<f64> {
    value.as_str()?.replace("Inf", "inf").parse().ok()
}

fn labels(metric: &Value) -> Option<BTreeMap<String, String>> {
    metric.as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
