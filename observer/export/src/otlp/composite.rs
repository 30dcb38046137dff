//! Points of several series: histograms with bounds of their own, and summaries.

use std::mem;

use observer_aggregate::series::is_present;

use super::{
    Pen, Work,
    body::{Counts, Path},
    exemplars::{Fields, OF_HISTOGRAM},
    number::{CUMULATIVE, DELTA, Told},
    plan::{Composite, Metric, NONE, Plan},
};
use crate::wire;

/// Fields of `Metric`.
pub(super) const HISTOGRAM: u32 = 9;
pub(super) const SUMMARY: u32 = 11;

/// Fields that histograms and summaries have alike.
pub(super) const START: u32 = 2;
pub(super) const TIME: u32 = 3;
pub(super) const COUNT: u32 = 4;
pub(super) const SUM: u32 = 5;
/// Fields of `HistogramDataPoint`.
const BUCKET_COUNTS: u32 = 6;
const EXPLICIT_BOUNDS: u32 = 7;
pub(super) const HISTOGRAM_FLAGS: u32 = 10;
/// Fields of `SummaryDataPoint`.
const QUANTILE_VALUES: u32 = 6;
pub(super) const SUMMARY_FLAGS: u32 = 8;

/// A `ValueAtQuantile`: two numbers with their tags.
const QUANTILE_LEN: usize = 18;

/// Memory for one point after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Cumulative counts as they are, and as they are told.
    read: Vec<(u32, f64, f64)>,
    pub(super) counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
    pub(super) point: Vec<u8>,
    /// The exemplars of a point that is written.
    pub(super) exemplars: Fields,
}

impl Pen<'_> {
    /// The value of a slot, if there is one.
    fn value(&self, slot: u32) -> Option<f64> {
        self.view.values.get(slot as usize).copied().filter(|value| is_present(*value))
    }

    /// Writes the end of a stream if there is no value any more. Whether there is nothing else to write.
    pub(super) fn ended(&self, plan: &Plan, lead: u32, path: &Path<'_>, work: &mut Work<'_>) -> bool {
        if is_present(self.view.values[lead as usize]) {
            return false;
        }
        let state = &mut work.slots[lead as usize];
        let delta = self.delta && path.data != SUMMARY;
        if mem::take(&mut state.live) && !delta {
            let state = *state;
            work.end(plan, &state, path, self.time_ns(lead).max(state.last_ns + 1));
        }
        true
    }

    pub(super) fn histograms(&self, plan: &Plan, metric: &Metric, path: Path<'_>, work: &mut Work<'_>) {
        let path = Path { data: HISTOGRAM, how: if self.delta { DELTA } else { CUMULATIVE }, ..path };
        for composite in &plan.composites[metric.points.clone()] {
            if !self.ended(plan, composite.lead, &path, work) {
                self.histogram(plan, composite, &path, work);
            }
        }
    }

    fn histogram(&self, plan: &Plan, composite: &Composite, path: &Path<'_>, work: &mut Work<'_>) {
        let Composite { lead, created, sum, count, members, .. } = composite;
        let time_ns = self.time_ns(*lead);
        let read = &mut work.buckets.read;
        read.clear();
        // A bucket that has ended on its own is as if it had never been: the next one has its count.
        read.extend(
            plan.members[members.clone()]
                .iter()
                .filter_map(|(slot, bound)| self.value(*slot).map(|value| (*slot, *bound, value))),
        );
        let infinite =
            read.last().filter(|(_, bound, _)| *bound == f64::INFINITY).map(|(_, _, value)| *value);
        let Some(total) = infinite.or_else(|| self.value(*count)) else { return };
        if !(total >= 0.0 && total.is_finite() && read.iter().all(|(_, _, value)| *value >= 0.0)) {
            work.stats.malformed += 1;
            return;
        }
        let slots = &mut work.slots;
        let mut state = slots[*lead as usize];
        let known = state.last_ns != 0;
        let mut fell = total < state.value;
        let mut new = false;
        for (slot, _, value) in &*read {
            let bucket = &slots[*slot as usize];
            fell |= *value < bucket.value;
            new |= bucket.last_ns == 0;
        }
        let mut told = self.told(&state, time_ns, fell, self.origin(*created), self.delta);
        if let Told::Since { start_ns, whole: false } = told
            && new
            && known
        {
            // How much of a new bucket came since the last point, nobody knows.
            told = Told::Withheld { remember: Some(start_ns) };
        }
        let (start_ns, whole, tell) = match told {
            Told::Since { start_ns, whole } => (start_ns, whole, true),
            Told::Withheld { remember: Some(start_ns) } => (start_ns, true, false),
            Told::Withheld { remember: None } => {
                work.stats.withheld += 1;
                return;
            }
        };
        // Buckets of an exporter that reads them one by one may contradict each other a little: they never fall.
        let mut so_far = 0.0_f64;
        let mut last = 0_u64;
        work.buckets.counts.clear();
        work.buckets.bounds.clear();
        for (slot, bound, value) in &*read {
            let bucket = &mut slots[*slot as usize];
            so_far = so_far.max(if whole { *value } else { *value - bucket.value });
            bucket.value = *value;
            bucket.last_ns = time_ns;
            if bound.is_finite() {
                work.buckets.counts.push(so_far as u64 - last);
                work.buckets.bounds.push(*bound);
                last = so_far as u64;
            }
        }
        let all = (if whole { total } else { total - state.value }).max(so_far) as u64;
        let sum = self.value(*sum).and_then(|value| {
            let of_sum = &mut slots[*sum as usize];
            let before = (!whole && of_sum.last_ns != 0).then_some(of_sum.value);
            (of_sum.value, of_sum.last_ns) = (value, time_ns);
            if whole { Some(value) } else { before.map(|before| value - before) }
        });
        state.value = total;
        state.told(start_ns, time_ns);
        slots[*lead as usize] = state;
        if !tell {
            work.stats.withheld += 1;
            return;
        }
        if !work.buckets.counts.is_empty() || infinite.is_some() {
            work.buckets.counts.push(all - last);
        }
        let blob = &plan.blobs[state.at as usize..][..state.len as usize];
        work.buckets.explicit(start_ns, time_ns, all, sum);
        work.buckets.point.extend_from_slice(blob);
        work.buckets.exemplars.clear();
        for (slot, _) in &plan.members[members.clone()] {
            self.exemplars(*slot, OF_HISTOGRAM, time_ns, &mut work.buckets.exemplars);
        }
        work.write_point(path, Counts::Histogram);
    }

    pub(super) fn summaries(&self, plan: &Plan, metric: &Metric, path: Path<'_>, work: &mut Work<'_>) {
        let path = Path { data: SUMMARY, ..path };
        for Composite { lead, created, sum, members, .. } in &plan.composites[metric.points.clone()] {
            if self.ended(plan, *lead, &path, work) {
                continue;
            }
            let (count, time_ns) = (self.view.values[*lead as usize], self.time_ns(*lead));
            let state = &mut work.slots[*lead as usize];
            let fell = count < state.value;
            let step = state.step(time_ns, fell, self.origin(*created));
            let start_ns = step.start_ns(time_ns);
            state.value = count;
            state.told(start_ns, time_ns);
            let point = &mut work.buckets.point;
            point.clear();
            wire::fixed64(point, START, start_ns);
            wire::fixed64(point, TIME, time_ns);
            wire::fixed64(point, COUNT, count as u64);
            wire::double(point, SUM, if *sum == NONE { 0.0 } else { self.value(*sum).unwrap_or(0.0) });
            for (slot, quantile) in &plan.members[members.clone()] {
                if let Some(value) = self.value(*slot) {
                    wire::tag(point, QUANTILE_VALUES, wire::BYTES);
                    wire::varint(point, QUANTILE_LEN as u64);
                    wire::double(point, 1, *quantile);
                    wire::double(point, 2, value);
                }
            }
            point.extend_from_slice(&plan.blobs[state.at as usize..][..state.len as usize]);
            work.buckets.exemplars.clear();
            work.write_point(&path, Counts::Sample);
        }
    }
}

impl Scratch {
    /// Writes a `HistogramDataPoint` of `counts` and `bounds`, but for its attributes.
    pub(super) fn explicit(&mut self, start_ns: u64, time_ns: u64, count: u64, sum: Option<f64>) {
        let Self { counts, bounds, point, .. } = self;
        point.clear();
        wire::fixed64(point, START, start_ns);
        wire::fixed64(point, TIME, time_ns);
        wire::fixed64(point, COUNT, count);
        if let Some(sum) = sum {
            wire::double(point, SUM, sum);
        }
        if !counts.is_empty() {
            wire::tag(point, BUCKET_COUNTS, wire::BYTES);
            wire::varint(point, (8 * counts.len()) as u64);
            counts.iter().for_each(|count| point.extend_from_slice(&count.to_le_bytes()));
        }
        if !bounds.is_empty() {
            wire::tag(point, EXPLICIT_BOUNDS, wire::BYTES);
            wire::varint(point, (8 * bounds.len()) as u64);
            bounds.iter().for_each(|bound| point.extend_from_slice(&bound.to_le_bytes()));
        }
    }
}

impl Work<'_> {
    /// Puts the point and the exemplars that have been written aside into the request.
    pub(super) fn write_point(&mut self, path: &Path<'_>, counts: Counts) {
        let mut point = mem::take(&mut self.buckets.point);
        let Fields { bytes, count } = &self.buckets.exemplars;
        let count = *count;
        point.extend_from_slice(bytes);
        self.point(path, point.len(), counts).extend_from_slice(&point);
        self.count_exemplars(count);
        self.buckets.point = point;
    }
}
