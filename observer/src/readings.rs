//! Families that are read again and again, patched in place: a reading that finds the same series as the last one does not
//! allocate.

use std::{collections::HashMap, fmt::Write as _};

use observer_aggregate::{
    family::{Family, Sample, Suffix},
    histogram::{ClassicLabels, Histogram},
};
use observer_exposition::escape;

use crate::metrics::Metric;

/// A counter of the kernel that fell by less than this stood still: idle and iowait time are corrected downwards at times.
const JITTER_SECONDS: f64 = 3.0;

#[derive(Debug)]
pub(crate) struct Readings {
    families: Vec<Family>,
    rows: Vec<Row>,
    by_name: HashMap<&'static str, usize>,
}

/// What a family's samples need beside their values.
#[derive(Debug)]
struct Row {
    suffix: Suffix,
    /// How many samples this reading has put so far.
    filled: usize,
}

impl Readings {
    pub(crate) fn new(tables: &[&'static [Metric]]) -> Self {
        let metrics = || tables.iter().copied().flatten();
        Self {
            families: metrics().map(Metric::family).collect(),
            rows: metrics().map(|metric| Row { suffix: metric.suffix(), filled: 0 }).collect(),
            by_name: metrics().enumerate().map(|(index, metric)| (metric.name, index)).collect(),
        }
    }

    /// The families that have samples.
    pub(crate) fn families(&self) -> impl Iterator<Item = &Family> + Clone {
        self.families.iter().filter(|family| !family.samples.is_empty())
    }

    /// The family of that name, for [`Self::put`]. The kernel knows more fields than the table does.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Puts the next sample of a family.
    pub(crate) fn put(&mut self, family: usize, labels: &str, value: f64) {
        self.put_with(family, labels, |_| value);
    }

    /// Puts the next sample of a family whose counters the kernel at times corrects downwards.
    pub(crate) fn put_steady(&mut self, family: usize, labels: &str, value: f64) {
        self.put_with(family, labels, |last| match last {
            Some(last) if value < last && last - value < JITTER_SECONDS => last,
            _ => value,
        });
    }

    /// Puts the only sample of a family of the table.
    pub(crate) fn put_one(&mut self, name: &str, value: f64) {
        if let Some(family) = self.find(name) {
            self.put(family, "", value);
        }
    }

    /// Puts the next histogram of a family, in both forms.
    pub(crate) fn put_histogram(&mut self, family: usize, labels: &ClassicLabels, histogram: &Histogram) {
        let (samples, row) = (&mut self.families[family].samples, &mut self.rows[family]);
        row.filled = histogram.to_samples(labels, samples, row.filled);
    }

    /// Puts the next samples of a family, which are written anew every time.
    pub(crate) fn put_samples(&mut self, family: usize, write: impl FnOnce(&mut Vec<Sample>)) {
        let (samples, row) = (&mut self.families[family].samples, &mut self.rows[family]);
        samples.truncate(row.filled);
        write(samples);
        row.filled = samples.len();
    }

    /// Ends a reading: what it did not put again is gone.
    pub(crate) fn finish(&mut self) {
        for (family, row) in self.families.iter_mut().zip(&mut self.rows) {
            family.samples.truncate(row.filled);
            row.filled = 0;
        }
    }

    /// Ends a reading that failed, or was not to be.
    pub(crate) fn clear(&mut self) {
        for (family, row) in self.families.iter_mut().zip(&mut self.rows) {
            family.samples.clear();
            row.filled = 0;
        }
    }

    fn put_with(&mut self, family: usize, labels: &str, value: impl FnOnce(Option<f64>) -> f64) {
        let (samples, row) = (&mut self.families[family].samples, &mut self.rows[family]);
        let make = |value| Sample {
            suffix: row.suffix,
            labels: labels.into(),
            value,
            timestamp_ms: None,
            native: None,
        };
        match samples.get_mut(row.filled) {
            Some(sample) if &*sample.labels == labels => sample.value = value(Some(sample.value)),
            Some(sample) => *sample = make(value(None)),
            None => samples.push(make(value(None))),
        }
        row.filled += 1;
    }
}

/// Appends `name="value"` to a label block.
pub(crate) fn push_label(block: &mut String, name: &str, value: &str) {
    let comma = if block.is_empty() { "" } else { "," };
    let _ = write!(block, "{comma}{name}=\"{}\"", escape(value));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::node;

    fn read(readings: &mut Readings, devices: &[(&str, f64)]) {
        for (labels, value) in devices {
            readings.put(0, labels, *value);
        }
        readings.finish();
    }

    #[track_caller]
    fn check(readings: &Readings, expected: &[(&str, f64)]) {
        let samples: Vec<(&str, f64)> = readings
            .families()
            .flat_map(|family| &family.samples)
            .map(|sample| (&*sample.labels, sample.value))
            .collect();
        assert_eq!(samples, expected);
    }

    #[test]
    fn warm_reading_keeps_its_label_blocks() {
        let mut readings = Readings::new(&[node::NETWORK]);
        read(&mut readings, &[("a", 1.0), ("b", 2.0)]);
        let before: Vec<Arc<str>> =
            readings.families[0].samples.iter().map(|s| Arc::clone(&s.labels)).collect();
        read(&mut readings, &[("a", 3.0), ("b", 4.0)]);
        check(&readings, &[("a", 3.0), ("b", 4.0)]);
        for (before, sample) in before.iter().zip(&readings.families[0].samples) {
            assert!(Arc::ptr_eq(before, &sample.labels));
        }
    }

    #[test]
    fn device_that_is_gone_is_not_exported() {
        let mut readings = Readings::new(&[node::NETWORK]);
        read(&mut readings, &[("a", 1.0), ("b", 2.0), ("c", 3.0)]);
        read(&mut readings, &[("a", 4.0), ("c", 5.0)]);
        check(&readings, &[("a", 4.0), ("c", 5.0)]);
        readings.put(0, "a", 6.0);
        readings.clear();
        check(&readings, &[]);
    }

    #[test]
    fn counter_corrected_downwards_stands_still_and_one_that_began_anew_does_not() {
        let mut readings = Readings::new(&[node::CPU]);
        for (value, expected) in [(10.0, 10.0), (9.5, 10.0), (10.5, 10.5), (0.5, 0.5)] {
            readings.put_steady(0, "a", value);
            readings.finish();
            check(&readings, &[("a", expected)]);
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut block = String::new();
        push_label(&mut block, "device", "a\"b\\c");
        push_label(&mut block, "mode", "x");
        assert_eq!(block, r#"device="a\"b\\c",mode="x""#);
    }
}
