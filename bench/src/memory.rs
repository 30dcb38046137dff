//! What a collector weighs with few series and with many, and whether it stays that way.

use std::{thread, time::Duration};

use crate::{
    Result,
    clock::Started,
    collectors::Collector,
    figures::mib,
    machine,
    rig::Rig,
    scrape_load::Measure,
    targets::{Change, TargetsArgs},
};

/// Targets of a thousand series each: few and many.
const TARGETS: [u32; 2] = [1, 200];
const SERIES: u32 = 1000;

fn load(targets: u32, change: Change, churn_percent: f64) -> TargetsArgs {
    TargetsArgs { targets, series: SERIES, change, churn_percent, openmetrics: false }
}

pub(crate) fn run(measure: &Measure) -> Result<()> {
    measure.describe()?;
    println!("| | series | RSS, anonymous, MiB | of a core | CPU s a M samples |\n|---|---|---|---|---|");
    let mut slopes = Vec::new();
    for collector in &measure.agents {
        let mut points = Vec::new();
        for targets in TARGETS {
            let rig = Rig::new(&load(targets, Change::Real, 0.0), &measure.ours_arg)?;
            let reading = measure.once(&rig, collector)?;
            println!(
                "| {collector} | {} | {:.1}, {:.1} | {:.4} | {:.3} |",
                targets * SERIES,
                mib(reading.rss),
                mib(reading.anonymous),
                reading.collector_cpu / reading.served.seconds,
                reading.cpu_a_million()
            );
            points.push((f64::from(targets * SERIES), reading.rss as f64));
        }
        slopes.extend(slope(&points).map(|slope| format!("{collector} {slope:.0}")));
    }
    println!("\nbytes a series: {}; after: load average {}", slopes.join(", "), machine::load_average());
    Ok(())
}

/// How long and with what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SoakArgs {
    /// How long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Targets of 1000 series each.
    #[arg(long, default_value_t = 200)]
    targets: u32,
    /// How many of a hundred series are replaced a minute.
    #[arg(long, default_value_t = 1.0)]
    churn_percent: f64,
    /// Whose: KIND[-LABEL][=PATH].
    #[arg(long, default_value = "ours")]
    agent: Collector,
    /// One more argument for `observer run`; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    ours_arg: Vec<String>,
}

pub(crate) fn soak(args: &SoakArgs) -> Result<()> {
    let SoakArgs { minutes, targets, churn_percent, agent, ours_arg } = args;
    println!("{}\n{agent} ({}): {}", machine::describe(), agent.version()?, agent.does());
    println!("{targets} targets x {SERIES} series, {churn_percent} % of them replaced a minute\n");
    println!(
        "| minute | series so far | RSS, anonymous, MiB | of a core | missed, cut |\n|---|---|---|---|---|"
    );
    let rig = Rig::new(&load(*targets, Change::Churn, *churn_percent), ours_arg)?;
    let mut running = rig.start(agent, Duration::from_secs(10))?;
    let mut points = Vec::new();
    let started = Started::now();
    for minute in 1..=*minutes {
        let until = Duration::from_secs(minute * 60).saturating_sub(started.elapsed());
        let reading = rig.read(&mut running, until)?;
        println!(
            "| {minute} | {} | {:.1}, {:.1} | {:.4} | {}, {} |",
            reading.served.distinct_series,
            mib(reading.rss),
            mib(reading.anonymous),
            reading.collector_cpu / reading.served.seconds,
            reading.served.missed,
            reading.served.cut
        );
        points.push((minute as f64, reading.rss as f64));
    }
    if let Some((growth, is_flat)) = growth(&points[points.len() / 2..]) {
        let verdict = if is_flat { "flat" } else { "not flat" };
        println!(
            "\nin the second half: {:+.1} KiB a minute, {:+.2} % in all: {verdict} (less than {FLAT_PERCENT} %)",
            growth.a_minute / 1024.0,
            growth.percent
        );
    }
    println!("load average {}", machine::load_average());
    // The targets' own series need no goodbye, but their connections do.
    thread::sleep(Duration::from_millis(100));
    Ok(())
}

/// Memory that grows by less over the second half of a soak is flat: more than the noise of pages that come and go.
const FLAT_PERCENT: f64 = 1.0;

/// How memory has grown, along the straight line closest to the points.
struct Growth {
    a_minute: f64,
    /// From the first point to the last, of the mean.
    percent: f64,
}

/// Of minutes and bytes; and whether that is flat.
fn growth(points: &[(f64, f64)]) -> Option<(Growth, bool)> {
    let a_minute = slope(points)?;
    let minutes = points.last()?.0 - points.first()?.0;
    let mean = points.iter().map(|(_, bytes)| bytes).sum::<f64>() / points.len() as f64;
    let percent = a_minute * minutes / mean * 100.0;
    Some((Growth { a_minute, percent }, percent < FLAT_PERCENT))
}

/// Of the straight line closest to the points.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let along: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (along > 0.0).then(|| both / along)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 5.0)]), Some(0.0));
    }

    #[test]
    fn memory_that_grows_by_less_than_its_noise_is_flat() {
        let soak = |by: f64| growth(&[(15.0, 100.0), (20.0, 100.0 + by / 2.0), (30.0, 100.0 + by)]);
        assert!(soak(0.5).is_some_and(|(growth, flat)| flat && growth.percent > 0.4));
        assert!(soak(-5.0).is_some_and(|(_, flat)| flat));
        assert!(soak(3.0).is_some_and(|(growth, flat)| !flat && growth.a_minute > 0.1));
        assert!(growth(&[(1.0, 5.0)]).is_none());
    }

    #[test]
    fn one_point_has_none() {
        assert_eq!(slope(&[(1.0, 5.0)]), None);
        assert_eq!(slope(&[]), None);
    }
}
