//! What is known of a target's last scrape.

use std::{sync::Arc, time::Duration};

use crate::{
    config::ScrapeTarget,
    window::{Health, TargetSnapshot},
};

/// Written after every scrape, in place.
#[derive(Debug)]
pub(super) struct Status {
    health: Health,
    /// Why it failed; empty if it did not.
    last_error: String,
    last_scrape_ms: i64,
    duration: Duration,
    scrapes: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape_ms: 0,
            duration: Duration::ZERO,
            scrapes: 0,
        }
    }
}

impl Status {
    /// A scrape has ended that began at `began_ms`; with an error if it failed.
    pub(super) fn note(&mut self, began_ms: i64, duration: Duration, error: &str) {
        self.health = if error.is_empty() { Health::Up } else { Health::Down };
        if self.last_error != error {
            error.clone_into(&mut self.last_error);
        }
        self.last_scrape_ms = began_ms;
        self.duration = duration;
        self.scrapes += 1;
    }

    /// For the surfaces, without the target's families.
    pub(super) fn snapshot(&self, target: &Arc<ScrapeTarget>, refused: usize) -> TargetSnapshot {
        let Self { health, last_error, last_scrape_ms, duration, scrapes } = self;
        TargetSnapshot {
            target: Arc::clone(target),
            health: *health,
            last_error: Arc::from(&**last_error),
            last_scrape_ms: *last_scrape_ms,
            duration: *duration,
            scrapes: *scrapes,
            refused,
            #[cfg(test)]
            families: Vec::new(),
        }
    }
}
