//! The most samples a second that a collector sustains here, by bisection. Targets and sink share the machine with it.

use std::{iter, thread, time::Duration};

use crate::{
    Result,
    collectors::Collector,
    figures::mib,
    http, machine,
    rig::{Reading, Rig},
    targets::{Change, TargetsArgs},
};

/// Two ends of the bisection are close enough.
const PRECISION: f64 = 0.05;
/// How often less is tried when the long run fails.
const CONFIRMATIONS: usize = 4;
/// Nobody opens more connections without being allowed to.
const MOST_TARGETS: u32 = 15_000;

/// How the rate is found.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CapacityArgs {
    /// Series of a target; the number of targets makes the rate.
    #[arg(long, default_value_t = 1000)]
    series: u32,
    /// What moves from one second to the next.
    #[arg(long, value_enum, default_value_t = Change::Real)]
    change: Change,
    /// Samples a second to begin with.
    #[arg(long, default_value_t = 200_000)]
    from: u64,
    /// Seconds that are counted at each step.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seconds before.
    #[arg(long, default_value_t = 5)]
    warm: u64,
    /// Seconds at the rate that was found.
    #[arg(long, default_value_t = 60)]
    confirm: u64,
    /// Milliseconds after their second in which 99 of 100 windows have to be closed. The bounds of the histogram decide.
    #[arg(long, default_value_t = 10.0)]
    close_ms: f64,
    /// Whose: KIND[-LABEL][=PATH]. The windows are judged of ours only.
    #[arg(long, default_value = "ours")]
    agent: Collector,
    /// One more argument for `observer run`; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    ours_arg: Vec<String>,
}

pub(crate) fn run(args: &CapacityArgs) -> Result<()> {
    println!("{}", machine::describe());
    println!("{} ({}): {}", args.agent, args.agent.version()?, args.agent.does());
    println!(
        "sustained: every scrape whole and in its second, nothing refused, windows closed within {} ms at P99, for {} s; \
         {} series a target, values `{}`\n",
        args.close_ms,
        args.seconds,
        args.series,
        args.change.as_str()
    );
    println!(
        "| targets | samples/s | cores: collector, targets, sink | CPU s a M samples | RSS, MiB | late ms P50, P99, max | \
         window closed by, P99 ms | verdict |\n|---|---|---|---|---|---|---|---|"
    );
    let first = u32::try_from(args.from / u64::from(args.series))?.clamp(1, MOST_TARGETS);
    let mut search = Search { passed: 0, failed: MOST_TARGETS + 1, next: first };
    while let Some(targets) = search.next() {
        search.learn(targets, step(args, targets, args.seconds)?);
    }
    // What a short step allowed a long one may not.
    let less = |targets: &u32| Some(targets - targets / 10 - 1).filter(|targets| *targets > 0);
    let candidates = iter::successors(Some(search.passed).filter(|targets| *targets > 0), less);
    for targets in candidates.take(CONFIRMATIONS) {
        if step(args, targets, args.confirm)? {
            let rate = u64::from(targets) * u64::from(args.series);
            println!("\nsustained for {} s: {rate} samples/s from {targets} targets", args.confirm);
            break;
        }
    }
    println!("after: load average {}", machine::load_average());
    Ok(())
}

/// Whether so many targets are sustained. A collector that does not get as far as being measured has failed.
fn step(args: &CapacityArgs, targets: u32, seconds: u64) -> Result<bool> {
    let load = TargetsArgs {
        targets,
        series: args.series,
        change: args.change,
        churn_percent: 1.0,
        openmetrics: false,
    };
    let rig = Rig::new(&load, &args.ours_arg)?;
    let reached = measure(args, &rig, seconds);
    let (reading, close, verdict) = match reached {
        Ok((reading, pages)) => {
            let close = pages.as_ref().and_then(|[before, after]| close_p99_ms(before, after));
            let verdict = judge(&reading, pages.as_ref(), close, args.close_ms);
            (reading, close, verdict)
        }
        Err(error) => (Reading::default(), None, Err(error.to_string().replace('\n', " "))),
    };
    let late = reading.served.late_ms;
    let second = reading.served.seconds.max(1.0);
    println!(
        "| {targets} | {:.0} | {:.2}, {:.2}, {:.2} | {:.3} | {:.1} | {:.1}, {:.1}, {:.1} | {} | {} |",
        reading.served.samples as f64 / second,
        reading.collector_cpu / second,
        reading.targets_cpu / second,
        reading.sink_cpu / second,
        reading.cpu_a_million(),
        mib(reading.rss),
        late.p50,
        late.p99,
        late.max,
        close.map_or("-".to_owned(), |close| format!("{close:.1}")),
        verdict.as_ref().map_or_else(String::as_str, |()| "sustained")
    );
    // The connections of the one that has just ended are still closing.
    thread::sleep(Duration::from_secs(1));
    Ok(verdict.is_ok())
}

/// What passed, and of ours its own page before and after.
fn measure(args: &CapacityArgs, rig: &Rig, seconds: u64) -> Result<(Reading, Option<[String; 2]>)> {
    let mut running = rig.start(&args.agent, Duration::from_secs(args.warm))?;
    let port = running.port;
    let page = || args.agent.is_ours().then(|| http::get(port, "/metrics?collect[]=self")).transpose();
    let before = page()?;
    let reading = rig.read(&mut running, Duration::from_secs(seconds))?;
    Ok((reading, before.zip(page()?).map(<[String; 2]>::from)))
}

fn judge(
    reading: &Reading,
    pages: Option<&[String; 2]>,
    close_ms: Option<f64>,
    limit_ms: f64,
) -> std::result::Result<(), String> {
    let served = &reading.served;
    if !reading.is_on_time() {
        return Err(format!(
            "{} scrapes missed, {} out of turn, {} cut, {} of {} targets reached",
            served.missed, served.extra, served.cut, served.reached, served.targets
        ));
    }
    let Some([before, after]) = pages else { return Ok(()) };
    let causes = failures(before, after);
    if !causes.is_empty() {
        return Err(format!("scrapes failed: {}", causes.join(", ")));
    }
    let refused = |page| sum(page, "observer_scrape_samples_refused_total", "");
    if refused(after) > refused(before) {
        return Err(format!("{} samples refused", refused(after) - refused(before)));
    }
    match close_ms {
        Some(close_ms) if close_ms <= limit_ms => Ok(()),
        Some(close_ms) => Err(format!("windows may be closed {close_ms:.1} ms late")),
        None => Err("no window was closed".to_owned()),
    }
}

/// How many scrapes did not succeed between two pages, by result.
fn failures(before: &str, after: &str) -> Vec<String> {
    const NAME: &str = "observer_scrapes_total";
    let lines = after.lines().filter_map(|line| line.strip_prefix(NAME));
    let results = lines.filter_map(|line| line.split_once("result=\"")?.1.split_once('"'));
    let counts = results.map(|(result, _)| {
        let label = format!("result=\"{result}\"");
        (result, sum(after, NAME, &label) - sum(before, NAME, &label))
    });
    let failed = counts.filter(|(result, count)| *result != "success" && *count > 0.0);
    failed.map(|(result, count)| format!("{count} {result}")).collect()
}

/// In milliseconds, the upper bound of the bucket in which P99 of the windows closed between two pages is: the truth is not above it.
fn close_p99_ms(before: &str, after: &str) -> Option<f64> {
    const NAME: &str = "observer_window_close_seconds";
    let count = |page| sum(page, &format!("{NAME}_count"), "");
    let wanted = ((count(after) - count(before)) * 0.99).ceil();
    if wanted < 1.0 {
        return None;
    }
    let bound = |line: &str| {
        line.split_once("le=\"")?.1.split_once('"')?.0.replace("+Inf", "inf").parse::<f64>().ok()
    };
    let bucket = format!("{NAME}_bucket");
    let bounds = after.lines().filter(|line| line.starts_with(&bucket)).filter_map(|line| {
        let label = line.split_once('{')?.1.split_once('}')?.0;
        Some((bound(line)?, sum(after, &bucket, label) - sum(before, &bucket, label)))
    });
    bounds.filter(|(_, closed)| *closed >= wanted).map(|(bound, _)| bound * 1e3).min_by(f64::total_cmp)
}

/// All samples of a name whose labels hold `label`.
pub(crate) fn sum(page: &str, name: &str, label: &str) -> f64 {
    let values = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let labels = series.strip_prefix(name)?;
        let is_name = labels.is_empty() || labels.starts_with('{');
        (is_name && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}

/// Doubles until it fails, then halves what is between.
struct Search {
    passed: u32,
    failed: u32,
    next: u32,
}

impl Search {
    fn next(&self) -> Option<u32> {
        let between = self.failed - self.passed;
        let is_close = f64::from(between) <= (f64::from(self.passed) * PRECISION).max(1.0);
        (!is_close).then_some(self.next)
    }

    fn learn(&mut self, targets: u32, passes: bool) {
        if passes {
            self.passed = targets;
        } else {
            self.failed = targets;
        }
        let middle = self.passed + (self.failed - self.passed) / 2;
        self.next = if self.passed == 0 { middle } else { middle.min(self.passed * 2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: u32, first: u32, expected: std::ops::RangeInclusive<u32>) {
        let mut search = Search { passed: 0, failed: MOST_TARGETS + 1, next: first };
        let mut steps = 0;
        while let Some(targets) = search.next() {
            search.learn(targets, targets <= limit);
            steps += 1;
        }
        assert!(expected.contains(&search.passed) && steps < 16, "{} after {steps} steps", search.passed);
    }

    #[test]
    fn the_limit_is_found_from_both_sides() {
        check(1700, 200, 1615..=1700);
        check(30, 200, 28..=30);
        check(0, 200, 0..=0);
        check(u32::MAX, 200, 14_000..=MOST_TARGETS);
    }

    #[test]
    fn the_percentile_is_of_what_came_between() {
        let page = |low: u32, middle: u32, count: u32| {
            format!(
                "observer_window_close_seconds_bucket{{le=\"0.001\"}} {low}\n\
                 observer_window_close_seconds_bucket{{le=\"0.01\"}} {middle}\n\
                 observer_window_close_seconds_bucket{{le=\"+Inf\"}} {count}\n\
                 observer_window_close_seconds_count {count}\n"
            )
        };
        assert_eq!(close_p99_ms(&page(0, 0, 5), &page(98, 100, 105)), Some(10.0));
        assert_eq!(close_p99_ms(&page(0, 0, 5), &page(20, 20, 25)), Some(1.0));
        assert_eq!(close_p99_ms(&page(0, 0, 5), &page(0, 0, 25)), Some(f64::INFINITY));
        assert_eq!(close_p99_ms(&page(0, 0, 5), &page(0, 0, 5)), None);
    }

    #[test]
    fn failures_are_told_by_their_result() {
        let page = |ok: u32, late: u32| {
            format!(
                "observer_scrapes_total{{result=\"success\"}} {ok}\n\
                 observer_scrapes_total{{result=\"timeout\"}} {late}\n\
                 observer_scrapes_total{{result=\"status\"}} 4\n"
            )
        };
        assert_eq!(failures(&page(1, 2), &page(90, 5)), ["3 timeout"]);
        assert!(failures(&page(1, 2), &page(90, 2)).is_empty());
    }

    #[test]
    fn a_sum_is_of_one_name() {
        let page = "a_total{result=\"success\"} 5\na_total{result=\"timeout\"} 2\na_total_more 9\n";
        assert_eq!(sum(page, "a_total", ""), 7.0);
        assert_eq!(sum(page, "a_total", "result=\"success\""), 5.0);
    }
}
