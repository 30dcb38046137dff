//! What observer costs. Each command prints what it measured; `bench/README.md` says how to read it.
#![deny(unsafe_code)]

mod agent;
mod churn;
mod clock;
mod figures;
mod holder;
mod load_time;
mod machine;
mod paired;
mod peers;
mod probe_cost;
mod programs;
mod state_cost;
mod sweep;
mod sys;

use std::{env, error::Error, process::ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: observer-bench COMMAND      as root; the agent is the `observer` beside this binary, or OBSERVER_AGENT

  probe-cost [RUNS]      nanoseconds an event of each program, beside empty programs
  state-cost [CONNECTS]  nanoseconds a state change, beside tcplife, tcpstates and bpftrace
  paired [ROUNDS]        throughput and CPU: off, empty programs, outcomes, exchanges
  sweep                  100,000 open sockets of which 1,000 are active
  load-time [STARTS]     from exec to ready, and where the time goes
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observer-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    let number = |default| args.get(1).map_or(Ok(default), |n| n.parse());
    sys::mount_tracefs()?;
    match args.first().copied() {
        Some("probe-cost") => probe_cost::run(number(6)?),
        Some("state-cost") => state_cost::run(number(40_000)?),
        Some("paired") => paired::run(number(20)?),
        Some("sweep") => sweep::run(),
        Some("load-time") => load_time::run(number(20)?),
        // What `sweep` starts several of.
        Some("hold") => holder::run(args.get(1..).unwrap_or_default()),
        _ => Err(USAGE.into()),
    }
}
