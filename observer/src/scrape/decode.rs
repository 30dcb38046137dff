//! From a body to families.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use observer_aggregate::family::{self, Family, Suffix};
use observer_exposition::{self as exposition, Error, Event, Kind};

use super::{http::Format, labels::TargetLabels};
use crate::config::Settings;

/// Decodes the bodies of one target, and knows the series of the one before.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    labels: TargetLabels,
    honor_labels: bool,
    honor_timestamps: bool,
    sample_limit: usize,
    /// The series by their text in the body.
    series: HashMap<Box<str>, Series>,
    /// The body that is decoded, counted from 1.
    body: u64,
}

#[derive(Debug)]
struct Series {
    labels: Arc<str>,
    /// The last body that had the series.
    body: u64,
}

/// What a body has.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) families: Vec<Family>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Sample lines.
    pub(super) scraped: usize,
    /// Those that became samples.
    pub(super) kept: usize,
    /// Series that the body before did not have.
    pub(super) added: usize,
    /// Lines of a series that stood there before.
    pub(super) duplicates: usize,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("cannot parse the body: {0}")]
    Parse(Error),
    #[error("more samples than the limit of {0}")]
    SampleLimit(usize),
}

impl Decoder {
    pub(super) fn new(labels: &[(String, String)], settings: &Settings) -> Self {
        let Settings { honor_labels, honor_timestamps, sample_limit, .. } = *settings;
        let labels = TargetLabels::new(labels);
        Self { labels, honor_labels, honor_timestamps, sample_limit, series: HashMap::new(), body: 0 }
    }

    /// Forgets the series, which a scrape that failed has ended.
    pub(super) fn forget(&mut self) {
        self.series.clear();
    }

    /// Decodes a body; an error comes with what was counted up to it.
    pub(super) fn decode(&mut self, body: &[u8], format: Format) -> Result<Decoded, (DecodeError, Counts)> {
        self.body += 1;
        let mut counts = Counts::default();
        let mut families = Families { format, ..Families::default() };
        let result = match format {
            Format::Text => self.read(exposition::text(body), &mut families, &mut counts),
            Format::OpenMetrics => self.read(exposition::openmetrics(body), &mut families, &mut counts),
        };
        match result {
            Ok(()) => {
                self.series.retain(|_, series| series.body == self.body);
                Ok(Decoded { families: families.finish(), counts })
            }
            Err(error) => Err((error, counts)),
        }
    }

    fn read<'a>(
        &mut self,
        events: impl Iterator<Item = Result<Event<'a>, Error>>,
        families: &mut Families<'a>,
        counts: &mut Counts,
    ) -> Result<(), DecodeError> {
        for event in events {
            match event.map_err(DecodeError::Parse)? {
                Event::Help { name, text } => families.declare(name).family.help = text.into_owned().into(),
                Event::Type { name, kind } => families.declare(name).kind = kind,
                Event::Unit { name, unit } => families.declare(name).family.unit = unit.to_owned().into(),
                Event::Sample(sample) => self.sample(&sample, families, counts)?,
                Event::Eof => {}
            }
        }
        Ok(())
    }

    fn sample<'a>(
        &mut self,
        sample: &exposition::Sample<'a>,
        families: &mut Families<'a>,
        counts: &mut Counts,
    ) -> Result<(), DecodeError> {
        counts.scraped += 1;
        let labels = match self.series.get_mut(sample.series) {
            Some(series) if series.body == self.body => {
                counts.duplicates += 1;
                return Ok(());
            }
            Some(series) => {
                series.body = self.body;
                Arc::clone(&series.labels)
            }
            None => {
                counts.added += 1;
                let labels: Arc<str> = Arc::from(self.labels.join(sample.labels, self.honor_labels));
                let series = Series { labels: Arc::clone(&labels), body: self.body };
                self.series.insert(Box::from(sample.series), series);
                labels
            }
        };
        counts.kept += 1;
        if self.sample_limit != 0 && counts.kept > self.sample_limit {
            return Err(DecodeError::SampleLimit(self.sample_limit));
        }
        let timestamp_ms = sample.timestamp_ms.filter(|_| self.honor_timestamps);
        let (family, suffix) = families.place(&sample.name);
        family.samples.push(family::Sample { suffix, labels, value: sample.value, timestamp_ms });
        Ok(())
    }
}

/// The families of a body, which may come in any order and stand in several places.
#[derive(Default)]
struct Families<'a> {
    format: Format,
    list: Vec<Declared<'a>>,
    /// By the name in the body's metadata.
    places: HashMap<Cow<'a, str>, usize>,
    /// Those of samples that fit no metadata, by the sample's name.
    strays: HashMap<String, usize>,
    last: usize,
}

struct Declared<'a> {
    name: Cow<'a, str>,
    kind: Kind,
    family: Family,
}

impl<'a> Families<'a> {
    /// The family of a metadata line.
    fn declare(&mut self, name: Cow<'a, str>) -> &mut Declared<'a> {
        let at = match self.places.entry(name) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                self.list.push(Declared {
                    name: place.key().clone(),
                    kind: Kind::Unknown,
                    family: Family::default(),
                });
                *place.insert(self.list.len() - 1)
            }
        };
        self.last = at;
        &mut self.list[at]
    }

    /// The family of a sample, and what its name has behind the family's.
    fn place(&mut self, name: &str) -> (&mut Family, Suffix) {
        let (at, suffix) = self.find(name).unwrap_or_else(|| (self.stray(name), Suffix::None));
        self.last = at;
        (&mut self.list[at].family, suffix)
    }

    /// The family of samples that fit no metadata.
    fn stray(&mut self, name: &str) -> usize {
        if let Some(&at) = self.strays.get(name) {
            return at;
        }
        let owned = name.to_owned();
        self.list.push(Declared {
            name: Cow::Owned(owned.clone()),
            kind: Kind::Unknown,
            family: Family::default(),
        });
        self.strays.insert(owned, self.list.len() - 1);
        self.list.len() - 1
    }

    fn find(&self, name: &str) -> Option<(usize, Suffix)> {
        let fit = |at: usize| {
            let declared: &Declared<'_> = self.list.get(at)?;
            Some((at, suffix(self.format, declared.kind, name.strip_prefix(&*declared.name)?)?))
        };
        let last = fit(self.last);
        // Metadata of exactly this name wins over that of a histogram to which the sample could belong.
        if let Some((at, _)) = last
            && self.list[at].name == name
        {
            return last;
        }
        if let Some(exact) = self.places.get(name).and_then(|&at| fit(at)) {
            return Some(exact);
        }
        last.or_else(|| {
            let (stem, _) = name.rsplit_once('_')?;
            fit(*self.places.get(stem)?)
        })
    }

    /// The families that have samples, under their OpenMetrics names.
    fn finish(self) -> Vec<Family> {
        let format = self.format;
        let declared = self.list.into_iter().filter(|declared| !declared.family.samples.is_empty());
        declared
            .map(|Declared { name, kind, mut family }| {
                family.kind = family_kind(kind);
                let total = format == Format::Text && kind == Kind::Counter;
                match name.strip_suffix("_total").filter(|stem| total && !stem.is_empty()) {
                    Some(stem) => {
                        family.name = stem.to_owned().into();
                        for sample in &mut family.samples {
                            sample.suffix = Suffix::Total;
                        }
                    }
                    None => family.name = name.into_owned().into(),
                }
                family
            })
            .collect()
    }
}

/// Which suffix `rest` is for samples of a type; nothing if the type has no such sample.
fn suffix(format: Format, kind: Kind, rest: &str) -> Option<Suffix> {
    let openmetrics = format == Format::OpenMetrics;
    Some(match (kind, rest) {
        (Kind::Gauge | Kind::Unknown | Kind::Summary | Kind::StateSet, "") => Suffix::None,
        // The text format's counters have their whole name in the metadata.
        (Kind::Counter, "") if !openmetrics => Suffix::None,
        (Kind::Counter, "_total") if openmetrics => Suffix::Total,
        (Kind::Counter | Kind::Histogram | Kind::Summary, "_created") if openmetrics => Suffix::Created,
        (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => Suffix::Bucket,
        (Kind::Histogram | Kind::Summary, "_sum") => Suffix::Sum,
        (Kind::Histogram | Kind::Summary, "_count") => Suffix::Count,
        (Kind::GaugeHistogram, "_gsum") => Suffix::GSum,
        (Kind::GaugeHistogram, "_gcount") => Suffix::GCount,
        (Kind::Info, "_info") => Suffix::Info,
        _ => return None,
    })
}

const fn family_kind(kind: Kind) -> family::Kind {
    match kind {
        Kind::Unknown => family::Kind::Unknown,
        Kind::Counter => family::Kind::Counter,
        Kind::Gauge => family::Kind::Gauge,
        Kind::Histogram => family::Kind::Histogram,
        Kind::GaugeHistogram => family::Kind::GaugeHistogram,
        Kind::Summary => family::Kind::Summary,
        Kind::Info => family::Kind::Info,
        Kind::StateSet => family::Kind::StateSet,
    }
}

#[cfg(test)]
mod tests;
