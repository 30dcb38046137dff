//! A rule made ready: what it matches, what it writes, under which names.

use std::sync::Arc;

use super::{
    MAX_GROUPS, MAX_SERIES, MAX_WINDOWS,
    error::Reason,
    labels::{OTHER, block, interval, number},
    matcher::{Conditions, NAME},
    rule::{Grouping, Output, Rule, Top},
};
use crate::family::{Kind, Suffix};

/// What a rule needs to know of itself to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub name: String,
    pub conditions: Conditions,
    pub interval: u32,
    pub staleness: u32,
    pub ignore_first: bool,
    pub keep_input: bool,
    pub max_groups: usize,
    pub top: Option<Top>,
    pub output_name: Option<String>,
    /// One a series of each group, in the order of their ids.
    pub series: Vec<Series>,
    /// Families of output series: the word behind the metric's name.
    pub families: Vec<&'static str>,
    pub moments: bool,
    pub quantiles: bool,
    /// Upper bounds of buckets; empty without a histogram.
    pub bounds: Arc<[f64]>,
    grouping: Grouping,
    /// `:<interval>_by_<labels>`
    infix: String,
}

/// One series that each group of a rule has.
#[derive(Debug)]
pub(super) struct Series {
    pub figure: Figure,
    /// Position in [`Plan::families`].
    pub family: usize,
    pub suffix: Suffix,
    pub kind: Kind,
    /// The label it has besides those of its group.
    pub extra: Option<(&'static str, String)>,
}

/// What a series shows of its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Total,
    Increase,
    Rate,
    Sum,
    Min,
    Max,
    Avg,
    Count,
    Last,
    StdDev,
    Quantile(f64),
    /// The count of samples up to a bound; behind the last one, of all.
    Bucket(usize),
    BucketSum,
    BucketCount,
}

impl Plan {
    pub(super) fn new(rule: Rule) -> Result<Self, Reason> {
        check(&rule)?;
        let infix = infix(&rule);
        let mut plan = Self {
            name: rule.name,
            conditions: Conditions::compile(rule.matchers)?,
            interval: rule.interval_windows,
            staleness: rule.staleness_windows,
            ignore_first: rule.ignore_first,
            keep_input: rule.keep_input,
            max_groups: rule.max_groups,
            top: rule.top,
            output_name: rule.output_name,
            series: Vec::new(),
            families: Vec::new(),
            moments: false,
            quantiles: false,
            bounds: Arc::default(),
            grouping: rule.grouping,
            infix,
        };
        for output in rule.outputs {
            plan.add(output)?;
        }
        match plan.series.len() {
            0 => Err(Reason::NoOutputs),
            1..=MAX_SERIES => Ok(plan),
            n => Err(Reason::TooManySeries(n)),
        }
    }

    /// The names of the output families of a metric, in the order of [`Self::families`].
    pub(super) fn names(&self, metric: &str) -> Box<[Arc<str>]> {
        let infix = if self.output_name.is_some() { "" } else { &self.infix };
        self.families
            .iter()
            .map(|word| {
                let joint = if word.is_empty() { "" } else { "_" };
                format!("{metric}{infix}{joint}{word}").into()
            })
            .collect()
    }

    /// The labels that tell the group of these labels from others. Labels that outputs set themselves are none of them.
    pub(super) fn group_labels<'a>(&self, labels: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        labels
            .iter()
            .filter(|(name, _)| match &self.grouping {
                Grouping::By(names) => names.iter().any(|other| other == name),
                Grouping::Without(names) => !names.iter().any(|other| other == name) && !self.sets(name),
            })
            .copied()
            .collect()
    }

    /// The labels of the group that takes in the rest, seen from one that it takes in.
    pub(super) fn other_labels<'a>(&'a self, labels: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        match &self.grouping {
            Grouping::By(names) => names.iter().map(|name| (name.as_str(), OTHER)).collect(),
            Grouping::Without(_) => labels.iter().map(|&(name, _)| (name, OTHER)).collect(),
        }
    }

    /// The label blocks of a group: its own, then one for each series with an extra label, in the order of these.
    pub(super) fn blocks(&self, labels: &[(&str, &str)]) -> Box<[Arc<str>]> {
        let own = block(&mut labels.to_vec());
        let extra = self.series.iter().filter_map(|series| series.extra.as_ref()).map(|(name, value)| {
            let mut labels = labels.to_vec();
            labels.push((*name, value.as_str()));
            block(&mut labels)
        });
        std::iter::once(own).chain(extra).collect()
    }

    /// Whether this rule and another may write series of the same names.
    pub(super) fn is_rival(&self, other: &Self) -> bool {
        let alike = match (&self.output_name, &other.output_name) {
            (None, None) => self.infix == other.infix,
            (own, other) => own == other,
        };
        alike && self.families.iter().any(|family| other.families.contains(family))
    }

    fn sets(&self, label: &str) -> bool {
        (label == "le" && !self.bounds.is_empty()) || (label == "quantile" && self.quantiles)
    }

    fn add(&mut self, output: Output) -> Result<(), Reason> {
        let word = output.as_str();
        let figure = match output {
            Output::Total => {
                // The counter's family is the name without `_total`, which is the suffix.
                return self.push("", word, [(Figure::Total, Suffix::Total, Kind::Counter, None)]);
            }
            Output::Increase => Figure::Increase,
            Output::Rate => Figure::Rate,
            Output::Sum => Figure::Sum,
            Output::Min => Figure::Min,
            Output::Max => Figure::Max,
            Output::Avg => Figure::Avg,
            Output::Count => Figure::Count,
            Output::Last => Figure::Last,
            Output::StdDev => {
                self.moments = true;
                Figure::StdDev
            }
            Output::Quantiles(quantiles) => {
                self.quantiles = true;
                let series = quantiles
                    .into_iter()
                    .map(|q| (Figure::Quantile(q), Suffix::None, Kind::Gauge, Some(("quantile", number(q)))));
                return self.push(word, word, series);
            }
            Output::Histogram(bounds) => {
                self.bounds = bounds.into();
                let bounds: Vec<String> =
                    self.bounds.iter().map(|&bound| number(bound)).chain(["+Inf".to_owned()]).collect();
                let buckets = bounds.into_iter().enumerate().map(|(at, bound)| {
                    (Figure::Bucket(at), Suffix::Bucket, Kind::Histogram, Some(("le", bound)))
                });
                let rest = [
                    (Figure::BucketSum, Suffix::Sum, Kind::Histogram, None),
                    (Figure::BucketCount, Suffix::Count, Kind::Histogram, None),
                ];
                return self.push(word, word, buckets.chain(rest));
            }
        };
        self.push(word, word, [(figure, Suffix::None, Kind::Gauge, None)])
    }

    fn push(
        &mut self,
        family: &'static str,
        output: &'static str,
        series: impl IntoIterator<Item = (Figure, Suffix, Kind, Option<(&'static str, String)>)>,
    ) -> Result<(), Reason> {
        if self.families.contains(&family) {
            return Err(Reason::Repeated(output));
        }
        let at = self.families.len();
        self.families.push(family);
        self.series.extend(series.into_iter().map(|(figure, suffix, kind, extra)| Series {
            figure,
            family: at,
            suffix,
            kind,
            extra,
        }));
        Ok(())
    }
}

fn check(rule: &Rule) -> Result<(), Reason> {
    let interval = rule.interval_windows;
    if !(1..=MAX_WINDOWS).contains(&interval) {
        return Err(Reason::Interval(interval));
    }
    if !(interval..=MAX_WINDOWS).contains(&rule.staleness_windows) {
        return Err(Reason::Staleness(rule.staleness_windows));
    }
    if !(1..=MAX_GROUPS).contains(&rule.max_groups) {
        return Err(Reason::Groups(rule.max_groups));
    }
    if rule.top.is_some_and(|top| top.k == 0) {
        return Err(Reason::Top);
    }
    let (Grouping::By(labels) | Grouping::Without(labels)) = &rule.grouping;
    let repeated = |at: usize| labels[..at].contains(&labels[at]);
    if let Some((_, label)) = labels.iter().enumerate().find(|(at, label)| *label == NAME || repeated(*at)) {
        return Err(Reason::Label(label.clone()));
    }
    for output in &rule.outputs {
        let sets = match output {
            Output::Quantiles(quantiles) => {
                check_quantiles(quantiles)?;
                "quantile"
            }
            Output::Histogram(bounds) => {
                if bounds.is_empty()
                    || !bounds.is_sorted_by(|a, b| a < b)
                    || !bounds.iter().all(|b| b.is_finite())
                {
                    return Err(Reason::Bounds);
                }
                "le"
            }
            _ => continue,
        };
        if matches!(&rule.grouping, Grouping::By(labels) if labels.iter().any(|label| label == sets)) {
            return Err(Reason::Label(sets.to_owned()));
        }
    }
    Ok(())
}

fn check_quantiles(quantiles: &[f64]) -> Result<(), Reason> {
    let wrong = |&(at, q): &(usize, &f64)| !(0.0..=1.0).contains(q) || quantiles[..at].contains(q);
    match quantiles.iter().enumerate().find(wrong) {
        Some((_, &q)) => Err(Reason::Quantile(Some(q))),
        None if quantiles.is_empty() => Err(Reason::Quantile(None)),
        None => Ok(()),
    }
}

fn infix(rule: &Rule) -> String {
    let (word, labels) = match &rule.grouping {
        Grouping::By(labels) => ("by", labels),
        Grouping::Without(labels) => ("without", labels),
    };
    let mut labels = labels.clone();
    labels.sort_unstable();
    let interval = interval(rule.interval_windows);
    if labels.is_empty() {
        format!(":{interval}")
    } else {
        format!(":{interval}_{word}_{}", labels.join("_"))
    }
}
