//! Readers and writers of the Prometheus exposition formats: bytes in, samples out. No I/O.
//!
//! [`text`] reads the Prometheus text format 0.0.4 and [`openmetrics`] OpenMetrics 1.0; both yield borrowed [`Event`]s
//! and stop at the first line that the format does not allow, with an [`Error`] that says where and why.
//! [`protobuf()`] reads the Prometheus protobuf format with its native histograms.
//! [`Delta`] reads the bodies of one exporter, one after the other, and only looks at what is not as it was before.
//! [`Writer`] writes either format.
#![deny(unsafe_code)]

mod bytes;
mod cpu;
mod delta;
mod error;
mod event;
mod hash;
mod labels;
mod name;
mod number;
mod openmetrics;
mod plain;
pub mod protobuf;
mod scan;
mod text;
mod write;

pub use crate::{
    delta::{Delta, Dialect, FamilyInfo, Sink, Stats},
    error::{Error, Reason},
    event::{Event, Exemplar, Kind, Sample},
    labels::{Label, Labels, escape, unescape},
    name::{is_legacy_label, is_legacy_name},
    number::{write_integer, write_whole},
    openmetrics::OpenMetrics,
    text::Text,
    write::{Format, Header, Names, Prefix, Writer, legacy_label, legacy_labels, legacy_name},
};

/// Reads a body in the Prometheus text format, version 0.0.4.
///
/// Every line is checked. What concerns the document as a whole (a second `# TYPE` of a family, a family in two
/// places, a last line without its line feed) is accepted, because Prometheus accepts it and exporters rely on that.
#[must_use]
pub fn text(body: &[u8]) -> Text<'_> {
    Text::new(body)
}

/// Reads a body in the OpenMetrics text format, version 1.0, and enforces its rules on the whole document:
/// one family in one place, metadata before samples, suffixes that fit the type, `# EOF` at the end.
///
/// What the specification says about several lines together (buckets that rise up to one of `+Inf`, a count beside each sum, the lines
/// of a label set in one place, times that rise) is not looked at: Prometheus takes such a body, and whoever changes over from it would
/// lose what it scraped.
#[must_use]
pub fn openmetrics(body: &[u8]) -> OpenMetrics<'_> {
    OpenMetrics::new(body)
}

/// Reads a body in the Prometheus protobuf format: families, each behind its length.
#[must_use]
pub const fn protobuf(body: &[u8]) -> protobuf::Protobuf<'_> {
    protobuf::Protobuf::new(body)
}
