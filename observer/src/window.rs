//! What is known of each scraped target, for the surfaces.

use std::{sync::Arc, time::Duration};

use crate::config::{Job, ScrapeTarget};

/// All targets, for the surfaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetList {
    /// Those that are scraped.
    pub(crate) active: Vec<Arc<TargetSnapshot>>,
    /// By job: the labels of some of those that relabelling dropped, and how many it dropped.
    pub(crate) dropped: Vec<Dropped>,
}

/// What relabelling dropped of a job.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    /// The job.
    pub(crate) job: Arc<Job>,
    /// Labels before relabelling.
    pub(crate) labels: Vec<Vec<(String, String)>>,
    /// How many were dropped, those without their labels here included.
    pub(crate) count: usize,
}

/// What the last scrape of a target gave. Immutable.
#[derive(Clone, Debug)]
pub(crate) struct TargetSnapshot {
    /// What is scraped, and how.
    pub(crate) target: Arc<ScrapeTarget>,
    /// How the last scrape ended.
    pub(crate) health: Health,
    /// Why the last scrape failed; empty if it did not.
    pub(crate) last_error: Arc<str>,
    /// When the last scrape began, in milliseconds since the Unix epoch. 0 before the first.
    pub(crate) last_scrape_ms: i64,
    /// How long the last scrape took.
    pub(crate) duration: Duration,
    /// Scrapes done, failed ones included.
    #[cfg_attr(not(test), expect(dead_code, reason = "what a test waits for; the counters tell the sum"))]
    pub(crate) scrapes: u64,
    /// Series of its last body for which there was no room.
    pub(crate) refused: usize,
    /// What the target shows behind this scrape.
    #[cfg(test)]
    pub(crate) families: Vec<observer_aggregate::family::Family>,
}

/// How a scrape ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// There was none yet.
    Unknown,
    /// Well.
    Up,
    /// Not well; the target shows its synthetic series only.
    Down,
}

impl Health {
    /// The word of Prometheus' API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A window with these families.
#[cfg(test)]
pub(crate) fn window_of(
    end_ms: i64,
    groups: Vec<(observer_aggregate::window::Source, Vec<observer_aggregate::family::Family>)>,
) -> Arc<observer_aggregate::window::Window> {
    static WINDOWS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let serial = WINDOWS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut window = observer_aggregate::window::Window::default();
    window.serial = serial;
    window.begin(end_ms, true);
    for (source, families) in groups {
        let mut block = observer_aggregate::series::Block::default();
        block.read(families.iter());
        window.take(source, &mut block);
    }
    Arc::new(window)
}
