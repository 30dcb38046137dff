//! From a protobuf body to the samples that a text body would have, and native histograms.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem,
};

use observer_aggregate::{
    family::Suffix,
    native::{COARSEST, Native, Span},
};
use observer_exposition::{
    self as exposition, FamilyInfo, Kind, Labels, escape, is_legacy_label,
    protobuf::{self, Buckets, Exemplar, Family, Histogram, Metric, Summary, Value},
};

use super::{DecodeError, Fill, Read, exemplars::EXEMPLAR_CHARS};

/// Reads the bodies of one target: a sample that stands where it stood before is not looked at again.
#[derive(Debug, Default)]
pub(super) struct Reader {
    lines: Vec<Line>,
    gone: Vec<u32>,
    /// Memory for label blocks.
    block: String,
}

/// A sample of the last body.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Hash of all that makes its series.
    key: u64,
    /// [`REFUSED`] and [`TWICE`] are none.
    slot: u32,
}

/// Not to be kept.
const REFUSED: u32 = u32::MAX;
/// The series of a line before.
const TWICE: u32 = u32::MAX - 1;

/// A body, as far as it is read.
struct Walk<'r, 'f, 'a> {
    lines: &'r [Line],
    at: usize,
    /// Set once a sample is not where it was.
    changed: Option<Changed>,
    fill: &'f mut Fill<'a>,
    samples: u64,
    duplicates: u64,
    beside: usize,
    /// The label block of a series that is new, or of an exemplar.
    block: String,
}

/// The samples of a body that has others than the one before.
struct Changed {
    lines: Vec<Line>,
    /// Those of the last body that have not come yet.
    before: HashMap<u64, u32>,
    seen: HashSet<u64>,
}

/// A metric whose samples come.
struct Series<'m> {
    family: &'m FamilyInfo<'m>,
    metric: &'m Metric<'m>,
    hash: DefaultHasher,
}

impl Reader {
    /// The slots of the last body, in its order.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.lines.iter().map(|line| line.slot).filter(|slot| *slot < TWICE)
    }

    /// The slots that the last body does not have any more.
    pub(super) fn gone(&self) -> &[u32] {
        &self.gone
    }

    /// Samples of the last body that are not kept.
    pub(super) fn refused(&self) -> usize {
        self.lines.iter().filter(|line| line.slot == REFUSED).count()
    }

    /// Has the next body ask about the samples that are not kept, as if they were new.
    pub(super) fn ask_again(&mut self) {
        for line in self.lines.iter_mut().filter(|line| line.slot == REFUSED) {
            line.key = !line.key;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
            + self.gone.capacity() * size_of::<u32>()
            + self.block.capacity()
    }

    pub(super) fn decode(&mut self, body: &[u8], fill: &mut Fill<'_>) -> Result<Read, DecodeError> {
        self.gone.clear();
        let mut walk = Walk {
            lines: &self.lines,
            at: 0,
            changed: None,
            fill,
            samples: 0,
            duplicates: 0,
            beside: 0,
            block: mem::take(&mut self.block),
        };
        let result = exposition::protobuf(body)
            .try_for_each(|family| walk.family(&family.map_err(DecodeError::Protobuf)?));
        let Walk { at, changed, samples, duplicates, beside, block, .. } = walk;
        self.block = block;
        let layout_changed = changed.is_some() || at < self.lines.len();
        let read = Read { samples, duplicates, beside, layout_changed };
        let before: Vec<Line> = match changed {
            None if at == self.lines.len() || result.is_err() => return result.map(|()| read),
            None => self.lines.drain(at..).collect(),
            Some(Changed { lines, before, .. }) => {
                self.lines = lines;
                before.into_iter().map(|(key, slot)| Line { key, slot }).collect()
            }
        };
        if let Err(error) = result {
            // What did not come may stand behind the error: the next whole body tells.
            self.lines.extend(before);
            return Err(error);
        }
        let there: HashSet<u32> = self.slots().collect();
        self.gone.extend(before.iter().map(|line| line.slot).filter(|slot| *slot < TWICE));
        self.gone.retain(|slot| !there.contains(slot));
        self.gone.sort_unstable();
        self.gone.dedup();
        self.lines.shrink_to_fit();
        Ok(read)
    }
}

impl Walk<'_, '_, '_> {
    fn family(&mut self, family: &Family<'_>) -> Result<(), DecodeError> {
        let Family { name, help, unit, kind, .. } = *family;
        // As in the text format, a counter's name has what its samples have.
        let stem = name.strip_suffix("_total").filter(|stem| kind == Kind::Counter && !stem.is_empty());
        let info = FamilyInfo { name: stem.unwrap_or(name), kind, help, unit, suffix: "" };
        let mut hash = DefaultHasher::new();
        (name, help, unit, kind).hash(&mut hash);
        for metric in family.metrics() {
            let metric = &metric.map_err(DecodeError::Protobuf)?;
            let mut hash = hash.clone();
            for label in metric.labels.iter() {
                (label.name, label.value).hash(&mut hash);
            }
            let series = Series { family: &info, metric, hash };
            match &metric.value {
                Value::Counter { value, created_ms, exemplar } => {
                    let suffix = if stem.is_some() { Suffix::Total } else { Suffix::None };
                    self.exemplified(&series, suffix, None, *value, exemplar.as_ref());
                    self.created(&series, *created_ms);
                }
                Value::Gauge(value) | Value::Untyped(value) => self.sample(&series, Suffix::None, *value),
                Value::Summary(summary) => self.summary(&series, summary),
                Value::Histogram(histogram) => self.histogram(&series, histogram)?,
            }
        }
        Ok(())
    }

    fn summary(&mut self, series: &Series<'_>, summary: &Summary<'_>) {
        for quantile in summary.quantiles() {
            self.sample_with(series, Suffix::None, Some(("quantile", quantile.quantile)), quantile.value);
        }
        self.sample(series, Suffix::Sum, summary.sum);
        self.sample(series, Suffix::Count, summary.count as f64);
        self.created(series, summary.created_ms);
    }

    fn histogram(&mut self, series: &Series<'_>, histogram: &Histogram<'_>) -> Result<(), DecodeError> {
        let settings = &self.fill.keeper.job.settings;
        let native = histogram.native.filter(|_| settings.native_histograms);
        if native.is_none() || settings.classic_histograms {
            let mut whole = false;
            for bucket in histogram.buckets() {
                whole |= bucket.upper_bound == f64::INFINITY;
                let le = ("le", bucket.upper_bound);
                let exemplar = bucket.exemplar.as_ref();
                self.exemplified(series, Suffix::Bucket, Some(le), bucket.cumulative_count, exemplar);
            }
            if !whole {
                self.sample_with(series, Suffix::Bucket, Some(("le", f64::INFINITY)), histogram.count);
            }
            let (sum, count) = match series.family.kind {
                Kind::GaugeHistogram => (Suffix::GSum, Suffix::GCount),
                _ => (Suffix::Sum, Suffix::Count),
            };
            self.sample(series, sum, histogram.sum);
            self.sample(series, count, histogram.count);
        }
        if let Some(native) = native {
            self.samples += 1;
            if let Some(slot) = self.place(series, Suffix::Native, None) {
                self.fill.put(slot, histogram.count, series.metric.timestamp_ms);
                let gauge = series.family.kind == Kind::GaugeHistogram;
                let to = self.fill.block.set_native(slot, histogram.count);
                take(to, histogram, &native, gauge);
                fit(
                    to,
                    self.fill.keeper.job.settings.max_schema,
                    self.fill.keeper.job.settings.bucket_limit,
                )?;
                if self.fill.keeper.budget.keeps_exemplars() {
                    self.native_exemplars(slot, histogram);
                }
            }
        }
        self.created(series, histogram.created_ms);
        Ok(())
    }

    /// When a series was zero or empty. No sample of the format, so none that limits count.
    fn created(&mut self, series: &Series<'_>, created_ms: Option<i64>) {
        let Some(created_ms) = created_ms else { return };
        let kept = mem::take(&mut self.fill.counts.kept);
        let slot = self.place(series, Suffix::Created, None);
        self.fill.counts.kept = kept;
        if let Some(slot) = slot {
            self.beside += 1;
            self.fill.block.set_at(slot, created_ms as f64 / 1e3, None);
        }
    }

    fn sample(&mut self, series: &Series<'_>, suffix: Suffix, value: f64) {
        self.sample_with(series, suffix, None, value);
    }

    fn sample_with(&mut self, series: &Series<'_>, suffix: Suffix, more: Option<(&str, f64)>, value: f64) {
        self.samples += 1;
        if let Some(slot) = self.place(series, suffix, more) {
            self.fill.put(slot, value, series.metric.timestamp_ms);
        }
    }

    /// A sample of a type that has exemplars.
    fn exemplified(
        &mut self,
        series: &Series<'_>,
        suffix: Suffix,
        more: Option<(&str, f64)>,
        value: f64,
        exemplar: Option<&Exemplar<'_>>,
    ) {
        self.samples += 1;
        let Some(slot) = self.place(series, suffix, more) else { return };
        self.fill.put(slot, value, series.metric.timestamp_ms);
        match exemplar.filter(|_| self.fill.keeper.budget.keeps_exemplars()) {
            Some(exemplar) if self.write_exemplar(exemplar) => {
                self.fill.put_exemplar(slot, &self.block, exemplar.value, exemplar.timestamp_ms);
            }
            _ => self.fill.block.end_exemplars(slot),
        }
    }

    /// The exemplars of a native histogram: its own, or else those of its classic buckets. As in Prometheus only those with a
    /// time, for they stand in no order (`model/textparse/protobufparse.go`, `Exemplar`).
    fn native_exemplars(&mut self, slot: u32, histogram: &Histogram<'_>) {
        self.fill.block.begin_exemplars(slot);
        let mut has_own = false;
        for exemplar in histogram.exemplars() {
            has_own = true;
            self.native_exemplar(slot, &exemplar);
        }
        if !has_own {
            for exemplar in histogram.buckets().filter_map(|bucket| bucket.exemplar) {
                self.native_exemplar(slot, &exemplar);
            }
        }
        self.fill.block.finish_exemplars(slot);
    }

    fn native_exemplar(&mut self, slot: u32, exemplar: &Exemplar<'_>) {
        let Exemplar { value, timestamp_ms, .. } = *exemplar;
        if timestamp_ms.is_none() {
            self.fill.counts.exemplars.untimed += 1;
        } else if self.write_exemplar(exemplar)
            && !self.fill.block.keep_exemplar(slot, &self.block, value, timestamp_ms)
            && self.fill.admit_exemplar()
        {
            self.fill.block.add_exemplar(slot, &self.block, value, timestamp_ms);
        }
    }

    /// Leaves an exemplar's label block in `block`. False if it is too long.
    fn write_exemplar(&mut self, exemplar: &Exemplar<'_>) -> bool {
        let chars = |text: &str| text.chars().count();
        self.block.clear();
        let mut length = 0;
        for label in exemplar.labels.iter() {
            length += chars(label.name) + chars(label.value);
            push_label(&mut self.block, label.name, &escape(label.value));
        }
        let fits = length <= EXEMPLAR_CHARS;
        self.fill.counts.exemplars.too_long += usize::from(!fits);
        fits
    }

    /// The slot of the next sample.
    fn place(&mut self, series: &Series<'_>, suffix: Suffix, more: Option<(&str, f64)>) -> Option<u32> {
        let mut hash = series.hash.clone();
        (suffix, more.map(|(_, value)| value.to_bits())).hash(&mut hash);
        let key = hash.finish();
        let slot = match &self.changed {
            None if self.lines.get(self.at).is_some_and(|line| line.key == key) => {
                self.at += 1;
                self.lines[self.at - 1].slot
            }
            _ => self.look_up(key, series, suffix, more),
        };
        self.duplicates += u64::from(slot == TWICE);
        Some(slot).filter(|slot| *slot < TWICE)
    }

    fn look_up(&mut self, key: u64, series: &Series<'_>, suffix: Suffix, more: Option<(&str, f64)>) -> u32 {
        let (same, rest) = self.lines.split_at(self.at);
        let changed = self.changed.get_or_insert_with(|| Changed {
            lines: same.to_vec(),
            before: rest.iter().filter(|line| line.slot != TWICE).map(|line| (line.key, line.slot)).collect(),
            seen: same.iter().map(|line| line.key).collect(),
        });
        let slot = if changed.seen.insert(key) {
            let known = changed.before.remove(&key);
            known.unwrap_or_else(|| self.resolve(series, suffix, more).unwrap_or(REFUSED))
        } else {
            TWICE
        };
        if let Some(changed) = &mut self.changed {
            changed.lines.push(Line { key, slot });
        }
        slot
    }

    /// Asks for a slot for a series that is new.
    fn resolve(&mut self, series: &Series<'_>, suffix: Suffix, more: Option<(&str, f64)>) -> Option<u32> {
        let Self { block, fill, .. } = self;
        let Series { family, metric, .. } = series;
        block.clear();
        for label in metric.labels.iter() {
            push_label(block, label.name, &escape(label.value));
        }
        if let Some((name, value)) = more {
            push_label(block, name, &written(value));
        }
        let name = format!("{}{}", family.name, suffix.as_str());
        fill.admit(family, suffix, &name, Labels::unchecked(block))
    }
}

fn push_label(block: &mut String, name: &str, value: &str) {
    let comma = if block.is_empty() { "" } else { "," };
    // A String takes every write.
    let _written = if is_legacy_label(name) {
        write!(block, "{comma}{name}=\"{value}\"")
    } else {
        write!(block, "{comma}\"{}\"=\"{value}\"", escape(name))
    };
}

/// A bound or a quantile as OpenMetrics wants it: a float that shows that it is one.
fn written(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // As Go's shortest form: an exponent of at least two digits, from 21 digits or four zeros on.
    if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value:?}")
}

/// Takes a native histogram as it is.
fn take(to: &mut Native, histogram: &Histogram<'_>, native: &protobuf::Native<'_>, gauge: bool) {
    let protobuf::Native { schema, float, zero_threshold, zero_count, positive, negative } = *native;
    (to.schema, to.gauge, to.float) = (schema, gauge, float);
    (to.zero_threshold, to.zero_count) = (zero_threshold, zero_count);
    (to.count, to.sum) = (histogram.count, histogram.sum);
    to.bounds.clear();
    let take = |to: &mut observer_aggregate::native::Buckets, from: Buckets<'_>| {
        to.clear();
        to.spans.extend(from.spans().map(|span| Span { offset: span.offset, length: span.length }));
        from.for_each(|_, count| to.counts.push(count));
    };
    take(&mut to.positive, positive);
    take(&mut to.negative, negative);
}

/// Lowers the resolution until the histogram is within its bounds.
fn fit(native: &mut Native, max_schema: i32, limit: usize) -> Result<(), DecodeError> {
    native.reduce(max_schema);
    while limit != 0 && native.buckets() > limit {
        if native.schema <= COARSEST {
            return Err(DecodeError::BucketLimit(limit));
        }
        native.reduce(native.schema - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
