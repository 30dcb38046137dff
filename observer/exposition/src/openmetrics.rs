//! The OpenMetrics text format, version 1.0.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::{borrow::Cow, collections::HashSet};

use crate::{
    Error, Event, Exemplar, FamilyInfo, Kind, Reason, Sample,
    hash::{Hash, Names},
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
    begun: HashSet<Cow<'a, str>, Names>,
    done: bool,
}

/// Where the parts of a metadata line start.
#[derive(Clone, Copy)]
struct Start {
    keyword: usize,
    name: usize,
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
    has_unit: bool,
    has_samples: bool,
}

impl<'a> OpenMetrics<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        // A guess; real families are smaller, and growing costs a little.
        let begun = HashSet::with_capacity_and_hasher(body.len() / 128, Names(Hash::new()));
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
        // The help text may be empty, with or without the blank before it.
        let spaced = cursor.peek().is_none() || cursor.eat(b' ');
        let start = Start { keyword: start, name: at };
        self.declare(keyword, name, start, &cursor, spaced)
    }

    /// A metadata line whose text starts at the cursor; `spaced` if it starts where it may.
    fn declare(
        &mut self,
        keyword: Keyword,
        name: Cow<'a, str>,
        start: Start,
        cursor: &Cursor<'a>,
        spaced: bool,
    ) -> Result<Event<'a>, Error> {
        self.begin(name.clone()).map_err(|reason| cursor.fail_at(start.name, reason))?;
        if self.family.has_samples {
            return Err(cursor.fail_at(start.name, Reason::LateMetadata));
        }
        if !spaced {
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
                self.family.help = labels::unescape(text);
                return Ok(Event::Help { name, text: self.family.help.clone() });
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
            Err(reason) => {
                // Behind the series is the value, the rest is said about the line.
                let value = if reason == Reason::TypeValue { sample.series.chars().count() + 1 } else { 0 };
                Err(Error { line, column: value + 1, reason })
            }
        }
    }

    /// Finds the sample's family and checks that its type has such a sample.
    fn check(&mut self, sample: &Sample<'a>) -> Result<(), Reason> {
        let suffix = sample.name.strip_prefix(&*self.family.name).filter(|_| !self.family.name.is_empty());
        let suffix = match suffix {
            Some(suffix) if has_suffix(self.family.kind, suffix) => suffix,
            Some("") => return Err(Reason::Suffix),
            // A name of its own: a family without metadata.
            _ => {
                self.begin(sample.name.clone())?;
                ""
            }
        };
        self.family.has_samples = true;
        let kind = self.family.kind;
        if matches!(kind, Kind::Unknown | Kind::Gauge) {
            return if sample.exemplar.is_some() { Err(Reason::Exemplar) } else { Ok(()) };
        }
        let needs = match (kind, suffix) {
            (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => Some("le"),
            (Kind::Summary, "") => Some("quantile"),
            (Kind::StateSet, _) => Some(&*self.family.name),
            _ => None,
        };
        if let Some(label) = needs {
            let value = sample.labels.value(label).ok_or(Reason::MissingLabel)?;
            let in_range =
                |value: f64| if label == "le" { !value.is_nan() } else { (0.0..=1.0).contains(&value) };
            if kind != Kind::StateSet && !number::value(value).is_ok_and(in_range) {
                return Err(Reason::LabelValue);
            }
        }
        let value = sample.value;
        let allowed = match (kind, suffix) {
            (Kind::Info, _) => value == 1.0,
            (Kind::StateSet, _) => value == 0.0 || value == 1.0,
            (_, "_total" | "_bucket" | "_count" | "_gcount") => value >= 0.0,
            _ => true,
        };
        if !allowed {
            return Err(Reason::TypeValue);
        }
        let exemplified = matches!(
            (kind, suffix),
            (Kind::Counter, "_total") | (Kind::Histogram | Kind::GaugeHistogram, "_bucket")
        );
        if sample.exemplar.is_some() && !exemplified {
            return Err(Reason::Exemplar);
        }
        Ok(())
    }
}

impl<'a> Iterator for OpenMetrics<'a> {
    type Item = Result<Event<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if let Some(sample) = self.lines.plain_sample() {
            let event = self.place(sample, self.lines.number());
            self.done |= event.is_err();
            return Some(event);
        }
        if let Some((Metadata { keyword, name, .. }, cursor)) = self.lines.plain_metadata() {
            let event =
                self.declare(keyword, Cow::Borrowed(name), Start { keyword: 2, name: 7 }, &cursor, true);
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

/// A sample line, without what depends on its family.
pub(crate) fn sample<'a>(cursor: &mut Cursor<'a>) -> Result<Sample<'a>, Error> {
    let mut sample = cursor.sample(GRAMMAR)?;
    let mut timed = false;
    while cursor.peek().is_some() {
        cursor.gap(GRAMMAR)?;
        if cursor.eat(b'#') {
            sample.exemplar = Some(exemplar(cursor)?);
            break;
        }
        if std::mem::replace(&mut timed, true) {
            return Err(cursor.fail(Reason::Trailing));
        }
        sample.timestamp_ms = Some(cursor.number(number::seconds)?);
    }
    Ok(sample)
}

fn exemplar<'a>(cursor: &mut Cursor<'a>) -> Result<Exemplar<'a>, Error> {
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

/// Whether samples of a type have the suffix.
fn has_suffix(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Unknown | Kind::Gauge | Kind::StateSet => suffix.is_empty(),
        Kind::Counter => matches!(suffix, "_total" | "_created"),
        Kind::Histogram => matches!(suffix, "_bucket" | "_sum" | "_count" | "_created"),
        Kind::GaugeHistogram => matches!(suffix, "_bucket" | "_gsum" | "_gcount"),
        Kind::Summary => matches!(suffix, "" | "_sum" | "_count" | "_created"),
        Kind::Info => suffix == "_info",
    }
}

#[cfg(test)]
mod tests;
