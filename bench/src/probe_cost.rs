//! Nanoseconds an event of each per-exchange program, by the kernel's own statistics, beside empty programs on the same
//! tracepoints in the same run.

use std::collections::BTreeMap;

use aya::Btf;

use crate::{
    Result,
    agent::{Agent, Level},
    figures::Spread,
    machine,
    peers::{Load, Peer},
    programs::{self, Cost, EXCHANGES, Empty},
};

/// How many times the empty program each may cost.
const GOALS: [(&str, f64); 3] = [("send", 2.0), ("receive", 2.5), ("data_ready", 2.0)];

const LOADS: [Load; 3] = [
    Load::Redis { clients: 1, requests: 40_000 },
    Load::Redis { clients: 50, requests: 100_000 },
    Load::Wrk { connections: 16, seconds: 1 },
];

/// One program's runs: its own nanoseconds, and how many times the empty one's of the same run.
#[derive(Default)]
struct Runs {
    ns: Vec<f64>,
    empty_ns: Vec<f64>,
    ratio: Vec<f64>,
}

pub(crate) fn run(rounds: u64) -> Result<()> {
    println!("{}", machine::describe());
    let btf = Btf::from_sys_fs()?;
    for load in LOADS {
        let server = load.server()?;
        let mut runs: BTreeMap<&str, Runs> = BTreeMap::new();
        for round in 0..rounds {
            // Who is called first on a tracepoint finds the socket in no cache: take turns.
            let costs = if round % 2 == 0 {
                let _empty = Empty::attach(&btf, &EXCHANGES)?;
                ours(load, &server)?
            } else {
                let agent = Agent::start(Level::Exchanges)?;
                let _empty = Empty::attach(&btf, &EXCHANGES)?;
                let costs = programs::counted(|| load.run(&server))?.1;
                agent.stop()?;
                costs
            };
            for (name, _) in EXCHANGES {
                note(&mut runs, name, &costs)?;
            }
        }
        report(&load.name(), &runs);
    }
    println!("after {}", machine::load_average());
    Ok(())
}

fn ours(load: Load, server: &Peer) -> Result<Vec<Cost>> {
    let agent = Agent::start(Level::Exchanges)?;
    let costs = programs::counted(|| load.run(server))?.1;
    agent.stop()?;
    Ok(costs)
}

fn note(runs: &mut BTreeMap<&str, Runs>, name: &'static str, costs: &[Cost]) -> Result<()> {
    let ns = |name: &str| {
        let cost = costs.iter().find(|cost| cost.name == name);
        cost.map(Cost::ns).ok_or_else(|| format!("the program `{name}` did not run"))
    };
    let (own, empty) = (ns(name)?, ns(&format!("e_{name}"))?);
    let runs = runs.entry(name).or_default();
    runs.ns.push(own);
    runs.empty_ns.push(empty);
    runs.ratio.push(own / empty);
    Ok(())
}

fn report(load: &str, runs: &BTreeMap<&str, Runs>) {
    println!("\n{load}: ns an event, median (quartiles)");
    println!("| program | ours | empty | ours / empty | goal |\n|---|---|---|---|---|");
    for (name, goal) in GOALS {
        let Some(Runs { ns, empty_ns, ratio }) = runs.get(name) else { continue };
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        let (Some(ns), Some(empty), Some(ratio)) = (spread(ns), spread(empty_ns), spread(ratio)) else {
            continue;
        };
        let verdict = if ratio.median <= goal { "met" } else { "missed" };
        println!("| {name} | {ns:.0} | {empty:.0} | {ratio:.2} | <= {goal}: {verdict} |");
    }
}
