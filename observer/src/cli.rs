//! The command line.

use crate::trace::TraceArgs;

/// A Linux node observer: TCP connect results and latencies from the kernel, merged with the node's exporters, every second.
#[derive(Debug, clap::Parser)]
#[command(name = "observer", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show TCP connections as they are made, refused and closed, and say where the time went.
    Trace(TraceArgs),
    /// Print a page of the documentation that is made from the program's own tables.
    #[command(hide = true)]
    Docs {
        /// Which page.
        page: Page,
    },
}

/// A generated page.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Page {
    /// `docs/metrics.md`
    Metrics,
}
