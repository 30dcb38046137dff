//! End to end: collectors take turns between the same targets and the same sink.

use std::time::Duration;

use crate::{
    Result,
    collectors::Collector,
    figures::{Spread, mib},
    machine,
    rig::{Reading, Rig},
    targets::TargetsArgs,
};

/// Who is measured, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Measure {
    /// Seconds that are counted.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Seconds before, once every target has been scraped.
    #[arg(long, default_value_t = 10)]
    pub(crate) warm: u64,
    /// Collectors: ours, vmagent, prometheus, each as KIND[-LABEL][=PATH].
    #[arg(long, value_delimiter = ',', default_value = "ours,vmagent,prometheus")]
    pub(crate) agents: Vec<Collector>,
    /// One more argument for `observer run`; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) ours_arg: Vec<String>,
}

impl Measure {
    /// One collector between these targets and this sink, from start to end.
    pub(crate) fn once(&self, rig: &Rig, collector: &Collector) -> Result<Reading> {
        let mut running = rig.start(collector, Duration::from_secs(self.warm))?;
        rig.read(&mut running, Duration::from_secs(self.seconds))
    }

    pub(crate) fn describe(&self) -> Result<()> {
        println!("{}", machine::describe());
        for collector in &self.agents {
            println!("- {collector} ({}): {}", collector.version()?, collector.does());
        }
        println!();
        Ok(())
    }
}

pub(crate) fn run(targets: &TargetsArgs, measure: &Measure, rounds: usize) -> Result<()> {
    measure.describe()?;
    let rig = Rig::new(targets, &measure.ours_arg)?;
    let agents = &measure.agents;
    let mut readings: Vec<Vec<Reading>> = vec![Vec::new(); agents.len()];
    for round in 0..rounds {
        for turn in 0..agents.len() {
            // Each comes first equally often.
            let nth = (turn + round) % agents.len();
            let reading = measure.once(&rig, &agents[nth])?;
            eprintln!("round {}: {} {:.3} CPU s/M samples", round + 1, agents[nth], reading.cpu_a_million());
            readings[nth].push(reading);
        }
    }
    println!(
        "{} targets x {} series every second, values `{}`, {:.1} bytes a sample; {rounds} rounds of {} s\n",
        targets.targets,
        targets.series,
        targets.change.as_str(),
        rig.served()?.bytes_a_sample,
        measure.seconds
    );
    report(agents, &readings);
    println!("\nafter: load average {}", machine::load_average());
    Ok(())
}

fn report(agents: &[Collector], readings: &[Vec<Reading>]) {
    let ours = agents.iter().position(Collector::is_ours);
    println!(
        "| | CPU s a M samples | against ours | of a core | RSS, anonymous, MiB | late ms P50, P99, max | missed, cut | \
         at the sink | wire bytes a sample | to the sink ms P50, P99 | lost, twice | targets, sink CPU s a M |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (collector, rounds) in agents.iter().zip(readings) {
        let spread = |of: &dyn Fn(&Reading) -> f64| Spread::of(rounds.iter().map(of));
        let median = |of: &dyn Fn(&Reading) -> f64| spread(of).map_or(0.0, |spread| spread.median);
        let worst = |of: &dyn Fn(&Reading) -> f64| rounds.iter().map(of).fold(0.0, f64::max);
        let sum = |of: &dyn Fn(&Reading) -> u64| rounds.iter().map(of).sum::<u64>();
        let Some(cpu) = spread(&Reading::cpu_a_million) else { continue };
        // Within a round, as whatever else the machine did was then the same.
        let ratio = ours.and_then(|ours| {
            let pairs = rounds.iter().zip(&readings[ours]);
            Spread::of(pairs.map(|(theirs, ours)| theirs.cpu_a_million() / ours.cpu_a_million()))
        });
        let missed = sum(&|r| r.served.missed);
        let arrived = median(&|r| r.arrived.samples as f64 / r.served.samples.max(1) as f64);
        let sent = |text: String| if arrived > 0.0 { text } else { "-".to_owned() };
        println!(
            "| {collector} | {cpu:.3} | {} | {:.4} | {:.1}, {:.1} | {:.1}, {:.1}, {:.1} | {} ({:.1} %), {} | {} | {} | {} | {} | {:.3}, {:.3} |",
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}")),
            median(&|r| r.collector_cpu / r.served.seconds),
            median(&|r| mib(r.rss)),
            median(&|r| mib(r.anonymous)),
            median(&|r| r.served.late_ms.p50),
            worst(&|r| r.served.late_ms.p99),
            worst(&|r| r.served.late_ms.max),
            missed,
            100.0 * missed as f64 / (missed + sum(&|r| r.served.scrapes)).max(1) as f64,
            sum(&|r| r.served.cut),
            sent(format!("{:.1} %", arrived * 100.0)),
            sent(format!("{:.1}", median(&|r| r.arrived.bytes as f64 / r.arrived.samples.max(1) as f64))),
            sent(format!(
                "{:.0}, {:.0}",
                median(&|r| r.arrived.delay_ms.p50),
                worst(&|r| r.arrived.delay_ms.p99)
            )),
            sent(format!("{}, {}", sum(&|r| r.arrived.sequence.missing), sum(&|r| r.arrived.sequence.twice))),
            median(&|r| r.targets_cpu / r.millions()),
            median(&|r| r.sink_cpu / r.millions()),
        );
    }
}
