//! `observer run --otlp` and `--ndjson`: what a real store got over OTLP is what stands in the lines of JSON, each sample once.

use std::{
    collections::BTreeMap, fs, io::Read as _, net::SocketAddr, os::unix::net::UnixListener, path::PathBuf,
    process::Command, thread,
};

use observer_tests::{
    clock,
    config::Config,
    daemon::{self, Daemon, scratch},
    exporter::Exporter,
    observer::Agent,
    privileges::Privileges,
    store::{Kind, Store},
    written::{Samples, Written},
};
use serde_json::Value;

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

/// Every line, read.
fn lines(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'), "half a line: {:?}", text.lines().last());
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The samples of the lines that a store has under the same name, by labels as OTLP has them.
fn told(lines: &[Value]) -> Written {
    let mut written = Written::new();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for line in lines.iter().filter(|line| line["value"].is_number()) {
        let name = text(&line["name"]);
        let alone = matches!(line["type"].as_str(), Some("gauge" | "counter" | "unknown"));
        if !alone && !name.ends_with("_sum") && !name.ends_with("_count") {
            continue;
        }
        let mut labels = BTreeMap::from([("__name__".to_owned(), name)]);
        let scraped = line["source"] == "scrape";
        for (name, value) in line["labels"].as_object().expect("labels") {
            let name = match &**name {
                "job" if scraped => "service.name",
                "instance" if scraped => "service.instance.id",
                name => name,
            };
            labels.insert(name.to_owned(), text(value));
        }
        if !scraped {
            labels.insert("service.name".to_owned(), "observer".to_owned());
        }
        let time = line["time_ms"].as_i64().expect("a time");
        let value = line["value"].as_f64().expect("a number");
        written.entry(labels).or_default().push((time, value.to_bits()));
    }
    written
}

/// The samples of the series with at least these labels; a store has the resource's other attributes as labels too.
fn found<'a>(written: &'a Written, labels: &BTreeMap<String, String>) -> Vec<&'a Samples> {
    let has =
        |all: &BTreeMap<String, String>| labels.iter().all(|(name, value)| all.get(name) == Some(value));
    written.iter().filter(|(all, _)| has(all)).map(|(_, samples)| samples).collect()
}

#[test]
fn a_store_has_over_otlp_what_the_lines_say() {
    let (Some(node), Some(store)) = (Exporter::node(), Store::start(Kind::Victoria)) else { return };
    check(&node, &store, &format!("endpoint: '{}'", otlp_of(&store)));
}

/// Where the store takes OTLP over HTTP.
fn otlp_of(store: &Store) -> String {
    store.url().replace("/api/v1/write", "/opentelemetry/v1/metrics")
}

/// A collector by others, which posts to the store what it gets: over gRPC at the one address, over HTTP at the other.
fn collector(program: PathBuf, store: &Store) -> (Daemon, SocketAddr, SocketAddr) {
    let (grpc, http) = (daemon::free_address(), daemon::free_address());
    let mut command = Command::new(program);
    command
        .args(["start", "--pid-file", &scratch("pid").to_string_lossy()])
        .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
        .args(["--otlp-exporter-metrics-endpoint", &otlp_of(store)])
        // It wants to know them, and gets none of either.
        .args([
            "--otlp-exporter-traces-endpoint",
            &store.url(),
            "--otlp-exporter-logs-endpoint",
            &store.url(),
        ]);
    let mut process = Daemon::spawn(command);
    process.wait_for_port(grpc);
    process.wait_for_port(http);
    (process, grpc, http)
}

#[test]
fn a_collector_gets_over_grpc_what_the_lines_say() {
    let (Some(node), Some(store)) = (Exporter::node(), Store::start(Kind::Victoria)) else { return };
    let Some(program) = daemon::packaged("rotel/rotel-agent") else { return };
    let (_process, grpc, _) = collector(program, &store);
    check(&node, &store, &format!("endpoint: 'http://{grpc}', protocol: grpc"));
}

#[test]
fn a_collector_gets_over_http_what_the_lines_say() {
    let (Some(node), Some(store)) = (Exporter::node(), Store::start(Kind::Victoria)) else { return };
    let Some(program) = daemon::packaged("rotel/rotel-agent") else { return };
    let (_process, _, http) = collector(program, &store);
    check(&node, &store, &format!("endpoint: 'http://{http}/v1/metrics', protocol: http/protobuf"));
}

/// Posts windows by these lines of YAML, and finds them in the store.
#[track_caller]
fn check(node: &Exporter, store: &Store, endpoint: &str) {
    let file = Scratch(scratch("ndjson"));
    let lines_to = file.0.display().to_string();
    let config = Config::new(&format!("export: {{otlp: [{{name: o, {endpoint}}}]}}\n"));
    let scraped = node.scrape("node");
    let args = ["--config", config.path(), "--no-tcp", "--scrape", &scraped, "--ndjson", &lines_to];
    let agent = Agent::start(Privileges::Root, &args);
    clock::wait_for("eight windows", || {
        let text = fs::read_to_string(&file.0).ok()?;
        (text.matches("\"kind\":\"window\"").count() >= 8).then_some(())
    });
    let (code, stderr) = agent.stop();
    assert_eq!(code, Some(0), "{stderr}");

    let lines = lines(&fs::read_to_string(&file.0).expect("lines"));
    let numbers: Vec<_> = lines.iter().filter_map(|line| line["window"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let told = told(&lines);
    assert!(told.len() > 300, "{}", told.len());
    // A store may take a moment until it finds what it has.
    if clock::wait(|| differs(&told, &store.samples()).is_none().then_some(())).is_none() {
        panic!("{:?}\n{stderr}", differs(&told, &store.samples()));
    }
}

/// A series of which the store does not have each sample once.
fn differs(told: &Written, stored: &Written) -> Option<String> {
    told.iter().find_map(|(labels, samples)| {
        let same = |there: &Samples| {
            let mut there = there.clone();
            there.sort_unstable();
            there.len() == samples.len()
                && there.iter().zip(samples).all(|(there, told)| is_same(there, told))
        };
        let found = found(stored, labels);
        let fits = found.len() == 1 && found.iter().all(|samples| same(samples));
        (!fits).then(|| format!("{labels:?}: {samples:?}, but {found:?}"))
    })
}

/// The store keeps decimal digits, and not all of them.
fn is_same(there: &(i64, u64), told: &(i64, u64)) -> bool {
    let (stored, value) = (f64::from_bits(there.1), f64::from_bits(told.1));
    there.0 == told.0 && (stored - value).abs() <= value.abs() * 1e-14
}

#[test]
fn a_reader_on_a_socket_gets_whole_lines() {
    let socket = Scratch(scratch("lines.sock"));
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    let place = format!("unix:{}", socket.0.display());
    let agent = Agent::start(Privileges::Root, &["--no-tcp", "--ndjson", &place]);
    let (mut stream, _) = listener.accept().expect("the agent connects");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    let _page = agent.page_with(|page| page.sum("observer_windows_total", &[]) >= 3.0);
    let (code, stderr) = agent.stop();
    assert_eq!(code, Some(0), "{stderr}");
    let lines = lines(&reader.join().expect("a reader").expect("text"));
    assert!(lines.iter().all(|line| line["v"] == 1));
    assert_eq!(lines.last().map(|line| &line["kind"]), Some(&Value::from("window")));
}
