//! The full parser of either format, with what it knows of the family at each sample.

use super::{Dialect, FamilyInfo, declared::Declared, layout::rule};
use crate::{Error, Event, Kind, OpenMetrics, Sample, Text};

#[derive(Debug)]
pub(super) enum Reader<'a> {
    Text(Text<'a>, Declared<'a>),
    OpenMetrics(Box<OpenMetrics<'a>>),
}

impl<'a> Reader<'a> {
    pub(super) fn new(dialect: Dialect, body: &'a [u8]) -> Self {
        match dialect {
            Dialect::Text => Self::Text(crate::text(body), Declared::default()),
            Dialect::OpenMetrics => Self::OpenMetrics(Box::new(crate::openmetrics(body))),
        }
    }

    /// The next sample, and where its line ends, without its line feed.
    pub(super) fn next(&mut self) -> Result<Option<Sample<'a>>, Error> {
        loop {
            let event = match self {
                Self::Text(events, _) => events.next(),
                Self::OpenMetrics(events) => events.next(),
            };
            match event.transpose()? {
                None => return Ok(None),
                Some(Event::Sample(sample)) => return Ok(Some(sample)),
                Some(Event::Help { name, text }) => {
                    if let Self::Text(_, declared) = self {
                        declared.declare(name).help = text;
                    }
                }
                Some(Event::Type { name, kind }) => {
                    if let Self::Text(_, declared) = self {
                        declared.declare(name).kind = kind;
                    }
                }
                Some(Event::Unit { .. } | Event::Eof) => {}
            }
        }
    }

    /// Bytes read, the line feed of the last line included.
    pub(super) fn offset(&self) -> usize {
        match self {
            Self::Text(events, _) => events.offset(),
            Self::OpenMetrics(events) => events.offset(),
        }
    }

    /// What is known of the family of the sample that was read last.
    pub(super) fn family<'s>(&'s self, sample: &'s Sample<'_>) -> FamilyInfo<'s> {
        match self {
            Self::Text(_, declared) => declared.family(&sample.name),
            Self::OpenMetrics(events) => events.family(&sample.name),
        }
    }

    /// What a later line of the same series has to keep to.
    pub(super) fn rule(&self, family: &FamilyInfo<'_>) -> u8 {
        if matches!(self, Self::Text(..)) {
            return 0;
        }
        let values = match (family.kind, family.suffix) {
            (Kind::Info, _) => rule::ONE,
            (Kind::StateSet, _) => rule::ZERO_OR_ONE,
            (_, "_total" | "_bucket" | "_count" | "_gcount") => rule::NOT_NEGATIVE,
            _ => 0,
        };
        let exemplar = matches!(
            (family.kind, family.suffix),
            (Kind::Counter, "_total") | (Kind::Histogram | Kind::GaugeHistogram, "_bucket")
        );
        values | if exemplar { rule::EXEMPLAR } else { 0 }
    }
}
