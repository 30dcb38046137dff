//! What the agent adds to each scraped target, as Prometheus does.

use super::{Group, rows};

pub(crate) const GROUP: Group = Group {
    title: "Each scraped target",
    note: "Beside the target's own metrics, which keep their names, types and help texts and get `job` and `instance`.",
    metrics: &[ROWS],
};

rows! { ROWS:
    UP = Gauge "up", ["job", "instance"], "1 if the last scrape succeeded, else 0.";
    DURATION = Gauge "scrape_duration_seconds", ["job", "instance"], "Duration of the last scrape.";
    SAMPLES = Gauge "scrape_samples_scraped", ["job", "instance"], "Samples in the last body.";
    SAMPLES_KEPT = Gauge "scrape_samples_post_metric_relabeling", ["job", "instance"], "Samples left after relabelling.";
    SERIES_ADDED = Gauge "scrape_series_added", ["job", "instance"], "Series in the last body that were not in the one before.";
    BODY_SIZE = Gauge "scrape_body_size_bytes", ["job", "instance"], "Size of the last body; 0 if there was none, -1 if it was over its limit.";
}
