//! Nanoseconds a state change under connect churn, beside other tools on the same tracepoint in the same run.

use std::{process::Command, thread, time::Duration};

use aya::Btf;

use crate::{
    Result,
    agent::{Agent, Level},
    churn,
    clock::{self, Started},
    machine,
    peers::Peer,
    programs::{self, Empty},
};

const GOAL_NS: f64 = 500.0;

const COUNTER: &str = "tracepoint:sock:inet_sock_set_state { @changes = count(); }";

pub(crate) fn run(connects: u64) -> Result<()> {
    println!("{}", machine::describe());
    let btf = Btf::from_sys_fs()?;
    let _empty = Empty::attach(&btf, &[("state", "inet_sock_set_state")])?;
    let (agent, ours) = programs::brought_by(|| Agent::start(Level::Exchanges))?;
    let mut tools = Vec::new();
    for (name, mut command) in tools_on_the_same_tracepoint() {
        match programs::brought_by(|| started(&mut command)) {
            Ok((peer, ids)) if !ids.is_empty() => tools.push((name, peer, ids)),
            Ok(_) => eprintln!("{name} brought no program into the kernel: left out"),
            Err(error) => eprintln!("{name} is left out: {error}"),
        }
    }
    // The first connections find cold caches.
    churn::run(connects / 10)?;
    let ((took, done), costs) = programs::counted(|| Ok(clock::timed(|| churn::run(connects))))?;
    done?;
    println!("\n{connects} connections made and closed in {:.2} s; ns an event", took.as_secs_f64());
    println!("| whose | program | runs | ns |\n|---|---|---|---|");
    for cost in &costs {
        let tool = tools.iter().find(|(.., ids)| ids.contains(&cost.id)).map(|(name, ..)| *name);
        let whose = if ours.contains(&cost.id) { "observer" } else { tool.unwrap_or("empty") };
        println!("| {whose} | {} | {} | {:.0} |", cost.name, cost.runs, cost.ns());
    }
    // Two programs see every change; the second does nothing if the first was free.
    let of_changes = costs.iter().filter(|cost| ours.contains(&cost.id) && cost.name.starts_with("state"));
    let both: f64 = of_changes.map(programs::Cost::ns).sum();
    let verdict = if both <= GOAL_NS { "met" } else { "missed" };
    println!("\na state change, both programs: {both:.0} ns, goal <= {GOAL_NS}: {verdict}");
    agent.stop()?;
    println!("after {}", machine::load_average());
    Ok(())
}

/// Waits until a tool's programs are in the kernel.
fn started(command: &mut Command) -> Result<Peer> {
    let there = programs::loaded()?.len();
    let peer = Peer::spawn(command)?;
    let waited = Started::now();
    while programs::loaded()?.len() == there && waited.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(50));
    }
    // One of several may come first.
    thread::sleep(Duration::from_millis(500));
    Ok(peer)
}

fn tools_on_the_same_tracepoint() -> [(&'static str, Command); 3] {
    let mut counter = Command::new("bpftrace");
    counter.args(["-e", COUNTER]);
    [
        ("tcplife", Command::new("/usr/sbin/tcplife")),
        ("tcpstates", Command::new("/usr/sbin/tcpstates")),
        ("bpftrace counter", counter),
    ]
}
