//! What a sweep costs when many sockets are open and few of them active. Runs in a network namespace of its own.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Result,
    agent::{Agent, Level},
    clock::{self, Started},
    figures::{Spread, mib},
    machine, programs, sys,
};

const HOLDERS: usize = 10;
/// Two sockets each.
const CONNECTIONS: usize = 5_000;
const ACTIVE: usize = 50;
const GOAL_MS: f64 = 10.0;

/// A process that holds connections; it ends when its standard input closes.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _gone = self.0.wait();
    }
}

pub(crate) fn run() -> Result<()> {
    println!("{}", machine::describe());
    sys::leave_network()?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err("cannot bring up the namespace's loopback device".into());
    }
    let agent = Agent::start(Level::Exchanges)?;
    let resident = machine::process_memory(agent.pid(), "VmRSS")?;
    let program = programs::loaded()?.into_iter().rev().find(|program| program.name == "sweep_sockets");
    let sweep = programs::link_of(program.ok_or("the agent has no sweep")?.id)?;

    let (opening, holders) = clock::timed(|| (0..HOLDERS).map(|_| hold()).collect::<Result<Vec<_>>>());
    let holders = holders?;
    let sockets = 2 * HOLDERS * CONNECTIONS;
    println!("{sockets} sockets open after {:.1} s", opening.as_secs_f64());
    let (took, bytes) = sweep_once(&sweep)?;
    println!("a sweep while they are all new: {:.1} ms, {bytes} bytes of reports", took.as_secs_f64() * 1e3);

    let settled = Started::now();
    while sweep_once(&sweep)?.0 > Duration::from_millis(20) && settled.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(500));
    }
    // Idle sockets give their accumulators back after some sweeps; ours count too.
    thread::sleep(Duration::from_secs(8));
    let mut sweeps = Vec::new();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(350));
        let (took, bytes) = sweep_once(&sweep)?;
        sweeps.push((took.as_secs_f64() * 1e3, bytes as f64));
    }
    let of = |values: Vec<f64>| Spread::of(values).ok_or("no sweep");
    let ms = of(sweeps.iter().map(|(ms, _)| *ms).collect())?;
    let bytes = of(sweeps.iter().map(|(_, bytes)| *bytes).collect())?;
    let verdict = if ms.median <= GOAL_MS { "met" } else { "missed" };
    println!(
        "a sweep with {} of them active: {ms:.2} ms, {bytes:.0} bytes, goal <= {GOAL_MS} ms: {verdict}",
        2 * HOLDERS * ACTIVE
    );
    println!(
        "the agent's memory: {:.1} MiB before, {:.1} MiB with them",
        mib(resident),
        mib(machine::process_memory(agent.pid(), "VmRSS")?)
    );
    drop(sweep);
    storage(agent, sockets)?;
    drop(holders);
    println!("after {}", machine::load_average());
    Ok(())
}

/// What the sockets' state weighs in the kernel: it goes with the agent.
fn storage(agent: Agent, sockets: usize) -> Result<()> {
    let before = machine::memory("SUnreclaim")?;
    agent.stop()?;
    thread::sleep(Duration::from_secs(2));
    let freed = before.saturating_sub(machine::memory("SUnreclaim")?);
    println!(
        "kernel memory of their state: {:.1} MiB, {} bytes a socket",
        mib(freed),
        freed / sockets as u64
    );
    Ok(())
}

fn hold() -> Result<Holder> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["hold", &CONNECTIONS.to_string(), &ACTIVE.to_string()]);
    let mut holder = Holder(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(holder.0.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    if line.trim_end() == "open" { Ok(holder) } else { Err("a holder could not open its connections".into()) }
}

/// Sweeps as the agent does, and says how long it took and how much was reported.
fn sweep_once(link: &OwnedFd) -> Result<(Duration, usize)> {
    let mut buffer = vec![0; 64 << 10];
    let (took, bytes) = clock::timed(|| -> Result<usize> {
        let mut file = sys::iterate(link)?;
        let mut bytes = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(bytes),
                n => bytes += n,
            }
        }
    });
    Ok((took, bytes?))
}
