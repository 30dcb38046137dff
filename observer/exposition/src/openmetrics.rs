//! The OpenMetrics text format, version 1.0.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::borrow::Cow;

use crate::{
    Error, Event, Exemplar, FamilyInfo, Kind, Reason, Sample,
    hash::Met,
    labels::{self, Grammar},
    number,
    plain::{Keyword, Metadata},
    scan::{Cursor, Lines},
};

const GRAMMAR: Grammar = Grammar::OpenMetrics;

/// The most characters an exemplar's labels may have in all.
const EXEMPLAR_CHARS: usize = 128;

/// The events of a body in OpenMetrics; ends behind [`Event::Eof`] or the first error.
#[derive(Clone, Debug)]
pub struct OpenMetrics<'a> {
    lines: Lines<'a>,
    family: Family<'a>,
    /// Names of the families that have begun.
    begun: Met<'a>,
    done: bool,
}

/// Where the parts of a metadata line start.
#[derive(Clone, Copy)]
struct Start {
    keyword: usize,
    name: usize,
    /// The text starts where it may.
    spaced: bool,
    /// There may be a backslash in the text.
    escaped: bool,
    /// The name has no quotes.
    is_plain: bool,
}

/// The family the lines belong to at present.
#[derive(Clone, Debug, Default)]
struct Family<'a> {
    name: Cow<'a, str>,
    kind: Kind,
    unit: &'a str,
    help: Cow<'a, str>,
    has_type: bool,
    has_help: bool,
    /// The help text's line has the name without quotes.
    is_plain: bool,
    has_unit: bool,
    has_samples: bool,
}

impl<'a> OpenMetrics<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        // A guess; real families are smaller, and growing costs a little.
        let begun = Met::with_capacity(body.len() / 256);
        Self { lines: Lines::new(body), family: Family::default(), begun, done: false }
    }

    /// Bytes read, with the line feed of the last line.
    pub(crate) const fn offset(&self) -> usize {
        self.lines.offset()
    }

    /// The family of the sample that was read last.
    pub(crate) fn family<'s>(&'s self, sample: &'s str) -> FamilyInfo<'s> {
        let Family { name, kind, unit, help, .. } = &self.family;
        FamilyInfo { name, kind: *kind, help, unit, suffix: &sample[name.len()..] }
    }

    fn line(&mut self, mut cursor: Cursor<'a>) -> Result<Event<'a>, Error> {
        match cursor.peek() {
            None => Err(cursor.fail(Reason::Blank)),
            Some(b'#') => self.metadata(cursor),
            Some(_) => {
                let sample = sample(&mut cursor)?;
                self.place(sample, cursor.number)
            }
        }
    }

    #[inline(never)]
    fn metadata(&mut self, mut cursor: Cursor<'a>) -> Result<Event<'a>, Error> {
        if cursor.line == "# EOF" {
            self.done = true;
            return if self.lines.is_done() {
                Ok(Event::Eof)
            } else {
                Err(self.lines.fail_at_end(Reason::AfterEof))
            };
        }
        cursor.at += 1;
        cursor.gap(GRAMMAR)?;
        let start = cursor.at;
        let keyword = Keyword::of(cursor.token()).ok_or_else(|| cursor.fail_at(start, Reason::Comment))?;
        cursor.gap(GRAMMAR)?;
        let at = cursor.at;
        let name = cursor.metric_name(GRAMMAR)?;
        // The help text may be empty; the blank before it is there all the same.
        let spaced = cursor.eat(b' ');
        let start = Start { keyword: start, name: at, spaced, escaped: true, is_plain: false };
        self.declare(keyword, name, start, &cursor)
    }

    /// The short way for the line that nearly always follows a help text: the type of the same family.
    #[inline]
    fn type_behind_help(&mut self) -> Option<Event<'a>> {
        let Family { name, kind, unit, has_type, is_plain, has_samples, .. } = &mut self.family;
        let is_next = *is_plain && !*has_type && !*has_samples && unit.is_empty();
        let found = is_next.then(|| self.lines.type_of(name, self::kind)).flatten()?;
        (*kind, *has_type) = (found, true);
        Some(Event::Type { name: name.clone(), kind: found })
    }

    /// A metadata line whose text starts at the cursor.
    #[inline(always)]
    fn declare(
        &mut self,
        keyword: Keyword,
        name: Cow<'a, str>,
        start: Start,
        cursor: &Cursor<'a>,
    ) -> Result<Event<'a>, Error> {
        self.begin(name.clone()).map_err(|reason| cursor.fail_at(start.name, reason))?;
        if self.family.has_samples {
            return Err(cursor.fail_at(start.name, Reason::LateMetadata));
        }
        if !start.spaced {
            return Err(cursor.fail(Reason::Space));
        }
        let text = cursor.rest();
        let repeated = match keyword {
            Keyword::Help => std::mem::replace(&mut self.family.has_help, true),
            Keyword::Type => std::mem::replace(&mut self.family.has_type, true),
            _ => std::mem::replace(&mut self.family.has_unit, true),
        };
        if repeated {
            return Err(cursor.fail_at(start.keyword, Reason::Repeated));
        }
        match keyword {
            Keyword::Help => {
                let text = if start.escaped { labels::unescape(text) } else { Cow::Borrowed(text) };
                self.family.help = text.clone();
                self.family.is_plain = start.is_plain;
                return Ok(Event::Help { name, text });
            }
            Keyword::Type => self.family.kind = kind(text).ok_or_else(|| cursor.fail(Reason::Type))?,
            _ => self.family.unit = text,
        }
        if !self.family.unit_fits() {
            return Err(cursor.fail(Reason::Unit));
        }
        if keyword == Keyword::Type {
            Ok(Event::Type { name, kind: self.family.kind })
        } else {
            Ok(Event::Unit { name, unit: text })
        }
    }

    /// Makes `name` the present family, which it may be already.
    #[inline]
    fn begin(&mut self, name: Cow<'a, str>) -> Result<(), Reason> {
        if self.family.name == name {
            return Ok(());
        }
        if !self.begun.insert(name.clone()) {
            return Err(Reason::Interleaved);
        }
        self.family = Family { name, ..Family::default() };
        Ok(())
    }

    /// A sample of the line with that number, if it may stand there.
    fn place(&mut self, sample: Sample<'a>, line: usize) -> Result<Event<'a>, Error> {
        match self.check(&sample) {
            Ok(()) => Ok(Event::Sample(sample)),
            Err(reason) => Err(misplaced(&sample, line, reason)),
        }
    }

    /// Finds the sample's family and checks that its type has such a sample.
    #[inline(always)]
    fn check(&mut self, sample: &Sample<'a>) -> Result<(), Reason> {
        let Family { name, kind, has_samples, .. } = &mut self.family;
        // Most have a type of which every sample is one.
        if matches!(kind, Kind::Unknown | Kind::Gauge) && *sample.name == **name && !name.is_empty() {
            *has_samples = true;
            return if sample.exemplar.is_some() { Err(Reason::Exemplar) } else { Ok(()) };
        }
        self.check_type(sample)
    }

    #[inline(never)]
    fn check_type(&mut self, sample: &Sample<'a>) -> Result<(), Reason> {
        let Family { name, kind, .. } = &self.family;
        let suffix = sample.name.strip_prefix(&**name).filter(|_| !name.is_empty());
        let part = match suffix.map(Part::of) {
            Some(Some(part)) if part.is_of(*kind) => part,
            Some(Some(Part::Plain)) => return Err(Reason::Suffix),
            // A name of its own: a family without metadata.
            _ => {
                self.begin(sample.name.clone())?;
                Part::Plain
            }
        };
        self.family.has_samples = true;
        let Family { name, kind, .. } = &self.family;
        let value = sample.value;
        let (is_allowed, may_have_exemplar) = match (kind, part) {
            (Kind::Unknown | Kind::Gauge, _) => (true, false),
            (Kind::Counter, Part::Total) => (value >= 0.0, true),
            (Kind::Histogram | Kind::GaugeHistogram, Part::Bucket) => {
                bound(sample, "le", |bound| !bound.is_nan())?;
                (value >= 0.0, true)
            }
            (Kind::Summary, Part::Plain) => {
                bound(sample, "quantile", |quantile| (0.0..=1.0).contains(&quantile))?;
                (true, false)
            }
            (Kind::StateSet, _) => {
                sample.labels.value(name).ok_or(Reason::MissingLabel)?;
                (value == 0.0 || value == 1.0, false)
            }
            (Kind::Info, _) => (value == 1.0, false),
            (_, Part::Count | Part::GCount) => (value >= 0.0, false),
            _ => (true, false),
        };
        if !is_allowed {
            return Err(Reason::TypeValue);
        }
        if sample.exemplar.is_some() && !may_have_exemplar {
            return Err(Reason::Exemplar);
        }
        Ok(())
    }
}

/// The label that a bucket or a quantile needs.
fn bound(sample: &Sample<'_>, label: &str, is_in_range: impl Fn(f64) -> bool) -> Result<(), Reason> {
    let value = sample.labels.value(label).ok_or(Reason::MissingLabel)?;
    if number::value(value).is_ok_and(is_in_range) { Ok(()) } else { Err(Reason::LabelValue) }
}

/// What a sample's name has behind the family's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain,
    Total,
    Created,
    Bucket,
    Sum,
    Count,
    GSum,
    GCount,
    Info,
}

impl Part {
    fn of(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::Plain,
            "_total" => Self::Total,
            "_created" => Self::Created,
            "_bucket" => Self::Bucket,
            "_sum" => Self::Sum,
            "_count" => Self::Count,
            "_gsum" => Self::GSum,
            "_gcount" => Self::GCount,
            "_info" => Self::Info,
            _ => return None,
        })
    }

    /// Whether samples of a type have it.
    fn is_of(self, kind: Kind) -> bool {
        match kind {
            Kind::Unknown | Kind::Gauge | Kind::StateSet => self == Self::Plain,
            Kind::Counter => matches!(self, Self::Total | Self::Created),
            Kind::Histogram => matches!(self, Self::Bucket | Self::Sum | Self::Count | Self::Created),
            Kind::GaugeHistogram => matches!(self, Self::Bucket | Self::GSum | Self::GCount),
            Kind::Summary => matches!(self, Self::Plain | Self::Sum | Self::Count | Self::Created),
            Kind::Info => self == Self::Info,
        }
    }
}

impl<'a> Iterator for OpenMetrics<'a> {
    type Item = Result<Event<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if let Some(sample) = self.lines.plain_sample(Grammar::OpenMetrics) {
            return Some(match self.check(&sample) {
                Ok(()) => Ok(Event::Sample(sample)),
                Err(reason) => {
                    self.done = true;
                    Err(misplaced(&sample, self.lines.number(), reason))
                }
            });
        }
        if let Some(event) = self.type_behind_help() {
            return Some(Ok(event));
        }
        if let Some((Metadata { keyword, name, escaped, .. }, cursor)) = self.lines.plain_metadata() {
            let start = Start { keyword: 2, name: 7, spaced: true, escaped, is_plain: true };
            let event = self.declare(keyword, Cow::Borrowed(name), start, &cursor);
            self.done |= event.is_err();
            return Some(event);
        }
        let event = match self.lines.next() {
            Some(line) => line.and_then(|cursor| self.line(cursor)),
            None => Err(self.lines.fail_at_end(Reason::NoEof)),
        };
        self.done |= event.is_err();
        Some(event)
    }
}

impl Family<'_> {
    /// The name ends in its unit, and a type without a unit has none.
    fn unit_fits(&self) -> bool {
        if self.unit.is_empty() {
            return true;
        }
        let ends =
            self.name.strip_suffix(self.unit).is_some_and(|stem| stem.len() > 1 && stem.ends_with('_'));
        ends && !matches!(self.kind, Kind::Info | Kind::StateSet)
    }
}

/// The error of a sample that its family does not allow.
#[cold]
fn misplaced(sample: &Sample<'_>, line: usize, reason: Reason) -> Error {
    // Behind the series is the value, the rest is said about the line.
    let value = if reason == Reason::TypeValue { sample.series.chars().count() + 1 } else { 0 };
    Error { line, column: value + 1, reason }
}

/// A sample line, without what depends on its family.
pub(crate) fn sample<'a>(cursor: &mut Cursor<'a>) -> Result<Sample<'a>, Error> {
    let mut sample = cursor.sample(GRAMMAR)?;
    (sample.timestamp_ms, sample.exemplar) = behind_value(cursor)?;
    Ok(sample)
}

/// What a sample line has behind its series: the value, the timestamp and the exemplar.
pub(crate) fn behind_series<'a>(
    cursor: &mut Cursor<'a>,
) -> Result<(f64, Option<i64>, Option<Exemplar<'a>>), Error> {
    cursor.gap(GRAMMAR)?;
    let value = cursor.number(number::value)?;
    let (timestamp_ms, exemplar) = behind_value(cursor)?;
    Ok((value, timestamp_ms, exemplar))
}

fn behind_value<'a>(cursor: &mut Cursor<'a>) -> Result<(Option<i64>, Option<Exemplar<'a>>), Error> {
    let mut timestamp_ms = None;
    while cursor.peek().is_some() {
        cursor.gap(GRAMMAR)?;
        if cursor.eat(b'#') {
            return Ok((timestamp_ms, Some(exemplar(cursor)?)));
        }
        if timestamp_ms.is_some() {
            return Err(cursor.fail(Reason::Trailing));
        }
        timestamp_ms = Some(cursor.number(number::seconds)?);
    }
    Ok((timestamp_ms, None))
}

/// An exemplar, behind its `#`.
pub(crate) fn exemplar<'a>(cursor: &mut Cursor<'a>) -> Result<Exemplar<'a>, Error> {
    cursor.gap(GRAMMAR)?;
    let start = cursor.at;
    if cursor.peek() != Some(b'{') {
        return Err(cursor.fail(Reason::Exemplar));
    }
    let (_, labels) = cursor.block(GRAMMAR, false)?;
    let chars = |text: &str| text.chars().count();
    if labels.iter().map(|l| chars(&l.name) + chars(&labels::unescape(l.value))).sum::<usize>()
        > EXEMPLAR_CHARS
    {
        return Err(cursor.fail_at(start, Reason::ExemplarLength));
    }
    cursor.gap(GRAMMAR)?;
    let value = cursor.number(number::value)?;
    let mut timestamp_ms = None;
    if cursor.peek().is_some() {
        cursor.gap(GRAMMAR)?;
        timestamp_ms = Some(cursor.number(number::seconds)?);
    }
    if cursor.peek().is_some() {
        return Err(cursor.fail(Reason::Trailing));
    }
    Ok(Exemplar { labels, value, timestamp_ms })
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "unknown" => Kind::Unknown,
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "gaugehistogram" => Kind::GaugeHistogram,
        "summary" => Kind::Summary,
        "info" => Kind::Info,
        "stateset" => Kind::StateSet,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
