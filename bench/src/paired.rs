//! Throughput and CPU of real programs with nothing attached, empty programs, and ours: interleaved rounds, compared within
//! each round.

use aya::Btf;

use crate::{
    Result,
    agent::{Agent, Level},
    figures::Spread,
    machine,
    peers::{Load, Reached},
    programs::{EXCHANGES, Empty},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Off,
    Empty,
    Outcomes,
    Exchanges,
}

const VARIANTS: [Variant; 4] = [Variant::Off, Variant::Empty, Variant::Outcomes, Variant::Exchanges];

/// Each load, and how much throughput ours may cost against the empty programs.
const LOADS: [(Load, f64); 2] = [
    (Load::Redis { clients: 50, requests: 120_000 }, 0.02),
    (Load::Wrk { connections: 16, seconds: 1 }, 0.01),
];

pub(crate) fn run(rounds: u64) -> Result<()> {
    println!("{}", machine::describe());
    let btf = Btf::from_sys_fs()?;
    for (load, goal) in LOADS {
        let _server = load.server()?;
        load.run()?;
        let mut reached: Vec<[Reached; VARIANTS.len()]> = Vec::new();
        for round in 0..rounds {
            let mut figures = [Reached { requests_a_second: 0.0, cpu_us_a_request: 0.0 }; VARIANTS.len()];
            for turn in 0..VARIANTS.len() {
                // Every variant comes first, second, third and last equally often.
                let nth = (turn + usize::try_from(round)?) % VARIANTS.len();
                figures[nth] = measure(VARIANTS[nth], load, &btf)?;
            }
            reached.push(figures);
        }
        report(load, goal, &reached);
    }
    println!("after {}", machine::load_average());
    Ok(())
}

fn measure(variant: Variant, load: Load, btf: &Btf) -> Result<Reached> {
    match variant {
        Variant::Off => load.run(),
        Variant::Empty => {
            let _empty = Empty::attach(btf, &EXCHANGES)?;
            load.run()
        }
        Variant::Outcomes => beside(Level::Outcomes, load),
        Variant::Exchanges => beside(Level::Exchanges, load),
    }
}

fn beside(level: Level, load: Load) -> Result<Reached> {
    let agent = Agent::start(level)?;
    let reached = load.run()?;
    agent.stop()?;
    Ok(reached)
}

fn report(load: Load, goal: f64, reached: &[[Reached; VARIANTS.len()]]) {
    println!("\n{}: {} rounds, median (quartiles)", load.name(), reached.len());
    println!(
        "| | requests/s | CPU us/request | throughput / off | CPU / off | throughput / empty | CPU / empty |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (nth, variant) in VARIANTS.iter().enumerate() {
        let column = |figure: fn(&Reached) -> f64, against: Option<usize>| {
            let value = |round: &[Reached; VARIANTS.len()]| {
                figure(&round[nth]) / against.map_or(1.0, |other| figure(&round[other]))
            };
            Spread::of(reached.iter().map(value))
        };
        let rate: fn(&Reached) -> f64 = |r| r.requests_a_second;
        let cpu: fn(&Reached) -> f64 = |r| r.cpu_us_a_request;
        let (Some(rates), Some(cpus)) = (column(rate, None), column(cpu, None)) else { return };
        let ratios = [(rate, 0), (cpu, 0), (rate, 1), (cpu, 1)];
        let ratios: Vec<String> = ratios
            .iter()
            .filter_map(|(figure, against)| column(*figure, Some(*against)))
            .map(|spread| format!("{spread:.3}"))
            .collect();
        println!("| {variant:?} | {rates:.0} | {cpus:.2} | {} |", ratios.join(" | "));
    }
    let ratio = |round: &[Reached; VARIANTS.len()]| round[3].requests_a_second / round[1].requests_a_second;
    if let Some(ratio) = Spread::of(reached.iter().map(ratio)) {
        let verdict = if ratio.median >= 1.0 - goal { "met" } else { "missed" };
        println!("exchanges against empty: {ratio:.3}, goal >= {:.2}: {verdict}", 1.0 - goal);
    }
}
