//! Exemplars from an exporter to every export: each is there once, with its labels, value and time. Where there is one, by way of a
//! real Prometheus.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use observer_tests::{
    clock,
    config::{Config, Directory},
    observer::Agent,
    otlp,
    page::Page,
    privileges::Privileges,
    store::{Kind, Store, StoredExemplar},
};
use serde_json::{Value, json};

/// How many exemplars the counter has, one after the other.
const EXEMPLARS: usize = 4;

/// Scrapes from one exemplar to the next. Were it each, two that a busy machine lets fall into one second would be one to see.
const SCRAPES: usize = 3;

/// An exemplar as the exporter has told it: of the counter, or of the bucket, which does not say when it was.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
    time_ms: Option<i64>,
}

/// An exporter of OpenMetrics whose exemplars change until there were as many as wanted. Answers until the test is over.
struct Script {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Script {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("ports are to be had");
        let address = listener.local_addr().expect("it is bound");
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        thread::spawn(move || {
            for (stream, scrape) in listener.incoming().flatten().zip(0..) {
                let mut stream = stream;
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                // The head of the request.
                if lines.any(|line| line.is_empty()) {
                    let body = body(scrape, &telling);
                    // Who asked may be gone.
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                }
            }
        });
        Self { address, told }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().expect("nobody panics with it").clone()
    }
}

/// The body of a scrape. First there is no exemplar, then one after the other, and the last stays.
fn body(scrape: usize, told: &Mutex<Vec<Told>>) -> String {
    let number = (scrape / SCRAPES).min(EXEMPLARS);
    let mut told = told.lock().expect("nobody panics with it");
    if number > 0 && told.len() < 2 * number {
        let trace = format!("{:032x}", 0xabc_0000 + number);
        told.push(Told {
            name: "work_total",
            labels: vec![("trace_id", trace), ("text", format!("\"{number}\"\\\n"))],
            value: number as f64 + 0.5,
            time_ms: i64::try_from(clock::since_1970().as_millis()).ok(),
        });
        told.push(Told {
            name: "seconds_bucket",
            labels: vec![("n", number.to_string())],
            value: 0.25,
            time_ms: None,
        });
    }
    let exemplar = |name| {
        let last = told.iter().rev().find(|of| of.name == name);
        last.map_or_else(String::new, |Told { labels, value, time_ms, .. }| {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let labels: Vec<_> =
                labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
            let time = time_ms.map_or_else(String::new, |ms| format!(" {}.{:03}", ms / 1000, ms % 1000));
            format!(" # {{{}}} {value}{time}", labels.join(","))
        })
    };
    format!(
        "# TYPE work counter\nwork_total {scrape}{}\n\
         # TYPE seconds histogram\nseconds_bucket{{le=\"0.5\"}} {scrape}{}\nseconds_bucket{{le=\"+Inf\"}} {scrape}\n\
         seconds_count {scrape}\nseconds_sum {scrape}\n# EOF\n",
        exemplar("work_total"),
        exemplar("seconds_bucket")
    )
}

/// What the store has is what was told: each exemplar once, in the order of time.
#[track_caller]
fn check(message: &str) {
    let Some(store) = Store::start(Kind::Prometheus) else { return };
    let script = Script::start();
    let config = Config::new(&format!(
        "remote_write: [{{name: e, url: '{}', protobuf_message: {message}, send_exemplars: true}}]\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n",
        store.url(),
        script.address
    ));
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    let delivered =
        |page: &Page| page.sum("observer_export_delivered_samples_total", &[("kind", "exemplar")]);
    let all = 2.0 * EXEMPLARS as f64;
    let page = agent.page_with(|page| delivered(page) >= all);
    assert!(delivered(&page) >= all, "{}", page.text);
    // The last one stays, and is not sent with what comes then.
    let samples = |page: &Page| page.sum("observer_export_delivered_samples_total", &[("kind", "sample")]);
    let before = samples(&page);
    let page = agent.page_with(|page| samples(page) > before + 50.0);
    assert!(delivered(&page) == all && samples(&page) > before + 50.0, "{}", page.text);
    assert_eq!(page.sum("observer_exemplars", &[]), 2.0, "{}", page.text);
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");

    let (told, stored, samples) = (script.told(), store.exemplars(), store.samples());
    for name in ["work_total", "seconds_bucket"] {
        let of = |stored: &&StoredExemplar| stored.series["__name__"] == name;
        let (told, stored): (Vec<_>, Vec<_>) =
            (told.iter().filter(|told| told.name == name).collect(), stored.iter().filter(of).collect());
        assert_eq!(told.len(), stored.len(), "{told:?}\n{stored:?}");
        for (told, stored) in told.iter().zip(&stored) {
            let labels = told.labels.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
            assert_eq!(stored.labels, labels.collect());
            assert_eq!(stored.value, told.value);
            match told.time_ms {
                Some(time_ms) => assert_eq!(stored.time_ms, time_ms),
                // That of a sample of its series.
                None => {
                    let (_, of) =
                        samples.iter().find(|(labels, _)| **labels == stored.series).expect("its series");
                    assert!(of.iter().any(|(time_ms, _)| *time_ms == stored.time_ms), "{stored:?} {of:?}");
                }
            }
        }
    }
}

#[test]
fn prometheus_has_every_exemplar_once_by_version_1() {
    check("prometheus.WriteRequest");
}

#[test]
fn prometheus_has_every_exemplar_once_by_version_2() {
    check("io.prometheus.write.v2.Request");
}

/// The Prometheus of the distribution takes no OTLP.
#[test]
fn a_receiver_of_otlp_has_every_exemplar_once() {
    let (script, receiver) = (Script::start(), otlp::Receiver::start());
    let config = Config::new(&format!(
        "export: {{otlp: [{{endpoint: '{}', compression: none, histograms: explicit}}]}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n",
        receiver.endpoint(),
        script.address
    ));
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    clock::wait_for("the exemplars", || (receiver.exemplars().len() >= 2 * EXEMPLARS).then_some(()));
    let windows = |page: &Page| page.sum("observer_windows_total", &[]);
    let before = windows(&agent.page());
    assert!(windows(&agent.page_with(|page| windows(page) >= before + 3.0)) >= before + 3.0);
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    for (name, metric) in [("work_total", "work_total"), ("seconds_bucket", "seconds")] {
        let mut came = receiver.exemplars().into_iter().filter(|of| of.metric == metric);
        for told in script.told().iter().filter(|told| told.name == name) {
            let of = came.next().expect("as many as were told");
            let labels = told.labels.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
            assert_eq!((of.labels, of.value), (labels.collect(), told.value));
            // Without a time it has that of its point, the end of a window.
            assert!(told.time_ms.map_or(of.time_ms % 1000 == 0, |time_ms| of.time_ms == time_ms));
        }
        assert_eq!(came.next(), None, "each once");
    }
}

/// The exemplars in a file of lines, by the names of their samples.
fn in_lines(file: &Directory) -> Vec<(String, Value)> {
    // Not every line is there yet, and the last may be half there.
    let text = fs::read_to_string(lines_of(file)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of = |line: Value| {
        let name = line["name"].as_str().unwrap_or_default().to_owned();
        let exemplars = line["exemplars"].as_array().cloned().unwrap_or_default();
        exemplars.into_iter().map(move |of| (name.clone(), of))
    };
    lines.flat_map(of).collect()
}

fn lines_of(directory: &Directory) -> String {
    format!("{}/lines", directory.path())
}

/// The lines have what was told, each once.
#[track_caller]
fn agree(told: &[Told], lines: &Directory) {
    for name in ["work_total", "seconds_bucket"] {
        let expected =
            told.iter().filter(|told| told.name == name).map(|Told { labels, value, time_ms, .. }| {
                let labels: BTreeMap<_, _> = labels.iter().map(|(name, text)| (*name, text)).collect();
                let mut of = json!({"labels": labels, "value": value});
                if let Some(time_ms) = time_ms {
                    of["time_ms"] = (*time_ms).into();
                }
                of
            });
        let found = in_lines(lines).into_iter().filter(|(of, _)| of == name).map(|(_, exemplar)| exemplar);
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
    }
}

/// One agent reads the exporter, the other the first one's page; both write lines.
#[track_caller]
fn read_again(protocol: &str) {
    let script = Script::start();
    let start = |target: &str, protocol: &str, lines: &Directory| {
        let config = Config::new(&format!(
            "scrape_configs: [{{job_name: j, honor_labels: true, scrape_protocols: [{protocol}], \
             static_configs: [{{targets: ['{target}']}}]}}]\n\
             export: {{ndjson: [{{path: '{}'}}]}}\n",
            lines_of(lines)
        ));
        let args = ["--config", config.path(), "--no-tcp", "--no-node"];
        (Agent::start(Privileges::Root, &args), config)
    };
    let lines = [Directory::new(), Directory::new()];
    let (first, _config) = start(&script.address.to_string(), "OpenMetricsText1.0.0", &lines[0]);
    let (second, _config) = start(&first.address().to_string(), protocol, &lines[1]);
    clock::wait_for("the last exemplar", || {
        let last = |(_, of): &(String, Value)| of["value"] == EXEMPLARS as f64 + 0.5;
        in_lines(&lines[1]).iter().any(last).then_some(())
    });
    for agent in [second, first] {
        let (code, said) = agent.stop();
        assert_eq!(code, Some(0), "{said}");
    }
    lines.iter().for_each(|lines| agree(&script.told(), lines));
}

#[test]
fn lines_and_openmetrics_pages_have_every_exemplar_once() {
    read_again("OpenMetricsText1.0.0");
}

#[test]
fn lines_and_protobuf_pages_have_every_exemplar_once() {
    read_again("PrometheusProto");
}
