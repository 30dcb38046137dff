//! What observer costs, and what it reaches beside its peers. Each command prints what it measured; `bench/README.md` says how
//! to read it.
#![deny(unsafe_code)]

mod agent;
#[expect(unsafe_code, reason = "an allocator that counts")]
#[path = "../../observer/aggregate/tests/support/allocations.rs"]
mod allocations;
mod capacity;
mod churn;
mod clock;
mod collectors;
#[path = "../../observer/src/decode.rs"]
mod decode;
mod fan_in;
mod figures;
mod holder;
mod hot_path;
mod http;
mod load_time;
mod machine;
mod memory;
mod paired;
mod peers;
mod probe_cost;
mod programs;
mod queue;
mod rig;
mod scrape;
mod scrape_load;
mod sink;
mod state_cost;
mod sweep;
mod sys;
mod targets;

use std::{error::Error, process::ExitCode};

use clap::Parser as _;

use capacity::CapacityArgs;
use fan_in::FanInArgs;
use memory::SoakArgs;
use scrape_load::Measure;
use targets::TargetsArgs;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures the `observer` beside this binary, or the one that OBSERVER_AGENT names. Most commands need root.
#[derive(Debug, clap::Parser)]
#[command(name = "observer-bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Nanoseconds an event of each program, beside empty programs.
    ProbeCost {
        #[arg(default_value_t = 6)]
        runs: u64,
    },
    /// Nanoseconds a state change, beside tcplife, tcpstates and bpftrace.
    StateCost {
        #[arg(default_value_t = 40_000)]
        connects: u64,
    },
    /// Throughput and CPU: off, empty programs, outcomes, exchanges.
    Paired {
        #[arg(default_value_t = 20)]
        rounds: u64,
    },
    /// 100,000 open sockets of which 1,000 are active.
    Sweep,
    /// From exec to ready, and where the time goes.
    LoadTime {
        #[arg(default_value_t = 20)]
        starts: u64,
    },
    /// The load: serves many exporters' pages until standard input ends.
    Targets {
        #[command(flatten)]
        targets: TargetsArgs,
        /// Port of all targets; 0 takes a free one.
        #[arg(long, default_value_t = 9600)]
        port: u16,
        /// The longest it serves.
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
    },
    /// The other end: takes remote write, counts and keeps nothing, until standard input ends.
    Sink {
        /// Port; 0 takes a free one.
        #[arg(long, default_value_t = 9601)]
        port: u16,
        /// The longest it serves.
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
    },
    /// End to end beside peers: targets, a collector, a sink. CPU a million samples, memory, lateness.
    ScrapeLoad {
        #[command(flatten)]
        targets: TargetsArgs,
        #[command(flatten)]
        measure: Measure,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The most samples a second sustained on this machine, by bisection.
    Capacity(CapacityArgs),
    /// Memory and CPU share at 1,000 and at 200,000 series, and the slope between.
    Memory(Measure),
    /// Memory over time, with series that come and go.
    Soak(SoakArgs),
    /// Many agents into one real receiver: steady, and after an outage.
    FanIn(FanInArgs),
    /// Nanoseconds, instructions and allocations from bodies and ring records to closed windows, in this process.
    HotPath,
    /// Pages of real exporters, brought to 1,000, 10,000 and 100,000 series, in this process.
    Scrape,
    /// Handing a unit of work to another thread, by several queues.
    Queue,
    /// What `sweep` starts several of.
    #[command(hide = true)]
    Hold { connections: usize, active: usize },
}

impl Command {
    /// Whether it, or what it starts, hangs programs on tracepoints.
    fn attaches(&self) -> bool {
        matches!(
            self,
            Self::ProbeCost { .. }
                | Self::StateCost { .. }
                | Self::Paired { .. }
                | Self::Sweep
                | Self::LoadTime { .. }
        )
    }
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observer-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    if command.attaches() {
        sys::mount_tracefs()?;
    }
    match command {
        Command::ProbeCost { runs } => probe_cost::run(runs),
        Command::StateCost { connects } => state_cost::run(connects),
        Command::Paired { rounds } => paired::run(rounds),
        Command::Sweep => sweep::run(),
        Command::LoadTime { starts } => load_time::run(starts),
        Command::Targets { targets, port, seconds } => targets::run(&targets, port, seconds),
        Command::Sink { port, seconds } => sink::run(port, seconds),
        Command::ScrapeLoad { targets, measure, rounds } => scrape_load::run(&targets, &measure, rounds),
        Command::Capacity(args) => capacity::run(&args),
        Command::Memory(measure) => memory::run(&measure),
        Command::Soak(args) => memory::soak(&args),
        Command::FanIn(args) => fan_in::run(&args),
        Command::HotPath => hot_path::run(),
        Command::Scrape => scrape::run(),
        Command::Queue => queue::run(),
        Command::Hold { connections, active } => holder::run(connections, active),
    }
}
