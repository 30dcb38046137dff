//! Beside real programs: exporters from Debian behind the agent, promtool on its page, a real Prometheus in front of it.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use observer_tests::{
    clock,
    daemon::{self, Daemon, free_address, tool},
    http,
    observer::Agent,
    page::Page,
    privileges::Privileges,
};

/// node_exporter and a redis exporter with a redis, and where to scrape them.
struct Exporters {
    node: SocketAddr,
    redis: SocketAddr,
    daemons: Vec<Daemon>,
}

impl Exporters {
    /// None if one of them is not installed.
    fn start() -> Option<Self> {
        let node_exporter = tool("prometheus-node-exporter")?;
        let (redis_server, redis_exporter) = (tool("redis-server")?, tool("prometheus-redis-exporter")?);
        let (node, database, redis) = (free_address(), free_address(), free_address());
        let daemons = vec![
            // All of netstat: the agent itself shows more of it than the exporter by default.
            Daemon::start(
                &node_exporter,
                &[&format!("--web.listen-address={node}"), "--collector.netstat.fields=.*"],
            ),
            Daemon::start(
                &redis_server,
                &[
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &database.port().to_string(),
                    "--save",
                    "",
                    "--dir",
                    "/tmp",
                ],
            ),
            Daemon::start(
                &redis_exporter,
                &[&format!("-redis.addr=redis://{database}"), &format!("-web.listen-address={redis}")],
            ),
        ];
        let mut exporters = Self { node, redis, daemons };
        for (daemon, address) in exporters.daemons.iter_mut().zip([node, database, redis]) {
            daemon.wait_for_port(address);
        }
        Some(exporters)
    }

    fn flags(&self) -> [String; 4] {
        let (node, redis) = (self.node, self.redis);
        let scrape = || "--scrape".to_owned();
        [scrape(), format!("node=http://{node}/metrics"), scrape(), format!("redis=http://{redis}/metrics")]
    }

    fn agent(&self) -> Agent {
        let flags = self.flags();
        Agent::start(Privileges::Root, &flags.each_ref().map(String::as_str))
    }
}

const JOBS: [&str; 2] = ["node", "redis"];

fn is_up(page: &Page, job: &str) -> bool {
    page.of("up", &[("job", job)]).any(|sample| sample.value == 1.0)
}

fn all_up(page: &Page) -> bool {
    JOBS.iter().all(|job| is_up(page, job))
}

#[test]
fn exporters_and_kernel_share_one_page_that_turns_over() {
    let Some(mut exporters) = Exporters::start() else { return };
    let agent = exporters.agent();
    let page = agent.page_with(|page| all_up(page) && page.sum("observer_tcp_connects_total", &[]) > 0.0);
    assert!(all_up(&page), "{}", page.text);
    for job in JOBS {
        let labels = [("job", job)];
        let samples = page.sum("scrape_samples_scraped", &labels);
        assert!(samples > 50.0, "{job}: {samples} samples");
        let duration = page.sum("scrape_duration_seconds", &labels);
        assert!(duration > 0.0, "{job}: took {duration}");
    }
    assert_eq!(page.sum("redis_up", &[("job", "redis")]), 1.0);
    let instance = exporters.node.to_string();
    let labels = [("job", "node"), ("instance", instance.as_str())];
    let (load, time) = (page.of("node_load1", &[]).count(), page.sum("node_time_seconds", &labels));
    assert_eq!(load, 1, "the agent's own reading is silent where the exporter speaks");
    assert!(time > 0.0, "{}", page.text);
    // From one second to the next.
    let later = agent.page_with(|page| page.sum("node_time_seconds", &labels) > time);
    assert!(later.sum("node_time_seconds", &labels) > time);
    // The kernel saw the agent scrape.
    let port = exporters.node.port().to_string();
    let scraper = [("port", port.as_str()), ("comm", "observer"), ("role", "client"), ("outcome", "success")];
    assert!(page.sum("observer_tcp_connects_total", &scraper) >= 1.0, "{}", page.text);

    // The exporter goes away: its metrics too, and `up` says so.
    drop(exporters.daemons.remove(0));
    let gone = |page: &Page| {
        page.of("up", &[("job", "node")]).all(|sample| sample.value == 0.0)
            && page.of("node_time_seconds", &labels).next().is_none()
    };
    let page = agent.page_with(gone);
    assert!(gone(&page) && is_up(&page, "redis"), "{}", page.text);
    let refused = [&scraper[..3], &[("outcome", "refused"), ("error", "ECONNREFUSED")]].concat();
    let page = agent.page_with(|page| page.sum("observer_tcp_connects_total", &refused) > 0.0);
    assert!(page.sum("observer_tcp_connects_total", &refused) > 0.0, "the kernel saw why");
}

/// What promtool says about a page. It must be able to read it.
#[track_caller]
fn complaints(promtool: &Path, text: &str) -> BTreeSet<String> {
    let (_, said) = daemon::run_with_input(promtool, &["check", "metrics"], text);
    assert!(!said.contains("error while linting"), "promtool cannot read the page: {said}");
    said.lines().map(str::to_owned).collect()
}

/// The kernel's and the agent's own families are faultless. The exporters' names stay theirs, with all that promtool says
/// about them on their own pages; nothing is added.
#[test]
fn promtool_accepts_the_page() {
    let (Some(promtool), Some(exporters)) = (tool("promtool"), Exporters::start()) else { return };
    let own = |address| complaints(&promtool, &http::get(address, "/metrics", &[]).text());
    let theirs: BTreeSet<String> = own(exporters.node).union(&own(exporters.redis)).cloned().collect();
    let agent = exporters.agent();
    let page = agent.page_with(all_up);
    assert!(all_up(&page), "{}", page.text);
    let added: Vec<_> = complaints(&promtool, &page.text).difference(&theirs).cloned().collect();
    assert!(added.is_empty(), "{added:#?}");

    let ours = http::get(agent.address(), "/metrics?collect[]=kernel&collect[]=self", &[]).text();
    assert!(Page::parse(&ours).sum("observer_windows_total", &[]) > 0.0, "{ours}");
    let (well, said) = daemon::run_with_input(&promtool, &["check", "metrics"], &ours);
    assert!(well, "{said}");

    // Without node_exporter the agent's own readings speak, under the same names.
    let alone = Agent::start(Privileges::Root, &[]);
    let page = alone.page_with(|page| page.sum("node_memory_MemTotal_bytes", &[]) > 0.0);
    let added: Vec<_> = complaints(&promtool, &page.text).difference(&theirs).cloned().collect();
    assert!(added.is_empty(), "{added:#?}");
}

#[test]
fn prometheus_scrapes_the_page() {
    let (Some(prometheus), Some(exporters)) = (tool("prometheus"), Exporters::start()) else { return };
    let agent = exporters.agent();
    let _ = agent.page_with(all_up);
    let (address, config, data) = (free_address(), daemon::scratch("yml"), daemon::scratch("data"));
    let target = agent.address();
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: observer, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n"
    );
    fs::write(&config, text).expect("a temporary file can be written");
    let mut prometheus = Daemon::start(
        &prometheus,
        &[
            &format!("--config.file={}", config.display()),
            &format!("--storage.tsdb.path={}", data.display()),
            &format!("--web.listen-address={address}"),
        ],
    );
    prometheus.wait_for_port(address);
    let query = |query: &str| -> Option<f64> {
        let answer = http::get(address, &format!("/api/v1/query?query={query}"), &[]);
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    };
    prometheus
        .wait_for("scrape of the agent", || query("up{job=\"observer\"}").filter(|up| *up == 1.0).map(drop));
    for series in
        ["redis_up", "sum(node_cpu_seconds_total)", "sum(observer_tcp_connects_total)", "up{job=\"node\"}"]
    {
        let value = prometheus.wait_for(series, || query(series));
        assert!(value > 0.0, "{series} is {value}");
    }
    // What it reads moves on from scrape to scrape.
    let first = prometheus.wait_for("windows", || query("observer_windows_total"));
    clock::wait_for("the next windows in Prometheus", || {
        query("observer_windows_total").filter(|now| *now > first)
    });
    let targets = http::get(address, "/api/v1/targets", &[]).text();
    assert!(targets.contains("\"lastError\":\"\""), "{targets}");
    drop(prometheus);
    // Best effort: they are temporary files.
    let _ = (fs::remove_file(config), fs::remove_dir_all(data));
}
