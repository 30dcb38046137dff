//! The data model every source fills and every export reads: metric families and their samples.

use std::{borrow::Cow, sync::Arc};

use crate::native::Native;

/// A metric's type, in the terms of OpenMetrics 1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The source did not say.
    #[default]
    Unknown,
    /// A value that only grows, until its source restarts.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// As [`Kind::Histogram`], but its buckets may fall.
    GaugeHistogram,
    /// Quantiles computed by the source, a sum and a count.
    Summary,
    /// A constant 1 whose labels are the information.
    Info,
    /// One series a state, 0 or 1.
    StateSet,
}

/// What a sample's name has behind its family's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suffix {
    /// The family's own name.
    #[default]
    None,
    /// `_total`
    Total,
    /// `_bucket`
    Bucket,
    /// `_sum`
    Sum,
    /// `_count`
    Count,
    /// `_created`
    Created,
    /// `_info`
    Info,
    /// `_gsum`
    GSum,
    /// `_gcount`
    GCount,
    /// None: the sample is a native histogram, see [`crate::native`].
    Native,
}

/// One sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the family's name.
    pub suffix: Suffix,
    /// The label block without braces, values escaped as in the text formats: `a="b",c="d"`. Empty for none.
    pub labels: Arc<str>,
    /// The value, in the family's unit.
    pub value: f64,
    /// Milliseconds since the Unix epoch, if the source gave the sample a time of its own.
    pub timestamp_ms: Option<i64>,
    /// What a sample with [`Suffix::Native`] is worth, and only such a one. Its `value` is the count then.
    pub native: Option<Box<Native>>,
}

/// A family: one name, one type, one help text, and its samples in the order of their source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// The name without any [`Suffix`]: the OpenMetrics name, so `observer_events` for `observer_events_total`.
    pub name: Cow<'static, str>,
    /// The type.
    pub kind: Kind,
    /// The help text, unescaped. Empty for none.
    pub help: Cow<'static, str>,
    /// The unit, which the name then ends in. Empty for none.
    pub unit: Cow<'static, str>,
    /// The samples; those of one histogram stand together, buckets ascending.
    pub samples: Vec<Sample>,
}

impl Kind {
    /// The type's name in OpenMetrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

impl Suffix {
    /// The suffix as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None | Self::Native => "",
            Self::Total => "_total",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Created => "_created",
            Self::Info => "_info",
            Self::GSum => "_gsum",
            Self::GCount => "_gcount",
        }
    }
}
