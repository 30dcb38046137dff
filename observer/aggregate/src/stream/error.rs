//! What can be wrong with a rule.

use std::fmt;

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleError {
    /// The rule's name.
    pub rule: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// There are more rules than an engine can hold.
    TooManyRules,
    /// The interval is not in `1..=`[`MAX_WINDOWS`](super::MAX_WINDOWS).
    Interval(u32),
    /// The staleness is shorter than the interval, or longer than [`MAX_WINDOWS`](super::MAX_WINDOWS).
    Staleness(u32),
    /// Nothing is to be made.
    NoOutputs,
    /// An output is there twice.
    Repeated(&'static str),
    /// Outputs that make more series a group than [`MAX_SERIES`](super::MAX_SERIES).
    TooManySeries(usize),
    /// Not a share between 0 and 1, or no quantile at all.
    Quantile(Option<f64>),
    /// Bounds that are not finite and ascending, or none.
    Bounds,
    /// `max_groups` is 0 or beyond [`MAX_GROUPS`](super::MAX_GROUPS).
    Groups(usize),
    /// The selection keeps no group.
    Top,
    /// A label that the rule cannot group by: the name always counts, and outputs set `le` and `quantile` themselves.
    Label(String),
    /// An expression that is none. The text says where and why.
    Regex {
        /// The label it is for.
        label: String,
        /// The expression's own error.
        error: String,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`: {}", self.rule, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules => write!(f, "there can be at most {} rules", super::MAX_RULES),
            Self::Interval(n) => {
                write!(f, "`interval` of {n} s: it must be from 1 to {} s", super::MAX_WINDOWS)
            }
            Self::Staleness(n) => {
                write!(f, "`staleness` of {n} s: it must be from one interval to {} s", super::MAX_WINDOWS)
            }
            Self::NoOutputs => write!(f, "`outputs` is empty: name at least one"),
            Self::Repeated(output) => write!(f, "`{output}` is there twice: remove one"),
            Self::TooManySeries(n) => {
                write!(f, "{n} output series a group: there can be at most {}", super::MAX_SERIES)
            }
            Self::Quantile(None) => write!(f, "`quantiles` is empty: name at least one from 0 to 1"),
            Self::Quantile(Some(q)) => write!(f, "quantile {q}: it must be from 0 to 1, and be there once"),
            Self::Bounds => {
                write!(f, "the bounds of `histogram` must be finite and ascending; `+Inf` comes by itself")
            }
            Self::Groups(n) => {
                write!(f, "`max_groups` of {n}: it must be from 1 to {}", super::MAX_GROUPS)
            }
            Self::Top => write!(f, "`k` of `topk` must be at least 1"),
            Self::Label(label) if label == "__name__" => {
                write!(f, "`__name__` always tells groups apart: leave it out, or set `output_name`")
            }
            Self::Label(label) => {
                write!(f, "label `{label}` is there twice, or set by an output: leave it out")
            }
            Self::Regex { label, error } => write!(f, "expression for label `{label}`: {error}"),
        }
    }
}

impl std::error::Error for RuleError {}
