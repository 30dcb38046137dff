//! One page of many sources: families of one name merged, so that each stands in one place under one type.
//!
//! What stands where is a [`Plan`]. It depends on which series there are, not on what they are worth, so it holds for one window
//! after the other, and writing a page is to walk it.

mod lines;
mod plan;
mod protobuf;

use observer_aggregate::{
    series::{NO_TIME, is_present},
    window::View,
};
use observer_exposition::{Exemplar, Format, Labels, Names};

pub(crate) use self::plan::Plan;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One of the formats that are lines of text.
    Lines(Format, Names),
    /// Prometheus' protobuf messages, each behind its length. Names that do not fit have underscores.
    Protobuf,
}

/// Samples that are not on the page, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The series is there already.
    pub(crate) duplicate: u64,
    /// The name is there already for a family that cannot have such a sample.
    pub(crate) conflict: u64,
    /// Native histograms that have no classic form beside them, in a format that knows no other.
    pub(crate) native: u64,
}

impl Form {
    /// The value of the `Content-Type` header.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Lines(format, names) => format.content_type(names),
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Writes a page of these blocks. Every series without a label of that name gets the external labels.
pub(crate) fn write(
    plan: &mut Plan,
    views: &[View<'_>],
    out: &mut Vec<u8>,
    form: Form,
    external_labels: &[(String, String)],
) -> Dropped {
    plan.follow(views);
    let mut dropped = Dropped { conflict: plan.conflicts(views), ..Dropped::default() };
    match form {
        Form::Lines(format, names) => {
            lines::write(plan, views, out, (format, names), external_labels, &mut dropped);
        }
        Form::Protobuf => protobuf::write(plan, views, out, external_labels, &mut dropped),
    }
    dropped
}

/// A value that is to be shown.
fn present(view: &View<'_>, slot: u32) -> Option<f64> {
    Some(view.values[slot as usize]).filter(|value| is_present(*value))
}

/// The time that a sample brought.
fn time(view: &View<'_>, slot: u32) -> Option<i64> {
    view.times.get(slot as usize).copied().filter(|time| *time != NO_TIME)
}

/// The exemplar of a counter or a bucket. Who looks for it has looked whether there are any.
fn exemplar<'v>(view: &View<'v>, slot: u32) -> Option<Exemplar<'v>> {
    let of = view.exemplars.of(slot).last()?;
    let labels = Labels::unchecked(view.exemplars.labels(of));
    Some(Exemplar { labels, value: of.value, timestamp_ms: Some(of.time_ms).filter(|time| *time != NO_TIME) })
}

#[cfg(test)]
mod tests;
