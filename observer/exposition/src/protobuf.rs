//! The Prometheus protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its length.
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>
//!
//! A message is checked once, when it is reached; what is read out of it afterwards cannot fail.

mod error;
mod histogram;
mod metric;
mod wire;

pub use self::{
    error::{Error, Reason},
    histogram::{Bucket, Buckets, Histogram, Native, Span},
    metric::{Exemplar, LabelPair, LabelPairs, Metric, Quantile, Summary, Value},
};
use self::{
    metric::Metrics,
    wire::{Field, Message},
};
use crate::Kind;

/// The families of a body; ends behind the first error.
#[derive(Clone, Debug)]
pub struct Protobuf<'a> {
    rest: Message<'a>,
    failed: bool,
}

/// A family with all its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// The name as in the text format: a counter's mostly ends in `_total`.
    pub name: &'a str,
    /// The help text; empty for none.
    pub help: &'a str,
    /// The unit; empty for none.
    pub unit: &'a str,
    /// The type; no info and no stateset, which this format does not have.
    pub kind: Kind,
    message: Message<'a>,
}

impl<'a> Protobuf<'a> {
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self { rest: Message::new(body), failed: false }
    }
}

impl<'a> Iterator for Protobuf<'a> {
    type Item = Result<Family<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let family = self.rest.delimited().and_then(Family::read);
        self.failed = family.is_err();
        Some(family)
    }
}

impl<'a> Family<'a> {
    fn read(message: Message<'a>) -> Result<Self, Error> {
        let mut family = Self { name: "", help: "", unit: "", kind: Kind::Counter, message };
        let mut fields = message;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => family.name = field.text()?,
                2 => family.help = field.text()?,
                3 => family.kind = kind(&field)?,
                5 => family.unit = field.text()?,
                _ => {}
            }
        }
        if family.name.is_empty() {
            return Err(message.fail(Reason::Name));
        }
        Ok(family)
    }

    /// The metrics in their order; ends behind the first error.
    #[must_use]
    pub const fn metrics(&self) -> Metrics<'a> {
        Metrics::new(self.message, self.kind)
    }
}

fn kind(field: &Field<'_>) -> Result<Kind, Error> {
    Ok(match field.varint()? {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Summary,
        3 => Kind::Unknown,
        4 => Kind::Histogram,
        5 => Kind::GaugeHistogram,
        _ => return Err(field.fail(Reason::Type)),
    })
}

#[cfg(test)]
mod tests;
