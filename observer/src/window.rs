//! What passes from the sources to the surfaces: the published window, and what is known of each scraped target.

use std::{sync::Arc, time::Duration};

use observer_aggregate::family::Family;

use crate::config::{Settings, Target};

/// The last closed window, as the surfaces show it. Immutable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// When the window ended, in milliseconds since the Unix epoch. 0 before the first.
    pub(crate) window_end_ms: i64,
    /// What there is to show, in the order of the page.
    pub(crate) groups: Vec<Group>,
    /// Whether the window covered its whole second. The one the agent starts in does not.
    pub(crate) complete: bool,
}

/// Families of one source. Several groups may have one name, as every target has a group of its own.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// What `collect[]=` selects it by.
    pub(crate) name: Source,
    /// The families.
    pub(crate) families: Arc<Vec<Family>>,
}

/// Where families come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The kernel programs.
    Kernel,
    /// `/proc`.
    Node,
    /// A scraped target.
    Scrape,
    /// The agent about itself.
    Agent,
}

impl Source {
    /// Every source, in the order of the page.
    pub(crate) const ALL: [Self; 4] = [Self::Kernel, Self::Node, Self::Agent, Self::Scrape];

    /// The name in `collect[]=`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Node => "node",
            Self::Scrape => "scrape",
            Self::Agent => "self",
        }
    }
}

/// What the last scrape of a target gave. Immutable.
#[derive(Clone, Debug)]
pub(crate) struct TargetSnapshot {
    /// The name of the job.
    pub(crate) job: Arc<str>,
    /// What is scraped.
    pub(crate) target: Arc<Target>,
    /// How it is scraped.
    pub(crate) settings: Settings,
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
    /// The samples, and the synthetic ones such as `up`. Empty before the first scrape.
    pub(crate) families: Arc<Vec<Family>>,
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
