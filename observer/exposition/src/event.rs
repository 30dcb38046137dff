use std::borrow::Cow;

use crate::Labels;

/// One line that says something.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// `# HELP`
    Help {
        /// The family's name as it stands there: in the text format with `_total`, in OpenMetrics without.
        name: Cow<'a, str>,
        /// The text, unescaped.
        text: Cow<'a, str>,
    },
    /// `# TYPE`
    Type {
        /// As in [`Event::Help`].
        name: Cow<'a, str>,
        /// The type.
        kind: Kind,
    },
    /// `# UNIT`
    Unit {
        /// As in [`Event::Help`].
        name: Cow<'a, str>,
        /// The unit; empty for none.
        unit: &'a str,
    },
    /// A sample.
    Sample(Sample<'a>),
    /// `# EOF`, always the last.
    Eof,
}

/// A sample line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The line up to the value's blank: name and labels as they stand there. The same in the next body of the same
    /// exporter, so a key to look the series up by.
    pub series: &'a str,
    /// The name with its suffix.
    pub name: Cow<'a, str>,
    /// The labels.
    pub labels: Labels<'a>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
}

/// An example of what a sample counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Often a trace identifier.
    pub labels: Labels<'a>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// A family's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `unknown`, in the text format `untyped`.
    #[default]
    Unknown,
    /// `counter`
    Counter,
    /// `gauge`
    Gauge,
    /// `histogram`
    Histogram,
    /// `gaugehistogram`, OpenMetrics only.
    GaugeHistogram,
    /// `summary`
    Summary,
    /// `info`, OpenMetrics only.
    Info,
    /// `stateset`, OpenMetrics only.
    StateSet,
}
