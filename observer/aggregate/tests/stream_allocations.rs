//! Warm windows allocate nothing, whatever rules do.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/random.rs"]
mod random;

use observer_aggregate::{
    family::Kind,
    stream::{Engine, Grouping, Output, OutputSeries, Rule, Sink, Top, Weight},
};

use self::random::Random;

/// Counts what is written.
#[derive(Default)]
struct Written {
    values: u64,
    gone: u64,
}

impl Sink for Written {
    fn value(&mut self, _: OutputSeries<'_>, _: f64) {
        self.values += 1;
    }

    fn gone(&mut self, _: u32) {
        self.gone += 1;
    }
}

fn by(label: &str) -> Grouping {
    Grouping::By(vec![label.to_owned()])
}

fn rules() -> Vec<Rule> {
    let distribution =
        vec![Output::StdDev, Output::Quantiles(vec![0.5, 0.99]), Output::Histogram(vec![1.0, 1_000.0, 1e6])];
    vec![
        Rule { grouping: by("job"), ..Rule::new("counters", 1, vec![Output::Total, Output::Rate]) },
        Rule { grouping: by("job"), ..Rule::new("distribution", 5, distribution.clone()) },
        Rule { max_groups: 20, ..Rule::new("over the limit", 2, vec![Output::Sum, Output::Last]) },
        Rule {
            grouping: by("pod"),
            top: Some(Top { k: 5, by: Weight::Sum }),
            staleness_windows: 3,
            ..Rule::new("the heaviest", 1, distribution)
        },
        Rule {
            grouping: by("job"),
            output_name: Some("all".to_owned()),
            staleness_windows: 60,
            ..Rule::new("a minute", 60, vec![Output::Avg, Output::Quantiles(vec![0.5])])
        },
    ]
}

#[test]
fn sixty_warm_windows_allocate_nothing() {
    let mut random = Random::new(1);
    let mut engine = Engine::new(rules()).unwrap();
    let series: Vec<_> = (0..2_000)
        .map(|n| {
            let (job, pod) = (format!("j{}", n % 7), format!("p{}", n % 50));
            let kind = if n % 2 == 0 { Kind::Counter } else { Kind::Gauge };
            engine.join("x", &[("job", &job), ("pod", &pod), ("n", &n.to_string())], kind).membership
        })
        .collect();
    let mut written = Written::default();
    let mut warm = None;
    for window in 0..180 {
        if window == 120 {
            warm = Some((allocations::count(), written.values, written.gone));
        }
        for (at, &membership) in series.iter().enumerate() {
            // Pods fall silent in turns, so that selections and series change in warm windows too.
            if !(at as u64 + window / 8).is_multiple_of(5) {
                let value = f64::from(random.below(1 << 30) as u32) / f64::from(1 << random.below(30));
                engine.observe(membership, value, random.once_in(100));
            }
        }
        engine.close(window, &mut written);
    }
    let (allocations, values, gone) = warm.expect("there are more windows");
    assert_eq!(allocations::count() - allocations, 0);
    assert!(written.values > values + 60 && written.gone > gone, "nothing was written, or nothing went");
    drop(vec![1_u8]);
    assert_eq!(allocations::count() - allocations, 1, "the allocator does not count");
}
