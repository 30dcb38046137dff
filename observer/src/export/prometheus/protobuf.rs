//! A page as Prometheus' protobuf messages.
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
};

use observer_aggregate::{
    exemplars::Exemplar,
    family::{Kind, Suffix},
    native::{Buckets, CUSTOM_BUCKETS, Native},
    series::NO_TIME,
    window::View,
};
use observer_export::wire;
use observer_exposition::{Labels, legacy_labels, legacy_name, unescape};

use super::{
    Dropped,
    lines::External,
    plan::{Merged, Place, Plan, full_name, has_several_names},
    present, time,
};

/// A page that is being written.
struct Messages<'p, 'w> {
    plan: &'p Plan,
    views: &'p [View<'p>],
    out: &'w mut Vec<u8>,
    external: External,
    dropped: &'p mut Dropped,
    hasher: RandomState,
    /// The family that is being written, and the metric, and its value.
    family: Vec<u8>,
    metric: Vec<u8>,
    value: Vec<u8>,
    /// A message within the value, and one within that.
    part: Vec<u8>,
    exemplar: Vec<u8>,
    rows: Vec<Row>,
}

/// A series of a family whose metrics have several.
#[derive(Clone, Copy)]
struct Row {
    /// The metric, counted in the order in which they come first.
    metric: usize,
    place: Place,
    suffix: Suffix,
    value: f64,
}

pub(super) fn write(
    plan: &Plan,
    views: &[View<'_>],
    out: &mut Vec<u8>,
    external_labels: &[(String, String)],
    dropped: &mut Dropped,
) {
    let mut messages = Messages {
        plan,
        views,
        out,
        external: External::new(external_labels),
        dropped,
        hasher: RandomState::new(),
        family: Vec::new(),
        metric: Vec::new(),
        value: Vec::new(),
        part: Vec::new(),
        exemplar: Vec::new(),
        rows: Vec::new(),
    };
    for family in &plan.families {
        messages.family(family);
    }
}

/// The number of a type, and the field of its values.
const fn numbers(kind: Kind) -> (u64, u32) {
    match kind {
        Kind::Counter => (0, 3),
        Kind::Gauge | Kind::Info | Kind::StateSet => (1, 2),
        Kind::Summary => (2, 4),
        Kind::Unknown => (3, 5),
        Kind::Histogram => (4, 7),
        Kind::GaugeHistogram => (5, 7),
    }
}

impl Messages<'_, '_> {
    fn family(&mut self, family: &Merged) {
        let Merged { name, suffix, kind, help, unit, runs, .. } = family;
        self.family.clear();
        wire::bytes(&mut self.family, 1, legacy_name(&full_name(name, *suffix)).as_bytes());
        if !help.is_empty() {
            wire::bytes(&mut self.family, 2, help.as_bytes());
        }
        wire::number(&mut self.family, 3, numbers(*kind).0);
        if !unit.is_empty() {
            wire::bytes(&mut self.family, 5, unit.as_bytes());
        }
        let head = self.family.len();
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        let (plan, views) = (self.plan, self.views);
        let mut parts = has_several_names(*kind);
        for run in runs {
            let view = &views[run.view as usize];
            for &slot in &view.layout.order()[run.from as usize..run.to as usize] {
                let Some(value) = present(view, slot) else { continue };
                let place = (run.view, slot);
                if run.repeats && plan.is_repeated(views, place) {
                    self.dropped.duplicate += 1;
                    continue;
                }
                let suffix = run.suffix.unwrap_or_else(|| view.layout.suffix(slot));
                parts |= suffix == Suffix::Created;
                rows.push(Row { metric: 0, place, suffix, value });
            }
        }
        if parts {
            self.number(*kind, &mut rows);
            for rows in rows.chunk_by(|a, b| a.metric == b.metric) {
                self.parts(*kind, rows);
            }
        } else {
            for row in &rows {
                self.value.clear();
                wire::double(&mut self.value, 1, row.value);
                if *kind == Kind::Counter {
                    self.counter_exemplar(row);
                }
                self.metric(*kind, row, None);
            }
        }
        self.rows = rows;
        if self.family.len() > head {
            wire::varint(self.out, self.family.len() as u64);
            self.out.extend_from_slice(&self.family);
        }
    }

    /// Says which rows make a metric, and brings these together.
    fn number(&self, kind: Kind, rows: &mut [Row]) {
        let mut metrics = HashMap::new();
        let (mut last, mut in_order) = (None, true);
        let mut buffer = String::new();
        for row in &mut *rows {
            let (at, slot) = row.place;
            let mut hasher = self.hasher.build_hasher();
            let part = part_label(kind, row.suffix);
            let labels = self.views[at as usize].layout.labels(slot).read(&mut buffer);
            for label in Labels::unchecked(labels).iter() {
                if part != Some(&*label.name) {
                    (label.name, label.value).hash(&mut hasher);
                }
            }
            let hash = hasher.finish();
            row.metric = match last {
                Some((known, metric)) if known == hash => metric,
                _ => {
                    let next = metrics.len();
                    match metrics.entry(hash) {
                        Entry::Vacant(new) => *new.insert(next),
                        Entry::Occupied(known) => {
                            in_order = false;
                            *known.get()
                        }
                    }
                }
            };
            last = Some((hash, row.metric));
        }
        if !in_order {
            rows.sort_by_key(|row| row.metric);
        }
    }

    /// A metric of several series.
    fn parts(&mut self, kind: Kind, rows: &[Row]) {
        let find = |suffixes: &[Suffix]| rows.iter().find(|row| suffixes.contains(&row.suffix));
        let created = find(&[Suffix::Created]).map(|row| row.value);
        let Some(first) = rows.iter().find(|row| row.suffix != Suffix::Created) else { return };
        self.value.clear();
        match kind {
            Kind::Histogram | Kind::GaugeHistogram => self.histogram(rows, created),
            Kind::Summary => {
                let count = find(&[Suffix::Count]).map_or(0.0, |row| row.value);
                wire::number(&mut self.value, 1, count as u64);
                wire::double(&mut self.value, 2, find(&[Suffix::Sum]).map_or(0.0, |row| row.value));
                for row in rows.iter().filter(|row| row.suffix == Suffix::None) {
                    self.part.clear();
                    let quantile = self.bound(row, "quantile");
                    wire::double(&mut self.part, 1, quantile);
                    wire::double(&mut self.part, 2, row.value);
                    wire::bytes(&mut self.value, 3, &self.part);
                }
                self.created(4, created);
            }
            _ => {
                wire::double(&mut self.value, 1, first.value);
                if kind == Kind::Counter {
                    self.counter_exemplar(first);
                    self.created(3, created);
                }
            }
        }
        self.metric(kind, first, part_label(kind, first.suffix));
    }

    fn histogram(&mut self, rows: &[Row], created: Option<f64>) {
        let find = |suffixes: &[Suffix]| rows.iter().find(|row| suffixes.contains(&row.suffix));
        let native = find(&[Suffix::Native])
            .and_then(|row| self.views[row.place.0 as usize].native(row.place.1))
            .filter(|native| native.schema != CUSTOM_BUCKETS);
        let last = rows.iter().rfind(|row| row.suffix == Suffix::Bucket);
        let count = native
            .map(|native| native.count)
            .or_else(|| find(&[Suffix::Count, Suffix::GCount]).or(last).map(|row| row.value));
        let sum = native
            .map(|native| native.sum)
            .or_else(|| find(&[Suffix::Sum, Suffix::GSum]).map(|row| row.value));
        let is_float = native.is_some_and(|native| native.float);
        count_field(&mut self.value, (1, 4), count.unwrap_or(0.0), is_float);
        wire::double(&mut self.value, 2, sum.unwrap_or(0.0));
        for row in rows.iter().filter(|row| row.suffix == Suffix::Bucket) {
            self.part.clear();
            count_field(&mut self.part, (1, 4), row.value, is_float);
            let bound = self.bound(row, "le");
            wire::double(&mut self.part, 2, bound);
            for of in exemplars(self.views, row) {
                self.exemplar(row, of);
                wire::bytes(&mut self.part, 3, &self.exemplar);
            }
            wire::bytes(&mut self.value, 3, &self.part);
        }
        if let Some(native) = native {
            let Self { value, part, .. } = self;
            native_part(value, part, native);
            if let Some(row) = find(&[Suffix::Native]) {
                for of in exemplars(self.views, row) {
                    self.exemplar(row, of);
                    wire::bytes(&mut self.value, 16, &self.exemplar);
                }
            }
        }
        self.created(15, created);
    }

    fn counter_exemplar(&mut self, row: &Row) {
        for of in exemplars(self.views, row) {
            self.exemplar(row, of);
            wire::bytes(&mut self.value, 2, &self.exemplar);
        }
    }

    /// Leaves an exemplar's message in `exemplar`.
    fn exemplar(&mut self, row: &Row, of: &Exemplar) {
        let out = &mut self.exemplar;
        out.clear();
        let labels = Labels::unchecked(self.views[row.place.0 as usize].exemplars.labels(of));
        for (name, value) in legacy_labels(&labels) {
            let value = unescape(value);
            wire::tag(out, 1, wire::BYTES);
            wire::varint(out, (wire::bytes_len(name.len()) + wire::bytes_len(value.len())) as u64);
            wire::bytes(out, 1, name.as_bytes());
            wire::bytes(out, 2, value.as_bytes());
        }
        wire::double(out, 2, of.value);
        if of.time_ms != NO_TIME {
            let timestamp = wire::open(out, 3);
            wire::number(out, 1, of.time_ms.div_euclid(1000).cast_unsigned());
            wire::number(out, 2, (of.time_ms.rem_euclid(1000) * 1_000_000).cast_unsigned());
            wire::close(out, timestamp);
        }
    }

    /// The bound or quantile that a label of the series says.
    fn bound(&self, row: &Row, label: &str) -> f64 {
        let mut buffer = String::new();
        let labels = self.views[row.place.0 as usize].layout.labels(row.place.1).read(&mut buffer);
        let value = Labels::unchecked(labels).value(label).and_then(|value| value.parse().ok());
        value.unwrap_or(f64::NAN)
    }

    /// A moment, from seconds since the Unix epoch.
    fn created(&mut self, field: u32, seconds: Option<f64>) {
        let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) else { return };
        // In microseconds, which a double tells apart for centuries. A cast of a float saturates.
        let micros = (seconds * 1e6).round() as i64;
        self.part.clear();
        wire::number(&mut self.part, 1, micros.div_euclid(1_000_000).cast_unsigned());
        wire::number(&mut self.part, 2, (micros.rem_euclid(1_000_000) * 1000).cast_unsigned());
        wire::bytes(&mut self.value, field, &self.part);
    }

    /// A metric with the value that has been written. One label may belong to a part of it only.
    fn metric(&mut self, kind: Kind, row: &Row, but: Option<&str>) {
        let view = &self.views[row.place.0 as usize];
        self.metric.clear();
        let labels = self.external.join(view.layout.labels(row.place.1));
        let labels = Labels::unchecked(labels);
        let (part, metric) = (&mut self.part, &mut self.metric);
        let mut label = |name: &str, value: &str| {
            if but != Some(name) {
                part.clear();
                wire::bytes(part, 1, name.as_bytes());
                wire::bytes(part, 2, unescape(value).as_bytes());
                wire::bytes(metric, 1, part);
            }
        };
        if labels.may_need_quotes() {
            legacy_labels(&labels).into_iter().for_each(|(name, value)| label(&name, value));
        } else {
            labels.iter().for_each(|it| label(&it.name, it.value));
        }
        wire::bytes(&mut self.metric, numbers(kind).1, &self.value);
        if let Some(time) = time(view, row.place.1) {
            wire::number(&mut self.metric, 6, time.cast_unsigned());
        }
        wire::bytes(&mut self.family, 4, &self.metric);
    }
}

/// The exemplars of a series.
fn exemplars<'v>(views: &[View<'v>], row: &Row) -> &'v [Exemplar] {
    views[row.place.0 as usize].exemplars.of(row.place.1)
}

/// The label that tells parts of one metric apart.
const fn part_label(kind: Kind, suffix: Suffix) -> Option<&'static str> {
    match (kind, suffix) {
        (Kind::Histogram | Kind::GaugeHistogram, Suffix::Bucket) => Some("le"),
        (Kind::Summary, Suffix::None) => Some("quantile"),
        _ => None,
    }
}

/// A count in the field for whole ones, or in the one for others.
fn count_field(out: &mut Vec<u8>, (whole, other): (u32, u32), count: f64, is_float: bool) {
    if !is_float && count >= 0.0 && count.fract() == 0.0 && count < 2f64.powi(64) {
        wire::number(out, whole, count as u64);
    } else {
        wire::double(out, other, count);
    }
}

fn native_part(out: &mut Vec<u8>, part: &mut Vec<u8>, native: &Native) {
    let Native { schema, float, zero_threshold, zero_count, positive, negative, .. } = native;
    wire::number(out, 5, wire::zigzag(i64::from(*schema)));
    wire::double(out, 6, *zero_threshold);
    count_field(out, (7, 8), *zero_count, *float);
    let mut buckets = |Buckets { spans, counts }: &Buckets, fields: [u32; 3]| {
        for span in spans {
            part.clear();
            wire::number(part, 1, wire::zigzag(i64::from(span.offset)));
            wire::number(part, 2, u64::from(span.length));
            wire::bytes(out, fields[0], part);
        }
        if counts.is_empty() {
            return;
        }
        part.clear();
        if *float {
            for count in counts {
                part.extend_from_slice(&count.to_le_bytes());
            }
            wire::bytes(out, fields[2], part);
        } else {
            let mut before = 0;
            for count in counts {
                let count = *count as i64;
                wire::varint(part, wire::zigzag(count - before));
                before = count;
            }
            wire::bytes(out, fields[1], part);
        }
    };
    buckets(negative, [9, 10, 11]);
    buckets(positive, [12, 13, 14]);
    if positive.spans.is_empty() && negative.spans.is_empty() {
        // Tells a native histogram without observations from a classic one.
        wire::bytes(out, 12, &[]);
    }
}

#[cfg(test)]
mod tests;
