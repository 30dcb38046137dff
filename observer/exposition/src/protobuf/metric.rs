//! Metrics and their values.

use super::{
    Error, Histogram, Reason,
    wire::{Field, Message},
};
use crate::Kind;

/// So many labels are compared with each other one by one.
const FEW: usize = 8;

/// The metrics of a family.
#[derive(Clone, Debug)]
pub struct Metrics<'a> {
    rest: Message<'a>,
    kind: Kind,
    failed: bool,
}

/// One set of labels and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric<'a> {
    /// The labels.
    pub labels: LabelPairs<'a>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// The value, of the family's type.
    pub value: Value<'a>,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `counter`
    Counter {
        /// The count.
        value: f64,
        /// When it was zero, in milliseconds since the Unix epoch.
        created_ms: Option<i64>,
        /// An example of what it counts.
        exemplar: Option<Exemplar<'a>>,
    },
    /// `gauge`
    Gauge(f64),
    /// `untyped`
    Untyped(f64),
    /// `summary`
    Summary(Summary<'a>),
    /// `histogram` and `gaugehistogram`; classic, native or both.
    Histogram(Histogram<'a>),
}

/// Labels of a metric or an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelPairs<'a> {
    message: Message<'a>,
}

/// A label, not escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelPair<'a> {
    /// The name; any text.
    pub name: &'a str,
    /// The value.
    pub value: &'a str,
}

/// An example of what a value counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Often a trace identifier.
    pub labels: LabelPairs<'a>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// A summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary<'a> {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// When it was empty, in milliseconds since the Unix epoch.
    pub created_ms: Option<i64>,
    message: Message<'a>,
}

/// A quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// From 0 to 1.
    pub quantile: f64,
    /// The value.
    pub value: f64,
}

impl<'a> Metrics<'a> {
    pub(super) const fn new(family: Message<'a>, kind: Kind) -> Self {
        Self { rest: family, kind, failed: false }
    }
}

impl<'a> Iterator for Metrics<'a> {
    type Item = Result<Metric<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let metric = match self.rest.next() {
                Ok(None) => return None,
                Ok(Some((4, field))) => Metric::read(&field, self.kind),
                Ok(Some(_)) => continue,
                Err(error) => Err(error),
            };
            self.failed = metric.is_err();
            return Some(metric);
        }
        None
    }
}

impl<'a> Metric<'a> {
    fn read(field: &Field<'a>, kind: Kind) -> Result<Self, Error> {
        let message = field.message()?;
        let (mut value, mut timestamp_ms) = (None, None);
        let mut fields = message;
        while let Some((number, field)) = fields.next()? {
            match (number, kind) {
                (2, Kind::Gauge) => value = Some(Value::Gauge(single(field.message()?)?)),
                (3, Kind::Counter) => value = Some(counter(field.message()?)?),
                (4, Kind::Summary) => value = Some(Value::Summary(Summary::read(field.message()?)?)),
                (5, Kind::Unknown) => value = Some(Value::Untyped(single(field.message()?)?)),
                (7, Kind::Histogram | Kind::GaugeHistogram) => {
                    value = Some(Value::Histogram(Histogram::read(field.message()?)?));
                }
                (6, _) => timestamp_ms = Some(field.signed()?),
                _ => {}
            }
        }
        let labels = LabelPairs::read(message)?;
        let value = value.ok_or_else(|| field.fail(Reason::MissingValue))?;
        Ok(Self { labels, timestamp_ms, value })
    }
}

/// A gauge or an untyped value, which have nothing but their number.
fn single(mut message: Message<'_>) -> Result<f64, Error> {
    let mut value = 0.0;
    while let Some((number, field)) = message.next()? {
        if number == 1 {
            value = field.double()?;
        }
    }
    Ok(value)
}

fn counter(mut message: Message<'_>) -> Result<Value<'_>, Error> {
    let (mut value, mut created_ms, mut exemplar) = (0.0, None, None);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => value = field.double()?,
            2 => exemplar = Some(Exemplar::read(&field)?),
            3 => created_ms = Some(timestamp_ms(&field)?),
            _ => {}
        }
    }
    Ok(Value::Counter { value, created_ms, exemplar })
}

impl<'a> LabelPairs<'a> {
    /// Checks the labels of a metric or an exemplar, which have them in the same field.
    pub(super) fn read(message: Message<'a>) -> Result<Self, Error> {
        let labels = Self { message };
        let mut fields = message;
        let mut last = "";
        let mut sorted = true;
        while let Some((number, field)) = fields.next()? {
            if number == 1 {
                let LabelPair { name, .. } = LabelPair::read(&field)?;
                if name.is_empty() || name == last {
                    return Err(field.fail(Reason::Label));
                }
                sorted &= name > last;
                last = name;
            }
        }
        // Go's client sorts nearly all of them.
        if !sorted && labels.repeats() {
            return Err(message.fail(Reason::Label));
        }
        Ok(labels)
    }

    /// A name that stands there twice.
    fn repeats(&self) -> bool {
        // Few are compared with each other; the rest takes the way with an allocation.
        if self.iter().nth(FEW).is_none() {
            let before = |at| self.iter().take(at).map(|label| label.name);
            return self.iter().enumerate().any(|(at, label)| before(at).any(|name| name == label.name));
        }
        let mut names: Vec<_> = self.iter().map(|label| label.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The labels in their order.
    pub fn iter(&self) -> impl Iterator<Item = LabelPair<'a>> + use<'a> {
        repeated(self.message, 1, LabelPair::read)
    }

    /// The value of a label.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|label| label.name == name).map(|label| label.value)
    }
}

impl<'a> LabelPair<'a> {
    fn read(field: &Field<'a>) -> Result<Self, Error> {
        let mut label = Self { name: "", value: "" };
        let mut fields = field.message()?;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => label.name = field.text()?,
                2 => label.value = field.text()?,
                _ => {}
            }
        }
        Ok(label)
    }
}

impl<'a> Exemplar<'a> {
    pub(super) fn read(field: &Field<'a>) -> Result<Self, Error> {
        let message = field.message()?;
        let mut exemplar = Self { labels: LabelPairs::read(message)?, value: 0.0, timestamp_ms: None };
        let mut fields = message;
        while let Some((number, field)) = fields.next()? {
            match number {
                2 => exemplar.value = field.double()?,
                3 => exemplar.timestamp_ms = Some(timestamp_ms(&field)?),
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

impl<'a> Summary<'a> {
    fn read(message: Message<'a>) -> Result<Self, Error> {
        let mut summary = Self { count: 0, sum: 0.0, created_ms: None, message };
        let mut fields = message;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => summary.count = field.varint()?,
                2 => summary.sum = field.double()?,
                3 => drop(Quantile::read(&field)?),
                4 => summary.created_ms = Some(timestamp_ms(&field)?),
                _ => {}
            }
        }
        Ok(summary)
    }

    /// The quantiles in their order.
    pub fn quantiles(&self) -> impl Iterator<Item = Quantile> + use<'a> {
        repeated(self.message, 3, Quantile::read)
    }
}

impl Quantile {
    fn read(field: &Field<'_>) -> Result<Self, Error> {
        let mut quantile = Self::default();
        let mut fields = field.message()?;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => quantile.quantile = field.double()?,
                2 => quantile.value = field.double()?,
                _ => {}
            }
        }
        Ok(quantile)
    }
}

/// The values of a repeated field of a message that was read without an error.
pub(super) fn repeated<'a, T>(
    mut message: Message<'a>,
    number: u32,
    read: impl Fn(&Field<'a>) -> Result<T, Error>,
) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        loop {
            let (found, field) = message.next().ok()??;
            if found == number {
                return read(&field).ok();
            }
        }
    })
}

/// A `google.protobuf.Timestamp`.
pub(super) fn timestamp_ms(field: &Field<'_>) -> Result<i64, Error> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = field.message()?;
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => seconds = field.signed()?,
            2 => nanos = field.signed()?,
            _ => {}
        }
    }
    let millis = seconds.checked_mul(1000).and_then(|millis| millis.checked_add(nanos.div_euclid(1_000_000)));
    millis.ok_or_else(|| field.fail(Reason::Timestamp))
}
