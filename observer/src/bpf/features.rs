//! What the kernel side offers, by name: each part that a kernel lacks is reported, not hidden.

use std::fmt;

/// The errno of connects that fail before they reach the network.
pub(crate) const CONNECT_EXIT: &str = "connect_exit";
/// How long connections wait to be accepted.
pub(super) const ACCEPT_WAIT: &str = "accept_wait";

/// A part of the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// Why it is not available; `None` if it is.
    pub(crate) missing: Option<String>,
}

impl Feature {
    pub(crate) fn available(name: &'static str) -> Self {
        Self { name, missing: None }
    }

    pub(crate) fn missing(name: &'static str, reason: String) -> Self {
        Self { name, missing: Some(reason) }
    }

    pub(super) fn of(name: &'static str, result: Result<(), String>) -> Self {
        Self { name, missing: result.err() }
    }

    pub(crate) fn is_available(&self) -> bool {
        self.missing.is_none()
    }
}

/// Marks a feature as not available, which it was thought to be.
pub(crate) fn deny(features: &mut [Feature], name: &str, reason: &dyn std::error::Error) {
    if let Some(feature) = features.iter_mut().find(|f| f.name == name) {
        feature.missing = Some(chain(reason));
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {}", first_line(error));
        cause = error.source();
    }
    line
}

/// The verifier's log is long, and its own last lines are the ones that matter.
pub(crate) fn first_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let Some((first, log)) = text.split_once('\n') else { return text };
    log::debug!("{text}");
    let mut tail =
        log.trim_end().lines().rev().filter(|l| !l.starts_with(|c: char| c.is_ascii_digit() || c == ';'));
    let why =
        tail.find(|l| !["processed", "stack depth", "verification time"].iter().any(|p| l.starts_with(p)));
    format!("{first} … {}", why.unwrap_or(""))
}

/// How much of each connection is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    /// Connects, accepts, closes, retransmits, resets: nothing runs per request.
    Outcomes,
    /// Also every send and receive: response, service and waiting times.
    #[default]
    Exchanges,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outcomes => "outcomes",
            Self::Exchanges => "exchanges",
        })
    }
}
