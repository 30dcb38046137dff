//! A rule of stream aggregation as one would write it down: every sample is kept, and every figure is made of all of them.

use std::collections::BTreeMap;

use observer_aggregate::stream::{Grouping, Output, Rule};

/// A sample and where it went.
struct Sample {
    group: String,
    interval: u64,
    tick: u64,
    value: f64,
    increase: f64,
}

struct Series {
    group: Option<String>,
    counter: bool,
    /// The last sample.
    last: Option<(u64, f64)>,
}

#[derive(Clone, Debug)]
struct Group {
    metric: String,
    labels: String,
    other: bool,
    counter: bool,
    /// Samples up to this tick are forgotten.
    forgotten: u64,
}

/// One rule over series that all have the labels `job` and `pod`.
pub(crate) struct Naive {
    rule: Rule,
    series: BTreeMap<usize, Series>,
    groups: BTreeMap<String, Group>,
    samples: Vec<Sample>,
    tick: u64,
    interval: u64,
    opened: Option<u64>,
    complete: bool,
    /// What the page must show.
    pub(crate) page: BTreeMap<String, f64>,
}

impl Naive {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            series: BTreeMap::new(),
            groups: BTreeMap::new(),
            samples: Vec::new(),
            tick: 1,
            interval: 0,
            opened: None,
            complete: false,
            page: BTreeMap::new(),
        }
    }

    pub(crate) fn join(&mut self, id: usize, name: &str, job: &str, pod: &str, counter: bool) {
        let metric = match &self.rule.output_name {
            Some(name) => name.clone(),
            None => format!("{name}:{}s{}", self.rule.interval_windows, self.infix()),
        };
        let own = self.labels(job, pod);
        let other = self.labels("(other)", "(other)");
        let count = |other: bool| self.groups.values().filter(|group| group.other == other).count();
        let key = |labels: &str| format!("{metric}|{labels}");
        let labels = if self.groups.contains_key(&key(&own)) || count(false) < self.rule.max_groups {
            Some((own, false))
        } else if self.groups.contains_key(&key(&other)) || count(true) < self.rule.max_groups {
            Some((other, true))
        } else {
            None
        };
        let group = labels.map(|(labels, other)| {
            let key = key(&labels);
            let new =
                Group { metric: metric.clone(), labels, other, counter: false, forgotten: self.tick - 1 };
            self.groups.entry(key.clone()).or_insert(new).counter |= counter;
            key
        });
        self.series.insert(id, Series { group, counter, last: None });
    }

    pub(crate) fn leave(&mut self, id: usize) {
        self.series.remove(&id);
    }

    pub(crate) fn observe(&mut self, id: usize, value: f64) {
        let series = self.series.get_mut(&id).expect("the series has joined");
        let Some(group) = series.group.clone().filter(|_| value.is_finite()) else { return };
        let staleness = u64::from(self.rule.staleness_windows);
        let increase = match series.last {
            _ if !series.counter => 0.0,
            Some((tick, last)) if self.tick - tick <= staleness => {
                if value < last {
                    value
                } else {
                    value - last
                }
            }
            _ if !self.rule.ignore_first && self.tick > staleness => value,
            _ => 0.0,
        };
        series.last = Some((self.tick, value));
        self.samples.push(Sample { group, interval: self.interval, tick: self.tick, value, increase });
    }

    pub(crate) fn skip(&mut self, windows: u64) {
        self.tick += windows;
    }

    pub(crate) fn close(&mut self, window: u64) {
        let length = u64::from(self.rule.interval_windows);
        let opened = *self.opened.get_or_insert_with(|| {
            self.complete = window.is_multiple_of(length);
            window
        });
        if (window + 1) / length > opened / length {
            self.page.clear();
            for (key, group) in self.groups.clone() {
                self.end(&key, &group, window + 1 - opened);
            }
            self.interval += 1;
            self.opened = Some(window + 1);
            self.complete = true;
        }
        self.tick += 1;
    }

    fn end(&mut self, key: &str, group: &Group, span: u64) {
        let all: Vec<&Sample> =
            self.samples.iter().filter(|s| s.group == key && s.tick > group.forgotten).collect();
        let now: Vec<&Sample> = all.iter().copied().filter(|s| s.interval == self.interval).collect();
        let age = all.last().map(|s| self.tick - s.tick);
        if now.is_empty() && age.is_none_or(|age| age > u64::from(self.rule.staleness_windows)) {
            if self.series.values().any(|series| series.group.as_deref() == Some(key)) {
                self.groups.get_mut(key).expect("it is there").forgotten = self.tick;
            } else {
                self.groups.remove(key);
            }
            return;
        }
        if !self.complete {
            return;
        }
        for output in &self.rule.outputs {
            for (extra, suffix, value) in figures(output, &all, &now, group.counter, span) {
                let mut labels: Vec<&str> =
                    group.labels.split(',').filter(|label| !label.is_empty()).collect();
                labels.extend(extra.as_deref());
                labels.sort_unstable();
                let name = format!("{}_{}{suffix}{{{}}}", group.metric, output.as_str(), labels.join(","));
                assert_eq!(self.page.insert(name, value), None);
            }
        }
    }

    fn labels(&self, job: &str, pod: &str) -> String {
        let keeps = |label: &str| match &self.rule.grouping {
            Grouping::By(names) => names.iter().any(|name| name == label),
            Grouping::Without(names) => !names.iter().any(|name| name == label),
        };
        let labels = [("job", job), ("pod", pod)].into_iter().filter(|(name, _)| keeps(name));
        labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect::<Vec<_>>().join(",")
    }

    fn infix(&self) -> String {
        let (word, names) = match &self.rule.grouping {
            Grouping::By(names) => ("by", names),
            Grouping::Without(names) => ("without", names),
        };
        if names.is_empty() { String::new() } else { format!("_{word}_{}", names.join("_")) }
    }
}

/// An extra label, what follows the output's name, and the value.
type Figure = (Option<String>, &'static str, f64);

fn figures(output: &Output, all: &[&Sample], now: &[&Sample], counter: bool, span: u64) -> Vec<Figure> {
    let mut values: Vec<f64> = now.iter().map(|s| s.value).collect();
    let last = values.last().copied();
    values.sort_unstable_by(f64::total_cmp);
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let increase: f64 = now.iter().map(|s| s.increase).sum();
    let single = |value: f64| vec![(None, "", value)];
    let of_counter = |value: f64| if counter { single(value) } else { Vec::new() };
    let of_samples = |value: f64| if values.is_empty() { Vec::new() } else { single(value) };
    match output {
        Output::Total => of_counter(all.iter().map(|s| s.increase).sum()),
        Output::Increase => of_counter(increase),
        Output::Rate => of_counter(increase / span as f64),
        Output::Sum => of_samples(sum),
        Output::Min => values.first().copied().map_or_else(Vec::new, single),
        Output::Max => values.last().copied().map_or_else(Vec::new, single),
        Output::Avg => of_samples(sum / count),
        Output::Count => of_samples(count),
        Output::Last => last.map_or_else(Vec::new, single),
        Output::StdDev => {
            let mean = sum / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            of_samples(variance.sqrt())
        }
        Output::Quantiles(quantiles) if !values.is_empty() => quantiles
            .iter()
            .map(|&q| {
                let rank = q * (count - 1.0);
                let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
                (Some(format!("quantile=\"{q:?}\"")), "", below + (above - below) * rank.fract())
            })
            .collect(),
        Output::Quantiles(_) => Vec::new(),
        Output::Histogram(bounds) => {
            let up_to = |bound: f64| all.iter().filter(|s| s.value <= bound).count() as f64;
            let bucket = |text: String, bound: f64| (Some(format!("le=\"{text}\"")), "_bucket", up_to(bound));
            let mut figures: Vec<Figure> = bounds.iter().map(|&b| bucket(format!("{b:?}"), b)).collect();
            figures.push(bucket("+Inf".to_owned(), f64::INFINITY));
            figures.push((None, "_sum", all.iter().map(|s| s.value).sum()));
            figures.push((None, "_count", all.len() as f64));
            figures
        }
    }
}
