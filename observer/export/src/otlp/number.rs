//! Points with one number: gauges and sums.

use std::mem;

use observer_aggregate::series::is_present;

use super::{
    Pen, Work,
    body::{Counts, Path},
    exemplars::{Fields, OF_NUMBER},
    plan::{Data, Metric, Number, Plan},
    state::{Origin, Slot, Step},
};

/// Fields of `Metric`.
pub(super) const GAUGE: u32 = 5;
pub(super) const SUM: u32 = 7;

/// `aggregation_temporality`, field 2 of sums and histograms.
pub(super) const DELTA: &[u8] = &[0x10, 1];
pub(super) const CUMULATIVE: &[u8] = &[0x10, 2];
/// The same, and `is_monotonic`.
const DELTA_MONOTONIC: &[u8] = &[0x10, 1, 0x18, 1];
const CUMULATIVE_MONOTONIC: &[u8] = &[0x10, 2, 0x18, 1];

/// Tags of the fields that all kinds of data points have alike.
pub(super) const START: u8 = 0x11;
pub(super) const TIME: u8 = 0x19;
const AS_DOUBLE: u8 = 0x21;
/// `flags` with `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_VALUE: [u8; 2] = [0x40, 1];

/// A point's start, or why there is no point.
pub(super) enum Told {
    /// Since then; `whole`: all of the value, also with delta temporality.
    Since { start_ns: u64, whole: bool },
    /// With delta temporality there is nothing to tell yet; `remember`: the next point goes on from this value.
    Withheld { remember: Option<u64> },
}

impl Pen<'_> {
    /// Where a cumulative value's point begins.
    pub(super) fn told(&self, slot: &Slot, time_ns: u64, fell: bool, origin: Origin, delta: bool) -> Told {
        if delta && slot.last_ns != 0 && time_ns <= slot.last_ns {
            return Told::Withheld { remember: None };
        }
        let step = slot.step(time_ns, fell, origin);
        match step {
            _ if !delta => Told::Since { start_ns: step.start_ns(time_ns), whole: true },
            Step::First | Step::On { last_ns: 0, .. } => {
                Told::Withheld { remember: Some(step.start_ns(time_ns)) }
            }
            Step::Whole { start_ns } => Told::Since { start_ns, whole: true },
            Step::On { last_ns, .. } => Told::Since { start_ns: last_ns, whole: false },
        }
    }

    pub(super) fn numbers(&self, plan: &Plan, metric: &Metric, path: Path<'_>, work: &mut Work<'_>) {
        let (data, how) = kind(metric.data, self.delta);
        let path = Path { data, how, ..path };
        let monotonic = is_delta(metric.data, true);
        let delta = is_delta(metric.data, self.delta);
        let news = monotonic && self.view.exemplars.newest() > self.told_exemplars;
        let mut exemplars = mem::take(&mut work.buckets.exemplars);
        exemplars.clear();
        for &Number { slot, created } in &plan.numbers[metric.points.clone()] {
            let value = self.view.values[slot as usize];
            let time_ns = self.time_ns(slot);
            let state = &mut work.slots[slot as usize];
            let attributes = &plan.blobs[state.at as usize..][..state.len as usize];
            if !is_present(value) {
                // An ended stream of deltas says nothing more. What was never told has no end. Where the value that says so has
                // not been seen, there is none at all.
                let ended = mem::take(&mut state.live).then_some(*state);
                if let Some(state) = ended.filter(|_| !delta) {
                    write_end(work, &path, &state, time_ns.max(state.last_ns + 1), attributes);
                }
                continue;
            }
            if data == GAUGE {
                state.told(0, time_ns);
                write(work, &path, (None, time_ns), Some(value), attributes);
                continue;
            }
            let fell = monotonic && value < state.value;
            if delta && !value.is_finite() {
                work.stats.malformed += 1;
                continue;
            }
            match self.told(state, time_ns, fell, self.origin(created), delta) {
                Told::Since { start_ns, whole } => {
                    let told = if whole { value } else { value - state.value };
                    state.value = value;
                    state.told(start_ns, time_ns);
                    let times = (Some(start_ns), time_ns);
                    if news {
                        exemplars.clear();
                        self.exemplars(slot, OF_NUMBER, time_ns, &mut exemplars);
                        write_with(work, &path, times, told, attributes, &exemplars);
                    } else {
                        write(work, &path, times, Some(told), attributes);
                    }
                }
                Told::Withheld { remember } => {
                    if let Some(start_ns) = remember {
                        state.value = value;
                        state.told(start_ns, time_ns);
                    }
                    work.stats.withheld += 1;
                }
            }
        }
        work.buckets.exemplars = exemplars;
    }
}

/// The field of `Metric` that such points stand in, and what stands there before them.
pub(super) const fn kind(data: Data, delta: bool) -> (u32, &'static [u8]) {
    match data {
        Data::Sum { monotonic: true } if delta => (SUM, DELTA_MONOTONIC),
        Data::Sum { monotonic: true } => (SUM, CUMULATIVE_MONOTONIC),
        Data::Sum { monotonic: false } => (SUM, CUMULATIVE),
        _ => (GAUGE, &[]),
    }
}

/// Whether such points tell what came since the one before, where deltas are told.
pub(super) const fn is_delta(data: Data, delta: bool) -> bool {
    delta && matches!(data, Data::Sum { monotonic: true })
}

/// Writes the end of a series.
pub(super) fn write_end(work: &mut Work<'_>, path: &Path<'_>, state: &Slot, time_ns: u64, attributes: &[u8]) {
    let start_ns = (path.data == SUM).then_some(state.start_ns);
    write(work, path, (start_ns, time_ns), None, attributes);
}

/// Writes a `NumberDataPoint`. No value: the series has ended.
#[inline]
fn write(
    work: &mut Work<'_>,
    path: &Path<'_>,
    (start_ns, time_ns): (Option<u64>, u64),
    value: Option<f64>,
    attributes: &[u8],
) {
    let mut fields = [0; 27];
    let mut len = 0;
    let mut put = |tag: u8, bits: u64| {
        fields[len] = tag;
        fields[len + 1..len + 9].copy_from_slice(&bits.to_le_bytes());
        len += 9;
    };
    if let Some(start_ns) = start_ns {
        put(START, start_ns);
    }
    put(TIME, time_ns);
    match value {
        Some(value) => put(AS_DOUBLE, value.to_bits()),
        None => {
            fields[len..len + 2].copy_from_slice(&NO_VALUE);
            len += 2;
        }
    }
    let out = work.point(path, len + attributes.len(), Counts::Sample);
    out.extend_from_slice(&fields[..len]);
    out.extend_from_slice(attributes);
}

/// As [`write`], with exemplars if there are any. Apart from it, which is faster for that.
#[inline(never)]
fn write_with(
    work: &mut Work<'_>,
    path: &Path<'_>,
    (start_ns, time_ns): (Option<u64>, u64),
    value: f64,
    attributes: &[u8],
    Fields { bytes, count }: &Fields,
) {
    let point = &mut work.buckets.point;
    point.clear();
    for (tag, bits) in [(START, start_ns), (TIME, Some(time_ns)), (AS_DOUBLE, Some(value.to_bits()))] {
        if let Some(bits) = bits {
            point.push(tag);
            point.extend_from_slice(&bits.to_le_bytes());
        }
    }
    point.extend_from_slice(attributes);
    let point = mem::take(&mut work.buckets.point);
    let out = work.point(path, point.len() + bytes.len(), Counts::Sample);
    out.extend_from_slice(&point);
    out.extend_from_slice(bytes);
    work.count_exemplars(*count);
    work.buckets.point = point;
}
