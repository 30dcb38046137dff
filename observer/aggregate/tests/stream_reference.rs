//! Stream aggregation against a reference that keeps every sample, on made-up lives of series.

#[path = "support/naive.rs"]
mod naive;
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;

use observer_aggregate::{
    family::Kind,
    stream::{Engine, Grouping, Membership, Output, OutputSeries, Rule, Sink, Top, Weight},
};

use self::{naive::Naive, random::Random};

#[derive(Default)]
struct Page {
    series: BTreeMap<u32, (String, f64)>,
}

impl Sink for Page {
    fn value(&mut self, series: OutputSeries<'_>, value: f64) {
        let name = format!("{}{}{{{}}}", series.family, series.suffix.as_str(), series.labels);
        if let Some((before, _)) = self.series.insert(series.id, (name.clone(), value)) {
            assert_eq!(before, name, "an id changed its series without going");
        }
    }

    fn gone(&mut self, id: u32) {
        assert!(self.series.remove(&id).is_some(), "{id} is gone twice");
    }
}

/// A series while it lives.
struct Life {
    membership: Membership,
    id: usize,
    counter: bool,
    value: f64,
}

/// What happens to series; both sides are told the same.
struct World {
    random: Random,
    lives: Vec<Life>,
    born: usize,
    window: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let window = random.below(20);
        Self { random, lives: Vec::new(), born: 0, window }
    }

    /// One window with joins, samples, markers and leaves.
    fn step(&mut self, engine: &mut Engine, page: &mut Page, naive: &mut [Naive]) {
        let random = &mut self.random;
        while self.lives.len() < 4 || random.once_in(3) {
            let counter = random.once_in(2);
            let (job, pod) = (format!("j{}", random.below(4)), format!("p{}", random.below(3)));
            let (name, kind) = if counter { ("x", Kind::Counter) } else { ("y", Kind::Gauge) };
            let membership = engine.join(name, &[("pod", &pod), ("job", &job)], kind).membership;
            naive.iter_mut().for_each(|naive| naive.join(self.born, name, &job, &pod, counter));
            self.lives.push(Life { membership, id: self.born, counter, value: 0.0 });
            self.born += 1;
        }
        for life in &mut self.lives {
            for _ in 0..random.below(4) {
                life.value = match random.below(20) {
                    0 if life.counter => random.below(5) as f64,
                    _ if life.counter => life.value + random.below(100) as f64,
                    _ => random.below(200) as f64 - 100.0,
                };
                let (value, stale) = match random.below(30) {
                    0 => (f64::NAN, random.once_in(2)),
                    1 => (f64::INFINITY, false),
                    _ => (life.value, false),
                };
                engine.observe(life.membership, value, stale);
                naive.iter_mut().for_each(|naive| naive.observe(life.id, value));
            }
        }
        self.lives.retain(|life| {
            let leaves = random.once_in(12);
            if leaves {
                engine.leave(life.membership);
                naive.iter_mut().for_each(|naive| naive.leave(life.id));
            }
            !leaves
        });
        engine.close(self.window, page);
        naive.iter_mut().for_each(|naive| naive.close(self.window));
        self.window += 1;
        if random.once_in(25) {
            let windows = random.below(12);
            engine.skip(windows);
            naive.iter_mut().for_each(|naive| naive.skip(windows));
            self.window += windows;
        }
    }

    /// A time in which nothing happens but the windows.
    fn rest(&mut self, engine: &mut Engine, page: &mut Page, naive: &mut [Naive]) {
        for _ in 0..self.random.below(15) {
            engine.close(self.window, page);
            naive.iter_mut().for_each(|naive| naive.close(self.window));
            self.window += 1;
        }
    }
}

fn outputs() -> Vec<Output> {
    vec![
        Output::Total,
        Output::Increase,
        Output::Rate,
        Output::Sum,
        Output::Min,
        Output::Max,
        Output::Avg,
        Output::Count,
        Output::Last,
        Output::StdDev,
        Output::Quantiles(vec![0.0, 0.5, 0.9, 1.0]),
        Output::Histogram(vec![-20.0, 0.0, 50.0]),
    ]
}

fn rule(random: &mut Random) -> Rule {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let interval = 1 + random.below(5) as u32;
    Rule {
        grouping: match random.below(5) {
            0 => Grouping::By(names(&[])),
            1 => Grouping::By(names(&["job"])),
            2 => Grouping::By(names(&["job", "pod"])),
            3 => Grouping::Without(names(&["pod"])),
            _ => Grouping::Without(names(&[])),
        },
        staleness_windows: interval + random.below(8) as u32,
        ignore_first: random.once_in(2),
        max_groups: 1 + random.below(6) as usize,
        ..Rule::new("made up", interval, outputs())
    }
}

#[track_caller]
fn check(seed: u64, window: u64, page: &Page, naive: &[Naive]) {
    let found: BTreeMap<&str, f64> =
        page.series.values().map(|(name, value)| (name.as_str(), *value)).collect();
    let expected: BTreeMap<&str, f64> =
        naive.iter().flat_map(|naive| &naive.page).map(|(name, value)| (name.as_str(), *value)).collect();
    let names = |page: &BTreeMap<&str, f64>| page.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "seed {seed}, window {window}");
    for (name, expected) in expected {
        let found = found[name];
        // Everything but these is a sum of whole numbers.
        let slack = if name.contains("_stddev{") { 1e-9 * expected.abs().max(1.0) } else { 0.0 };
        assert!(
            (found - expected).abs() <= slack,
            "seed {seed}, window {window}: {name} is {found}, not {expected}"
        );
    }
}

#[test]
fn every_figure_is_what_all_samples_say() {
    let mut compared = 0;
    for seed in 0..100 {
        let mut world = World::new(seed);
        let first = rule(&mut world.random);
        let named = Rule { output_name: Some("all".to_owned()), ..rule(&mut world.random) };
        let mut engine = Engine::new(vec![first.clone(), named.clone()]).unwrap();
        let mut naive = [Naive::new(first), Naive::new(named)];
        let mut page = Page::default();
        for _ in 0..60 {
            world.step(&mut engine, &mut page, &mut naive);
            check(seed, world.window, &page, &naive);
            if world.random.once_in(10) {
                world.rest(&mut engine, &mut page, &mut naive);
                check(seed, world.window, &page, &naive);
            }
            compared += page.series.len();
        }
    }
    assert!(compared > 150_000, "only {compared} figures were compared");
}

/// The figures of an output, its groups summed up.
fn sum(page: &Page, output: &str) -> f64 {
    let of_output = page.series.values().filter(|(name, _)| name.starts_with(output));
    of_output.map(|(_, value)| value).sum()
}

#[test]
fn what_is_not_selected_is_in_the_rest_to_the_last_sample() {
    for seed in 0..150 {
        // What is counted before the first interval that is written shows in no total of its own.
        let mut world = World { window: 0, ..World::new(seed) };
        let k = 1 + world.random.below(3) as usize;
        let by = [Weight::Increase, Weight::Sum, Weight::Max, Weight::Count, Weight::Last];
        let plain = Rule {
            // Long enough for nothing to be forgotten, as own totals and those of the rest go at different times.
            staleness_windows: 1_000,
            max_groups: 100,
            output_name: Some("plain".to_owned()),
            ..rule(&mut world.random)
        };
        let top = Top { k, by: by[world.random.below(5) as usize] };
        let selected = Rule {
            output_name: Some("top".to_owned()),
            max_groups: if world.random.once_in(2) { 100 } else { 4 },
            top: Some(top),
            ..plain.clone()
        };
        let mut engine = Engine::new(vec![plain, selected]).unwrap();
        let mut page = Page::default();
        // What each series shows, or last showed before it went.
        let mut shown: BTreeMap<String, f64> = BTreeMap::new();
        for _ in 0..60 {
            world.step(&mut engine, &mut page, &mut []);
            for output in ["_increase{", "_sum{", "_count{"] {
                let (all, parts) =
                    (sum(&page, &format!("plain{output}")), sum(&page, &format!("top{output}")));
                assert_eq!(all, parts, "seed {seed}, window {}: {output}", world.window);
            }
            let own = page.series.values().filter(|(name, _)| name.starts_with("top_count{"));
            assert!(own.filter(|(name, _)| !name.contains("(other)")).count() <= k, "seed {seed}");
            for (name, value) in page.series.values() {
                let before = shown.insert(name.clone(), *value).unwrap_or_default();
                let grows = name.starts_with("top_total{") || name.starts_with("top_histogram_count{");
                assert!(!grows || before <= *value, "seed {seed}: {name} fell from {before} to {value}");
            }
            for output in ["_total{", "_histogram_count{", "_histogram_sum{"] {
                let total = |start: &str| -> f64 {
                    let start = format!("{start}{output}");
                    shown.iter().filter(|(name, _)| name.starts_with(&start)).map(|(_, value)| value).sum()
                };
                assert_eq!(total("plain"), total("top"), "seed {seed}, window {}: {output}", world.window);
            }
        }
    }
}
