//! `observer run` before real exporters and behind a real Prometheus.

use std::collections::BTreeMap;

use observer_tests::{
    clock,
    daemon::{Daemon, tool},
    exporter::{self, Exporter},
    http,
    observer::Agent,
    page::{Page, Sample},
    privileges::Privileges,
    prometheus::Prometheus,
};

/// A node exporter, and a Redis with its exporter, before an agent.
struct Stage {
    node: Exporter,
    redis: Exporter,
    redis_port: u16,
    agent: Agent,
    _server: Daemon,
}

impl Stage {
    /// Starts it all and waits until the page has everything; none if a program is not installed.
    fn new() -> Option<Self> {
        let (server, address) = exporter::redis()?;
        let (node, redis) = (Exporter::node()?, Exporter::redis(address)?);
        let scrapes = ["--scrape", &node.scrape("node"), "--scrape", &redis.scrape("redis")];
        let agent = Agent::start(Privileges::Root, &scrapes);
        let stage = Self { node, redis, redis_port: address.port(), agent, _server: server };
        let page = stage.agent.page_with(|page| up(page, "node") == 1.0 && up(page, "redis") == 1.0);
        assert_eq!((up(&page, "node"), up(&page, "redis")), (1.0, 1.0), "{}", stage.agent.stderr());
        Some(stage)
    }
}

fn up(page: &Page, job: &str) -> f64 {
    page.sum("up", &[("job", job)])
}

fn windows(page: &Page) -> f64 {
    page.sum("observer_windows_total", &[])
}

#[test]
fn the_kernel_tells_about_the_exporters_too() {
    let Some(stage) = Stage::new() else { return };
    for exporter in [&stage.node, &stage.redis] {
        let port = exporter.address().port().to_string();
        let of = |role| [("port", port.as_str()), ("role", role), ("peer", "127.0.0.1")];
        let (client, server) = (of("client"), of("server"));
        let complete = |page: &Page| {
            page.sum("observer_tcp_response_seconds_count", &client) >= 2.0
                && page.sum("observer_tcp_service_seconds_count", &server) >= 2.0
                && page.sum("observer_tcp_received_bytes_total", &client) > 0.0
        };
        let page = stage.agent.page_with(complete);
        assert!(complete(&page), "port {port}:\n{}", page.text);
        let connects: Vec<_> = page.of("observer_tcp_connects_total", &client).collect();
        assert_eq!(connects.len(), 1, "{connects:?}");
        assert_eq!((&*connects[0].labels["comm"], &*connects[0].labels["outcome"]), ("observer", "success"));
        // Scrapes keep their connection.
        assert_eq!(connects[0].value, 1.0);
        assert_eq!(page.sum("observer_tcp_accepts_total", &server), 1.0);
    }
    // The exporter's own connection to what it exports.
    let port = stage.redis_port.to_string();
    let of_redis = [("port", port.as_str()), ("role", "server"), ("comm", "redis-server")];
    let page = stage.agent.page_with(|page| page.sum("observer_tcp_accepts_total", &of_redis) > 0.0);
    assert!(page.sum("observer_tcp_accepts_total", &of_redis) > 0.0, "{}", page.text);
}

#[test]
fn open_metrics_has_the_same_series() {
    let Some(stage) = Stage::new() else { return };
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let both = clock::wait_for("both formats of one window", || {
        let answer = http::get(stage.agent.address(), "/metrics", &[accept]);
        assert!(answer.field("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
        assert!(answer.text().ends_with("\n# EOF\n"));
        let (open, text) = (Page::parse(&answer.text()), stage.agent.page());
        (windows(&open) == windows(&text)).then_some((open, text))
    });
    let (open, text) = (keyed(&both.0.samples), keyed(&both.1.samples));
    let missing: Vec<_> = text.iter().filter(|(key, value)| open.get(*key) != Some(*value)).collect();
    assert!(
        missing.is_empty(),
        "{} of {}: {:#?}",
        missing.len(),
        text.len(),
        &missing[..missing.len().min(9)]
    );
}

#[test]
fn a_real_prometheus_stores_what_the_page_says() {
    let (Some(program), Some(stage)) = (tool("prometheus"), Stage::new()) else { return };
    let prometheus = Prometheus::start(&program, stage.agent.address());
    // By number of windows: what Prometheus stored was one of them.
    let mut pages: BTreeMap<u64, Page> = BTreeMap::new();
    let (page, stored) = clock::wait_for("Prometheus to store a page that was also read here", || {
        let page = stage.agent.page();
        pages.insert(windows(&page) as u64, page);
        let stored = prometheus.series();
        let window = stored.iter().find(|sample| sample.name == "observer_windows_total")?.value as u64;
        pages.get(&window).map(|page| (page.clone(), stored))
    });
    let instance = stage.agent.address().to_string();
    let stored = keyed(&stored);
    let wrong: Vec<String> = page
        .samples
        .iter()
        .filter_map(|sample| {
            // What has no such labels of its own gets Prometheus' names for the page.
            let mut with = sample.clone();
            with.labels.entry("job".to_owned()).or_insert_with(|| "observer".to_owned());
            with.labels.entry("instance".to_owned()).or_insert_with(|| instance.clone());
            let (key, value) = key(&with);
            let found = stored.get(&key);
            (found != Some(&value)).then(|| format!("{key}: {value} on the page, {found:?} in Prometheus"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        page.samples.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(page.samples.len() > 500, "only {} samples", page.samples.len());
}

/// Samples by name and labels. A value is its text: not a number equals itself.
fn keyed(samples: &[Sample]) -> BTreeMap<String, String> {
    samples.iter().map(key).collect()
}

fn key(sample: &Sample) -> (String, String) {
    let mut labels = sample.labels.clone();
    // An empty label is none, and bounds are numbers.
    labels.retain(|_, value| !value.is_empty());
    for bound in ["le", "quantile"] {
        if let Some(value) = labels.get_mut(bound)
            && let Ok(number) = value.parse::<f64>()
        {
            *value = number.to_string();
        }
    }
    (format!("{}{labels:?}", sample.name), sample.value.to_string())
}

#[test]
fn an_exporter_that_dies_is_down_until_it_is_back() {
    let Some(mut stage) = Stage::new() else { return };
    stage.redis.kill();
    let page = stage.agent.page_with(|page| up(page, "redis") == 0.0);
    assert_eq!((up(&page, "redis"), up(&page, "node")), (0.0, 1.0));
    // `up` is all that is left of it.
    assert_eq!(page.of("redis_up", &[]).count(), 0);
    stage.redis.restart();
    let back =
        stage.agent.page_with(|page| up(page, "redis") == 1.0 && page.of("redis_up", &[]).count() == 1);
    assert_eq!((up(&back, "redis"), back.of("redis_up", &[]).count()), (1.0, 1));
}
