//! The page's native histograms, as a real Prometheus reads them.

use std::collections::BTreeMap;

use observer_tests::{
    clock, observer::Agent, privileges::Privileges, prometheus::Prometheus, store::unpacked,
};
use serde_json::Value;

const FAMILY: &str = "observer_tcp_service_seconds";

/// The classic form: observations by upper bound, their sum and their number.
#[derive(Debug, Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

#[test]
fn a_real_prometheus_has_the_same_buckets() {
    let Some(program) = unpacked("prometheus") else { return };
    let agent = Agent::start(Privileges::Root, &[]);
    let prometheus = Prometheus::start_native(&program, agent.address());
    // Its scrapes are exchanges with the agent, which the kernel tells of.
    let series = clock::wait_for("a native histogram of more than one observation", || {
        let series = prometheus.matching(&format!("{FAMILY}.*"));
        let counts = series.iter().filter_map(|series| number(&series["histogram"][1]["count"]));
        (counts.fold(0.0, f64::max) >= 2.0).then_some(series)
    });
    let classic = classic(&series);
    let natives: Vec<_> = series.iter().filter(|series| !series["histogram"].is_null()).collect();
    assert_eq!(natives.len(), classic.len(), "{series:#?}");
    for series in natives {
        let (native, classic) = (&series["histogram"][1], &classic[&labels(series)]);
        assert_eq!(number(&native["count"]), Some(classic.count), "{series:#}");
        assert_eq!(number(&native["sum"]), Some(classic.sum), "{series:#}");
        assert_eq!(classic.buckets.len(), 13, "{classic:?}");
        for &(bound, expected) in &classic.buckets {
            let buckets = native["buckets"].as_array().into_iter().flatten();
            // A bound as text may be off by its last digit.
            let below =
                buckets.filter(|bucket| number(&bucket[2]).is_some_and(|upper| upper <= bound * 1.000_001));
            let count: f64 = below.filter_map(|bucket| number(&bucket[3])).sum();
            assert_eq!(count, expected, "up to {bound}: {series:#}, {classic:?}");
        }
    }
}

/// The classic forms by the labels of their series.
fn classic(series: &[Value]) -> BTreeMap<BTreeMap<String, String>, Classic> {
    let mut all: BTreeMap<_, Classic> = BTreeMap::new();
    for series in series {
        let Some(value) = number(&series["value"][1]) else { continue };
        let name = series["metric"]["__name__"].as_str().expect("a name");
        let classic = all.entry(labels(series)).or_default();
        match name.strip_prefix(FAMILY) {
            Some("_bucket") => {
                let bound = number(&series["metric"]["le"]).expect("a bound");
                classic.buckets.push((bound, value));
            }
            Some("_sum") => classic.sum = value,
            Some("_count") => classic.count = value,
            other => panic!("{other:?}: {series:#}"),
        }
    }
    all
}

/// The labels that both forms have.
fn labels(series: &Value) -> BTreeMap<String, String> {
    let labels = series["metric"].as_object().expect("labels");
    let common = labels.iter().filter(|(name, _)| !matches!(name.as_str(), "__name__" | "le"));
    common.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// A number as the API writes it: as text.
fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}
