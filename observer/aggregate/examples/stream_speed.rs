//! What an observed sample costs: `cargo run --release -p observer-aggregate --example stream_speed [windows] [rules]`.
//!
//! 100,000 series, read once a window. Prints nanoseconds a sample: the median and the best of the windows.

use std::{env, hint::black_box, time::Instant};

use observer_aggregate::{
    family::Kind,
    stream::{Engine, Grouping, Membership, Output, OutputSeries, Rule, Sink, Top, Weight},
};

const SERIES: u32 = 100_000;

struct Written(u64);

impl Sink for Written {
    fn value(&mut self, _: OutputSeries<'_>, value: f64) {
        self.0 += u64::from(black_box(value) > 0.0);
    }

    fn gone(&mut self, _: u32) {}
}

fn by(labels: &[&str], interval: u32, outputs: Vec<Output>) -> Rule {
    let grouping = Grouping::By(labels.iter().map(|&label| label.to_owned()).collect());
    Rule { grouping, ..Rule::new(format!("by {labels:?}"), interval, outputs) }
}

fn rules() -> [(&'static str, Rule); 5] {
    let quantiles = vec![Output::Quantiles(vec![0.5, 0.99])];
    let buckets = vec![Output::Histogram(vec![1e2, 1e3, 1e4, 1e5, 1e6])];
    let top = Some(Top { k: 10, by: Weight::Increase });
    [
        ("total and rate by job", by(&["job"], 1, vec![Output::Total, Output::Rate])),
        ("sum to last by job, pod", by(&["job", "pod"], 5, vec![Output::Sum, Output::Max, Output::Last])),
        ("topk by pod", Rule { top, ..by(&["pod"], 1, vec![Output::Total]) }),
        ("quantiles by job", by(&["job"], 10, quantiles)),
        ("histogram by pod", by(&["pod"], 60, buckets)),
    ]
}

fn main() {
    let mut arguments = env::args().skip(1).map(|number| number.parse().expect("a number"));
    let windows: u64 = arguments.next().unwrap_or(60);
    if let Some(count) = arguments.next() {
        let rules = rules().into_iter().take(count as usize).map(|(_, rule)| rule).collect();
        return measure(&format!("{count} rules"), rules, windows);
    }
    measure("no rule", Vec::new(), windows);
    for (name, rule) in rules() {
        measure(name, vec![rule], windows);
    }
    measure("all five", rules().into_iter().map(|(_, rule)| rule).collect(), windows);
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure(name: &str, rules: Vec<Rule>, windows: u64) {
    let mut engine = Engine::new(rules).expect("the rules are right");
    let started = Instant::now();
    let series: Vec<Membership> = (0..SERIES)
        .map(|n| {
            let (job, pod, cpu) = (format!("job{}", n % 20), format!("pod{}", n / 500), (n % 64).to_string());
            let labels = [("job", job.as_str()), ("pod", &pod), ("cpu", &cpu)];
            engine.join("node_cpu_seconds_total", &labels, Kind::Counter).membership
        })
        .collect();
    let join = started.elapsed().as_nanos() as f64 / f64::from(SERIES);
    let mut values: Vec<f64> = (0..SERIES).map(f64::from).collect();
    let mut written = Written(0);
    let (mut costs, mut close) = (Vec::new(), Vec::new());
    for window in 0..windows {
        for value in values.iter_mut().step_by(3) {
            *value += 1.5;
        }
        let started = Instant::now();
        observe_all(&mut engine, &series, &values);
        costs.push(started.elapsed().as_nanos() as f64 / f64::from(SERIES));
        let started = Instant::now();
        engine.close(window, &mut written);
        close.push(started.elapsed().as_nanos() as f64 / 1e3);
    }
    costs.sort_unstable_by(f64::total_cmp);
    close.sort_unstable_by(f64::total_cmp);
    println!(
        "{name:24} observe {:6.2} ns (best {:6.2})  close at most {:7.1} µs  join {join:5.0} ns",
        costs[costs.len() / 2],
        costs[0],
        close[close.len() - 1],
    );
}

/// The loop as whoever reads a window has it.
#[inline(never)]
fn observe_all(engine: &mut Engine, series: &[Membership], values: &[f64]) {
    for (&membership, &value) in series.iter().zip(values) {
        engine.observe(membership, value, false);
    }
}
