//! `/api/v1/targets`, in the shape of Prometheus' API.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#targets>

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::route::rfc3339;
use crate::{config::write_duration, window::TargetSnapshot};

/// What `state=` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selection<'q> {
    pub(super) active: bool,
    /// `scrapePool=`
    pub(super) pool: Option<&'q str>,
}

#[derive(Serialize)]
struct Answer<'s> {
    status: &'static str,
    data: Data<'s>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'s> {
    active_targets: Vec<Active<'s>>,
    /// Targets that relabelling dropped: there is none.
    dropped_targets: [(); 0],
    dropped_target_counts: BTreeMap<&'s str, usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active<'s> {
    discovered_labels: BTreeMap<&'s str, String>,
    labels: BTreeMap<&'s str, &'s str>,
    scrape_pool: &'s str,
    scrape_url: String,
    global_url: String,
    last_error: &'s str,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

/// The body of the answer.
pub(super) fn targets(snapshots: &[Arc<TargetSnapshot>], selection: Selection<'_>) -> String {
    let selected = snapshots.iter().filter(|s| selection.pool.is_none_or(|pool| pool == &*s.job));
    let active_targets: Vec<_> =
        if selection.active { selected.map(|snapshot| active(snapshot)).collect() } else { Vec::new() };
    let dropped_target_counts = active_targets.iter().map(|target| (target.scrape_pool, 0)).collect();
    let data = Data { active_targets, dropped_targets: [], dropped_target_counts };
    // Strings, numbers and maps with keys that are strings.
    serde_json::to_string(&Answer { status: "success", data }).expect("plain data is JSON")
}

fn active(snapshot: &TargetSnapshot) -> Active<'_> {
    let TargetSnapshot { job, target, settings, health, last_error, last_scrape_ms, duration, .. } = snapshot;
    let url = target.url.to_string();
    let interval = write_duration(settings.interval);
    let timeout = write_duration(settings.timeout);
    let address = target.url.authority().map_or("", |authority| authority.as_str());
    let discovered_labels = BTreeMap::from([
        ("__address__", address.to_owned()),
        ("__metrics_path__", target.url.path().to_owned()),
        ("__scheme__", "http".to_owned()),
        ("__scrape_interval__", interval.clone()),
        ("__scrape_timeout__", timeout.clone()),
        ("job", job.to_string()),
    ]);
    Active {
        discovered_labels,
        labels: target.labels.iter().map(|(name, value)| (&**name, &**value)).collect(),
        scrape_pool: job,
        global_url: url.clone(),
        scrape_url: url,
        last_error,
        last_scrape: rfc3339(*last_scrape_ms),
        last_scrape_duration: duration.as_secs_f64(),
        health: health.as_str(),
        scrape_interval: interval,
        scrape_timeout: timeout,
    }
}
