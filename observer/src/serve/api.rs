//! `/api/v1/targets`, in the shape of Prometheus' API.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#targets>

use std::collections::BTreeMap;

use serde::Serialize;

use super::route::rfc3339;
use crate::{
    config::{Job, write_duration},
    window::{TargetList, TargetSnapshot},
};

/// What `state=` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selection<'q> {
    pub(super) active: bool,
    pub(super) dropped: bool,
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
    dropped_targets: Vec<DroppedTarget<'s>>,
    dropped_target_counts: BTreeMap<&'s str, usize>,
}

/// A target that relabelling dropped.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget<'s> {
    discovered_labels: BTreeMap<&'s str, &'s str>,
    scrape_pool: &'s str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active<'s> {
    discovered_labels: BTreeMap<&'s str, &'s str>,
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
    /// Series for which there was no room. Not of Prometheus' API.
    #[serde(skip_serializing_if = "Option::is_none")]
    series_refused: Option<usize>,
}

/// The body of the answer.
pub(super) fn targets(list: &TargetList, selection: Selection<'_>) -> String {
    let of_pool = |job: &Job| selection.pool.is_none_or(|pool| pool == job.name);
    let active = list.active.iter().filter(|s| selection.active && of_pool(&s.target.job));
    let dropped = || list.dropped.iter().filter(|dropped| of_pool(&dropped.job));
    let labels = dropped().filter(|_| selection.dropped).flat_map(|dropped| {
        dropped
            .labels
            .iter()
            .map(|labels| DroppedTarget { discovered_labels: map(labels), scrape_pool: &dropped.job.name })
    });
    let data = Data {
        active_targets: active.map(|snapshot| self::active(snapshot)).collect(),
        dropped_targets: labels.collect(),
        dropped_target_counts: dropped().map(|dropped| (&*dropped.job.name, dropped.count)).collect(),
    };
    // Strings, numbers and maps with keys that are strings.
    serde_json::to_string(&Answer { status: "success", data }).expect("plain data is JSON")
}

fn map(labels: &[(String, String)]) -> BTreeMap<&str, &str> {
    labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn active(snapshot: &TargetSnapshot) -> Active<'_> {
    let TargetSnapshot { target, health, last_error, last_scrape_ms, duration, refused, .. } = snapshot;
    let url = target.target.url.to_string();
    Active {
        discovered_labels: map(&target.discovered),
        labels: map(&target.target.labels),
        scrape_pool: &target.job.name,
        global_url: url.clone(),
        scrape_url: url,
        last_error,
        last_scrape: rfc3339(*last_scrape_ms),
        last_scrape_duration: duration.as_secs_f64(),
        health: health.as_str(),
        scrape_interval: write_duration(target.interval),
        scrape_timeout: write_duration(target.timeout),
        series_refused: Some(*refused).filter(|refused| *refused > 0),
    }
}
