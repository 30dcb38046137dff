//! From exec to `observer: ready`, and which of it the kernel spends on which program.

use std::{collections::HashMap, fs, process::Command};

use crate::{
    Result,
    agent::{self, Agent, Level},
    clock,
    figures::Spread,
    machine, peers, programs,
};

const GOAL_MS: f64 = 100.0;

pub(crate) fn run(starts: u64) -> Result<()> {
    println!("{}", machine::describe());
    let mut ms = Vec::new();
    for _ in 0..starts {
        let (took, agent) = clock::timed(|| Agent::start(Level::Exchanges));
        ms.push(took.as_secs_f64() * 1e3);
        agent?.stop()?;
    }
    let fastest = ms.iter().copied().fold(f64::INFINITY, f64::min);
    let spread = Spread::of(ms).ok_or("no start")?;
    let verdict = if spread.median <= GOAL_MS { "met" } else { "missed" };
    println!("exec to ready: {spread:.0} ms, fastest {fastest:.0}; goal <= {GOAL_MS}: {verdict}\n");
    verified()?;
    match traced() {
        Ok(table) => println!("\n{table}"),
        Err(error) => eprintln!("no system call times: {error}"),
    }
    Ok(())
}

/// How much of each program the verifier walked.
fn verified() -> Result<()> {
    let (agent, ours) = programs::brought_by(|| Agent::start(Level::Exchanges))?;
    println!("| program | instructions verified |\n|---|---|");
    for program in programs::loaded()?.into_iter().filter(|program| ours.contains(&program.id)) {
        println!("| {} | {} |", program.name, program.verified);
    }
    agent.stop()
}

/// Where the time goes, by system call: one start under strace, whose own part is in the rest.
fn traced() -> Result<String> {
    let file = peers::scratch()?.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-T", "-ttt", "-s", "0", "-e", "trace=bpf,execve,exit_group", "-o"]);
    command.arg(&file).arg(agent::binary()?).args(["trace", "--duration", "1ms"]);
    let status = command.output()?.status;
    let text = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    if !status.success() {
        return Err("strace failed".into());
    }
    let calls = calls(&text);
    let mut table =
        String::from("| system call | calls | ms, those at the same time added up |\n|---|---|---|\n");
    for name in
        ["BPF_PROG_LOAD", "BPF_MAP_CREATE", "BPF_BTF_LOAD", "BPF_RAW_TRACEPOINT_OPEN", "BPF_LINK_CREATE"]
    {
        let times: Vec<f64> = calls.iter().filter(|(call, _)| call == name).map(|(_, time)| *time).collect();
        table += &format!("| {name} | {} | {:.1} |\n", times.len(), times.iter().sum::<f64>() * 1e3);
    }
    Ok(table)
}

/// The `bpf` commands with their seconds. A call that another thread's output interrupts stands on two lines.
fn calls(text: &str) -> Vec<(String, f64)> {
    let mut pending = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let thread = line.split(' ').next().unwrap_or_default();
        let command = line.split_once("bpf(").and_then(|(_, rest)| rest.split([',', ' ']).next());
        let command = command.map(str::to_owned).or_else(|| pending.remove(thread));
        match (command, seconds(line)) {
            (Some(command), Some(time)) => calls.push((command, time)),
            (Some(command), None) => drop(pending.insert(thread, command)),
            (None, _) => {}
        }
    }
    calls
}

/// `… = 0 <0.000123>`
fn seconds(line: &str) -> Option<f64> {
    line.rsplit_once('<')?.1.strip_suffix('>')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calls_time_stands_at_its_end() {
        let text = "1 2.0 bpf(BPF_PROG_LOAD, {<x>}, 152 <unfinished ...>\n\
                    2 2.1 bpf(BPF_MAP_CREATE, {}, 152) = 9 <0.5>\n\
                    1 2.2 <... bpf resumed>) = 9 <0.25>\n";
        let expected = [("BPF_MAP_CREATE".to_owned(), 0.5), ("BPF_PROG_LOAD".to_owned(), 0.25)];
        assert_eq!(calls(text), expected);
    }
}
