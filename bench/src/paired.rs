//! Throughput and CPU of real programs with nothing attached, empty programs, and ours: interleaved rounds, compared within
//! each round.

use aya::Btf;

use crate::{
    Result,
    agent::{Agent, Level},
    figures::Spread,
    machine,
    peers::{Load, Peer, Reached},
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
        let server = load.server()?;
        load.run(&server)?;
        let mut reached: Vec<[Reached; VARIANTS.len()]> = Vec::new();
        for round in 0..rounds {
            let mut figures = [Reached::default(); VARIANTS.len()];
            for turn in 0..VARIANTS.len() {
                // Every variant comes first, second, third and last equally often.
                let nth = (turn + usize::try_from(round)?) % VARIANTS.len();
                figures[nth] = measure(VARIANTS[nth], load, &server, &btf)?;
            }
            reached.push(figures);
        }
        report(load, goal, &reached);
    }
    println!("after {}", machine::load_average());
    Ok(())
}

fn measure(variant: Variant, load: Load, server: &Peer, btf: &Btf) -> Result<Reached> {
    match variant {
        Variant::Off => load.run(server),
        Variant::Empty => {
            let _empty = Empty::attach(btf, &EXCHANGES)?;
            load.run(server)
        }
        Variant::Outcomes => beside(Level::Outcomes, load, server),
        Variant::Exchanges => beside(Level::Exchanges, load, server),
    }
}

fn beside(level: Level, load: Load, server: &Peer) -> Result<Reached> {
    let agent = Agent::start(level)?;
    let reached = load.run(server)?;
    agent.stop()?;
    Ok(reached)
}

fn report(load: Load, goal: f64, reached: &[[Reached; VARIANTS.len()]]) {
    type Figure = (&'static str, fn(&Reached) -> f64);
    const FIGURES: [Figure; 3] = [
        ("requests/s", |r| r.requests_a_second),
        ("CPU us/request, server and client", |r| r.cpu_us_a_request),
        ("CPU us/request, machine", |r| r.machine_us_a_request),
    ];
    println!("\n{}: {} rounds, median (quartiles); ratios within a round", load.name(), reached.len());
    println!("| | | | against off | against empty |\n|---|---|---|---|---|");
    for (figure, value) in FIGURES {
        for (nth, variant) in VARIANTS.iter().enumerate() {
            let ratio = |other: usize| Spread::of(reached.iter().map(|r| value(&r[nth]) / value(&r[other])));
            let absolute = Spread::of(reached.iter().map(|r| value(&r[nth])));
            let (Some(absolute), Some(off), Some(empty)) = (absolute, ratio(0), ratio(1)) else { return };
            println!("| {figure} | {variant:?} | {absolute:.1} | {off:.3} | {empty:.3} |");
        }
    }
    let ratio = |round: &[Reached; VARIANTS.len()]| round[3].requests_a_second / round[1].requests_a_second;
    if let Some(ratio) = Spread::of(reached.iter().map(ratio)) {
        let verdict = if ratio.median >= 1.0 - goal { "met" } else { "missed" };
        println!(
            "exchanges against empty: {ratio:.3} of the throughput, goal >= {:.2}: {verdict}",
            1.0 - goal
        );
    }
}
