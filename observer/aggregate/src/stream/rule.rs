//! Rules as they are configured.

use std::str::FromStr;

/// One rule. Its input is read once a window; everything counted in windows is therefore in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What errors and counters call the rule.
    pub name: String,
    /// All must match. None: every series.
    pub matchers: Vec<Matcher>,
    /// Which labels tell one group from another. The metric's name always does, unless [`Self::output_name`] is set.
    pub grouping: Grouping,
    /// Windows from one output to the next, from 1. Intervals begin at multiples of it.
    pub interval_windows: u32,
    /// What is made of each group.
    pub outputs: Vec<Output>,
    /// Stands before `_<output>` in the output's name, in place of `<metric>:<interval>_by_<labels>`; series of all matching
    /// names then share groups.
    pub output_name: Option<String>,
    /// Whether the matching series are exported too.
    pub keep_input: bool,
    /// Windows without a sample after which a counter's last value, and a group without samples, are forgotten.
    pub staleness_windows: u32,
    /// Whether the first sample of a counter is only what later ones are compared with. If not it counts from zero, except in
    /// the first `staleness_windows` windows, when a new series cannot be told from an old one.
    pub ignore_first: bool,
    /// Groups that keep labels of their own; the others share one `(other)` group a metric.
    pub max_groups: usize,
    /// Only the heaviest groups of a metric keep labels of their own.
    pub top: Option<Top>,
}

/// A condition on a label. A label that is not there has the empty value; `__name__` is the metric's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: String,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`
    NotRegex,
}

/// Which labels a group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// These only.
    By(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What is made of a group. Counts are of samples, not of series.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Sum of the counters' increases since the group began. A counter.
    Total,
    /// Sum of the counters' increases in the interval.
    Increase,
    /// [`Self::Increase`] a second.
    Rate,
    /// Sum of the samples in the interval.
    Sum,
    /// The smallest sample in the interval.
    Min,
    /// The largest sample in the interval.
    Max,
    /// Mean of the samples in the interval.
    Avg,
    /// How many samples were in the interval.
    Count,
    /// The sample that came last in the interval.
    Last,
    /// Standard deviation of the samples in the interval, of the population.
    StdDev,
    /// Quantiles of the samples in the interval, each in `[0, 1]`.
    Quantiles(Vec<f64>),
    /// Samples since the group began, in buckets with these upper bounds, ascending.
    Histogram(Vec<f64>),
}

/// Selection of the heaviest groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// How many groups of a metric keep their labels, from 1.
    pub k: usize,
    /// What makes a group heavy.
    pub by: Weight,
}

/// What a group weighs in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As [`Output::Increase`].
    Increase,
    /// As [`Output::Sum`].
    Sum,
    /// As [`Output::Max`].
    Max,
    /// As [`Output::Count`].
    Count,
    /// As [`Output::Last`].
    Last,
}

/// A word that names no output or weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord(String);

impl Rule {
    /// A rule that takes in every series, with the defaults: all labels, input not kept, staleness of five minutes or two
    /// intervals, first samples ignored, 1,000 groups.
    #[must_use]
    pub fn new(name: impl Into<String>, interval_windows: u32, outputs: Vec<Output>) -> Self {
        Self {
            name: name.into(),
            matchers: Vec::new(),
            grouping: Grouping::Without(Vec::new()),
            interval_windows,
            outputs,
            output_name: None,
            keep_input: false,
            staleness_windows: interval_windows.saturating_mul(2).max(300),
            ignore_first: true,
            max_groups: 1_000,
            top: None,
        }
    }
}

impl Output {
    /// The output's name, which ends the names of its series.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Increase => "increase",
            Self::Rate => "rate",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Last => "last",
            Self::StdDev => "stddev",
            Self::Quantiles(_) => "quantiles",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl FromStr for Output {
    type Err = UnknownWord;

    /// Reads `total` to `stddev`, `quantiles(0.5, 0.99)`, `histogram(0.1, 1, 10)`, and vmagent's `rate_sum`, `sum_samples` and
    /// `count_samples` for `rate`, `sum` and `count`.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord(text.to_owned());
        if let Some((word, arguments)) = text.trim().strip_suffix(')').and_then(|text| text.split_once('(')) {
            let numbers = arguments.split(',').map(|number| number.trim().parse().map_err(|_| unknown()));
            return match word.trim() {
                "quantiles" => Ok(Self::Quantiles(numbers.collect::<Result<_, _>>()?)),
                "histogram" => Ok(Self::Histogram(numbers.collect::<Result<_, _>>()?)),
                _ => Err(unknown()),
            };
        }
        Ok(match text.trim() {
            "total" => Self::Total,
            "increase" => Self::Increase,
            "rate" | "rate_sum" => Self::Rate,
            "sum" | "sum_samples" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "avg" => Self::Avg,
            "count" | "count_samples" => Self::Count,
            "last" => Self::Last,
            "stddev" => Self::StdDev,
            _ => return Err(unknown()),
        })
    }
}

impl FromStr for Weight {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "increase" => Ok(Self::Increase),
            "sum" => Ok(Self::Sum),
            "max" => Ok(Self::Max),
            "count" => Ok(Self::Count),
            "last" => Ok(Self::Last),
            _ => Err(UnknownWord(text.to_owned())),
        }
    }
}

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is not one of the words or lists of numbers that stand here", self.0)
    }
}

impl std::error::Error for UnknownWord {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&Output>) {
        assert_eq!(text.parse().ok().as_ref(), expected, "{text}");
    }

    #[test]
    fn outputs_are_read_by_their_names() {
        for output in [
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
        ] {
            check(output.as_str(), Some(&output));
        }
    }

    #[test]
    fn outputs_with_numbers() {
        check("quantiles(0.5, 0.99)", Some(&Output::Quantiles(vec![0.5, 0.99])));
        check("histogram(1)", Some(&Output::Histogram(vec![1.0])));
        check("quantiles()", None);
        check("quantiles", None);
        check("total(1)", None);
        check("histogram(1, x)", None);
    }

    #[test]
    fn the_names_of_vmagent_mean_what_they_mean_there() {
        check("rate_sum", Some(&Output::Rate));
        check("sum_samples", Some(&Output::Sum));
        check("count_samples", Some(&Output::Count));
        check("unique_samples", None);
    }

    #[test]
    fn weights_are_read_by_their_names() {
        assert_eq!("increase".parse(), Ok(Weight::Increase));
        assert_eq!("p99".parse::<Weight>(), Err(UnknownWord("p99".to_owned())));
    }
}
