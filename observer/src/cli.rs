//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    bpf::Level,
    config,
    trace::{TraceArgs, duration},
};

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
    /// Run the agent: watch connections, scrape exporters, read the node, and show it all on one page, every second.
    Run(Box<RunArgs>),
    /// Show TCP connections as they are made, refused and closed, and say where the time went.
    Trace(TraceArgs),
    /// Work with a configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a page of the documentation that is made from the program's own tables.
    #[command(hide = true)]
    Docs {
        /// Which page.
        page: Page,
    },
}

/// What to do with a configuration file.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what a file comes to: jobs, targets, intervals, limits, and what in it has no effect.
    #[command(
        after_help = "Exit codes: 0 the file is valid, whatever warnings it has; 1 it cannot be read, or the answer cannot be written; 2 it is wrong."
    )]
    Check {
        /// The file; without one, what the environment alone comes to.
        #[arg(env = "OBSERVER_CONFIG")]
        file: Option<PathBuf>,
        /// How to write the answer.
        #[arg(short, long, value_enum, default_value_t)]
        output: ReportFormat,
    },
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// One document.
    Json,
}

/// The command line of `observer run`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Configuration file, in Prometheus' YAML.
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// An exporter to scrape, such as node=http://127.0.0.1:9100/metrics or 127.0.0.1:9100; may be repeated.
    #[arg(long, value_name = "[JOB=]URL", env = "OBSERVER_SCRAPE", value_delimiter = ',')]
    pub(crate) scrape: Vec<config::Flag>,
    /// A receiver of windows by Prometheus' remote write, such as http://127.0.0.1:9090/api/v1/write; may be repeated.
    #[arg(long, value_name = "URL", env = "OBSERVER_REMOTE_WRITE", value_delimiter = ',', value_parser = config::parse_url)]
    pub(crate) remote_write: Vec<hyper::Uri>,
    /// A receiver of windows by OTLP, such as http://127.0.0.1:4317 for gRPC or http://127.0.0.1:4318 for HTTP; may be repeated.
    #[arg(long, value_name = "URL", env = "OBSERVER_OTLP", value_delimiter = ',', value_parser = config::parse_url)]
    pub(crate) otlp: Vec<hyper::Uri>,
    /// Where to write windows as lines of JSON: a file, - for the standard output, or unix:PATH; may be repeated.
    #[arg(long, value_name = "PATH", env = "OBSERVER_NDJSON", value_delimiter = ',')]
    pub(crate) ndjson: Vec<config::Place>,
    /// Where what waits for a receiver is kept on disk; /var/lib/observer/queue if /var/lib/observer is there.
    #[arg(long, value_name = "PATH", env = "OBSERVER_QUEUE_DIR")]
    pub(crate) queue_dir: Option<PathBuf>,
    /// How long what there is is delivered after the signal to end; 5s unless the configuration says otherwise.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "OBSERVER_SHUTDOWN_GRACE")]
    pub(crate) shutdown_grace: Option<Duration>,
    /// Where to serve /metrics; 127.0.0.1:9435 unless the configuration says otherwise.
    #[arg(long, value_name = "ADDRESS", env = "OBSERVER_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Serve other hosts too. Nothing asks who they are.
    #[arg(long, env = "OBSERVER_ALLOW_REMOTE")]
    pub(crate) allow_remote: bool,
    /// Unix socket that also takes changes; /run/observer/observer.sock if its directory exists.
    #[arg(long, value_name = "PATH", env = "OBSERVER_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// How much of each connection is watched.
    #[arg(long, value_enum, default_value_t, env = "OBSERVER_TCP_LEVEL")]
    pub(crate) tcp_level: Level,
    /// Most label groups (role, peer, port, process) of the TCP families; the rest share `(other)`.
    #[arg(long, value_name = "N", default_value_t = 2000, env = "OBSERVER_TCP_GROUPS")]
    pub(crate) tcp_groups: usize,
    /// Sockets whose exchanges are counted in a place found by one step; those that find theirs taken are counted as well, at a
    /// higher cost. 384 bytes each; a power of two.
    #[arg(long, value_name = "N", default_value_t = crate::bpf::PLACES, env = "OBSERVER_TCP_PLACES")]
    pub(crate) tcp_places: u32,
    /// Most scraped series; more are refused and counted. 4,000,000 unless the configuration says otherwise.
    #[arg(long, value_name = "N", env = "OBSERVER_SERIES")]
    pub(crate) series: Option<usize>,
    /// Most memory for scraped series in bytes; more are refused and counted. Half of the memory there is unless the
    /// configuration says otherwise.
    #[arg(long, value_name = "BYTES", env = "OBSERVER_ARENA_BYTES")]
    pub(crate) arena_bytes: Option<usize>,
    /// Windows that go round: one is filled, the others can be read. 3 unless the configuration says otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=64), env = "OBSERVER_WINDOWS")]
    pub(crate) windows: Option<u16>,
    /// Size of the ring buffer in bytes; records that do not fit are counted as lost.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, env = "OBSERVER_RING_SIZE")]
    pub(crate) ring_size: u32,
    /// Do not watch connections.
    #[arg(long, env = "OBSERVER_NO_TCP")]
    pub(crate) no_tcp: bool,
    /// Do not read the node's own metrics.
    #[arg(long, env = "OBSERVER_NO_NODE")]
    pub(crate) no_node: bool,
    /// Where the node's /proc is.
    #[arg(long, value_name = "PATH", default_value = "/proc", env = "OBSERVER_PROC")]
    pub(crate) proc: PathBuf,
    /// How long the last window can still be read after the signal to end.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "OBSERVER_LINGER")]
    pub(crate) linger: Option<Duration>,
    /// Log what the kernel programs themselves log.
    #[arg(long, env = "OBSERVER_KERNEL_LOG")]
    pub(crate) kernel_log: bool,
}

/// A generated page.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Page {
    /// `docs/metrics.md`
    Metrics,
    /// `docs/configuration.md`
    Configuration,
}

impl Cli {
    /// The environment variables that stand for flags, and those that are read before there is a command line.
    pub(crate) fn variables() -> Vec<String> {
        let command = <Self as clap::CommandFactory>::command();
        let mut names = vec!["OBSERVER_LOG".to_owned()];
        for command in command.get_subcommands() {
            names
                .extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
        }
        names
    }
}
