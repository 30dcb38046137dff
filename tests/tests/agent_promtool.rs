//! The page as Prometheus' own checker sees it.

use std::{collections::BTreeSet, path::Path};

use observer_tests::{
    daemon::{run_with_input, tool},
    exporter::{self, Exporter},
    http,
    observer::Agent,
    page::Page,
    privileges::Privileges,
};

/// What promtool says about a page. It must be able to read it.
#[track_caller]
fn complaints(promtool: &Path, text: &str) -> BTreeSet<String> {
    let (_, said) = run_with_input(promtool, &["check", "metrics"], text);
    assert!(!said.contains("error while linting"), "promtool cannot read the page: {said}");
    said.lines().map(str::to_owned).collect()
}

fn all_up(page: &Page) -> bool {
    page.of("up", &[]).filter(|sample| sample.value == 1.0).count() == 2
}

/// The kernel's and the agent's own families are faultless. The exporters' names stay theirs, with all that promtool says
/// about them on their own pages; nothing is added.
#[test]
fn promtool_accepts_the_page() {
    let (Some(promtool), Some((_server, redis))) = (tool("promtool"), exporter::redis()) else { return };
    // All of netstat: the agent itself shows more of it than the exporter by default.
    let node = Exporter::node_with(&["--collector.netstat.fields=.*"]);
    let (Some(node), Some(redis)) = (node, Exporter::redis(redis)) else { return };
    let own =
        |exporter: &Exporter| complaints(&promtool, &http::get(exporter.address(), "/metrics", &[]).text());
    let theirs: BTreeSet<String> = own(&node).union(&own(&redis)).cloned().collect();
    let check = |page: &Page| {
        let added: Vec<_> = complaints(&promtool, &page.text).difference(&theirs).cloned().collect();
        assert!(added.is_empty(), "{added:#?}");
    };

    let agent = Agent::start(
        Privileges::Root,
        &["--scrape", &node.scrape("node"), "--scrape", &redis.scrape("redis")],
    );
    let page = agent.page_with(all_up);
    assert!(all_up(&page), "{}", page.text);
    check(&page);
    let ours = http::get(agent.address(), "/metrics?collect[]=kernel&collect[]=self", &[]).text();
    assert!(Page::parse(&ours).sum("observer_windows_total", &[]) > 0.0, "{ours}");
    let (well, said) = run_with_input(&promtool, &["check", "metrics"], &ours);
    assert!(well, "{said}");
    assert_eq!(page.of("node_load1", &[]).count(), 1, "the agent is silent where the exporter speaks");

    // Without node_exporter the agent's own readings speak, under the same names.
    let alone = Agent::start(Privileges::Root, &[]);
    let page = alone.page_with(|page| page.sum("node_memory_MemTotal_bytes", &[]) > 0.0);
    assert!(page.sum("node_memory_MemTotal_bytes", &[]) > 0.0, "{}", page.text);
    check(&page);
}
