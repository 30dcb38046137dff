//! Native histograms: exponential ones, and those whose bounds were given one by one.
//!
//! Both cut at powers of `2^(2^-scale)`. Prometheus numbers a bucket by its upper bound, OTLP by its lower one: index `i` there is
//! `i - 1` here. A coarser scale joins pairs of buckets, so it loses resolution and nothing else.

use observer_aggregate::{
    native::{Buckets, CUSTOM_BUCKETS, Native},
    series::is_present,
};

use super::{
    Pen, Work,
    body::{Counts, Path},
    composite::{COUNT, HISTOGRAM, START, SUM, Scratch, TIME},
    exemplars::{OF_EXPONENTIAL, OF_HISTOGRAM},
    number::{CUMULATIVE, DELTA, Told},
    plan::{Composite, EXPONENTIAL_ATTRIBUTES, HISTOGRAM_ATTRIBUTES, Metric, Plan},
};
use crate::wire;

/// A field of `Metric`.
pub(super) const EXPONENTIAL_HISTOGRAM: u32 = 10;

/// Fields of `ExponentialHistogramDataPoint`.
const SCALE: u32 = 6;
const ZERO_COUNT: u32 = 7;
const POSITIVE: u32 = 8;
const NEGATIVE: u32 = 9;
pub(super) const EXPONENTIAL_FLAGS: u32 = 10;
const ZERO_THRESHOLD: u32 = 14;
/// Fields of its `Buckets`.
const OFFSET: u32 = 1;
const BUCKET_COUNTS: u32 = 2;

impl Pen<'_> {
    pub(super) fn natives(&self, plan: &Plan, metric: &Metric, path: Path<'_>, work: &mut Work<'_>) {
        let how = if self.delta { DELTA } else { CUMULATIVE };
        let composites = &plan.composites[metric.points.clone()];
        // A metric has points of one kind, and the kind of a native histogram is that of its last value.
        for (data, wants_custom) in [(EXPONENTIAL_HISTOGRAM, false), (HISTOGRAM, true)] {
            let path = Path { data, how, ..path };
            for composite in composites {
                if self.is_custom(composite.lead, work) != wants_custom {
                    continue;
                }
                if !self.ended(plan, composite.lead, &path, work)
                    && let Some(native) = self.view.native(composite.lead)
                {
                    self.native(plan, composite, native, &path, work);
                }
            }
            work.body.end_metric();
        }
    }

    /// Whether a histogram's bounds are given one by one; where it has no value, whether those that were told last were.
    fn is_custom(&self, lead: u32, work: &Work<'_>) -> bool {
        let present = is_present(self.view.values[lead as usize]);
        match self.view.native(lead).filter(|_| present) {
            Some(native) => native.schema == CUSTOM_BUCKETS,
            None => work.slots[lead as usize].custom,
        }
    }

    fn native(
        &self,
        plan: &Plan,
        composite: &Composite,
        native: &Native,
        path: &Path<'_>,
        work: &mut Work<'_>,
    ) {
        let Composite { lead, created, .. } = composite;
        if !is_whole(native) {
            work.stats.malformed += 1;
            return;
        }
        let time_ns = self.time_ns(*lead);
        let mut state = work.slots[*lead as usize];
        state.custom = native.schema == CUSTOM_BUCKETS;
        let before = if self.delta { work.natives.get(lead) } else { None };
        let fell = native.count < state.value || before.is_some_and(|before| falls(native, before));
        let told = self.told(&state, time_ns, fell, self.origin(*created), self.delta);
        let comparable = before.is_some_and(|before| {
            before.zero_threshold == native.zero_threshold
                && (before.bounds == native.bounds)
                && (native.schema == before.schema
                    || (native.schema != CUSTOM_BUCKETS && native.schema < before.schema))
        });
        let (start_ns, before) = match told {
            Told::Since { start_ns, whole: true } => (start_ns, None),
            Told::Since { start_ns, whole: false } if comparable => (start_ns, before),
            // Finer buckets, other bounds or another zero: what came since cannot be told apart.
            Told::Since { start_ns, whole: false } | Told::Withheld { remember: Some(start_ns) } => {
                state.value = native.count;
                state.told(start_ns, time_ns);
                work.slots[*lead as usize] = state;
                work.natives.entry(*lead).or_default().clone_from(native);
                work.stats.withheld += 1;
                return;
            }
            Told::Withheld { remember: None } => {
                work.stats.withheld += 1;
                return;
            }
        };
        let attributes = &plan.blobs[state.at as usize..][..state.len as usize];
        let sum = native.sum - before.map_or(0.0, |before| before.sum);
        if native.schema == CUSTOM_BUCKETS {
            work.buckets.custom(native, before);
            let all = work.buckets.counts.iter().sum();
            work.buckets.explicit(start_ns, time_ns, all, Some(sum));
            retag(&mut work.buckets.point, attributes);
        } else {
            let coarser = work.buckets.exponential(native, before, self.max_buckets);
            work.stats.coarsened += u64::from(coarser > 0);
            let zero = native.zero_count - before.map_or(0.0, |before| before.zero_count);
            work.buckets.write(native, coarser, (start_ns, time_ns), zero, sum);
            work.buckets.point.extend_from_slice(attributes);
        }
        let field = if native.schema == CUSTOM_BUCKETS { OF_HISTOGRAM } else { OF_EXPONENTIAL };
        work.buckets.exemplars.clear();
        self.exemplars(*lead, field, time_ns, &mut work.buckets.exemplars);
        state.value = native.count;
        state.told(start_ns, time_ns);
        // With delta temporality the next point's start is this one's time, with the other it stays.
        work.slots[*lead as usize] = state;
        if self.delta {
            work.natives.entry(*lead).or_default().clone_from(native);
        }
        work.write_point(path, Counts::Histogram);
    }
}

impl Scratch {
    /// Fills in the buckets, without gaps, and says by how many steps they are coarser so that they are not too many.
    fn exponential(&mut self, native: &Native, before: Option<&Native>, most: usize) -> u32 {
        let widest = |shift: u32| {
            let width = |buckets: &Buckets| range(buckets, shift).map_or(0, |(first, last)| last - first + 1);
            width(&native.positive).max(width(&native.negative))
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let shift = (0..32).find(|shift| widest(*shift) <= most).unwrap_or(31);
        fill(&mut self.positive, &native.positive, shift);
        fill(&mut self.negative, &native.negative, shift);
        if let Some(before) = before {
            let finer = before.schema.abs_diff(native.schema);
            subtract(&mut self.positive, &native.positive, shift, &before.positive, shift + finer);
            subtract(&mut self.negative, &native.negative, shift, &before.negative, shift + finer);
        }
        shift
    }

    /// Writes an `ExponentialHistogramDataPoint`, but for its attributes.
    fn write(&mut self, native: &Native, shift: u32, (start_ns, time_ns): (u64, u64), zero: f64, sum: f64) {
        let Self { positive, negative, point, .. } = self;
        let zero = zero as u64;
        // Observations that are not a number are in no bucket; OTLP wants the buckets' sum.
        let count = zero + positive.iter().chain(&*negative).map(|count| *count as u64).sum::<u64>();
        point.clear();
        wire::fixed64(point, START, start_ns);
        wire::fixed64(point, TIME, time_ns);
        wire::fixed64(point, COUNT, count);
        wire::double(point, SUM, sum);
        let scale = i64::from(native.schema) - i64::from(shift);
        wire::number(point, SCALE, wire::zigzag(scale));
        wire::fixed64(point, ZERO_COUNT, zero);
        for (field, buckets, dense) in
            [(POSITIVE, &native.positive, positive), (NEGATIVE, &native.negative, negative)]
        {
            if let Some((first, _)) = range(buckets, shift) {
                let message = wire::open(point, field);
                wire::number(point, OFFSET, wire::zigzag(first));
                let counts = wire::open(point, BUCKET_COUNTS);
                dense.iter().for_each(|count| wire::varint(point, *count as u64));
                wire::close(point, counts);
                wire::close(point, message);
            }
        }
        wire::double(point, ZERO_THRESHOLD, native.zero_threshold);
    }

    /// Fills in counts and bounds of a histogram whose bounds were given one by one.
    fn custom(&mut self, native: &Native, before: Option<&Native>) {
        let Self { counts, bounds, .. } = self;
        bounds.clear();
        bounds.extend_from_slice(&native.bounds);
        counts.clear();
        counts.resize(bounds.len() + 1, 0);
        for (index, count) in native.positive.iter() {
            if let Some(at) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
                *at += count as u64;
            }
        }
        for (index, count) in before.iter().flat_map(|before| before.positive.iter()) {
            if let Some(at) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
                *at = at.saturating_sub(count as u64);
            }
        }
    }
}

/// The OTLP index of a bucket at a scale that is `shift` steps coarser.
const fn index(index: i32, shift: u32) -> i64 {
    (index as i64 - 1) >> shift
}

/// The first and the last index.
fn range(buckets: &Buckets, shift: u32) -> Option<(i64, i64)> {
    let first = buckets.iter().next()?.0;
    let last = buckets.iter().last()?.0;
    Some((index(first, shift), index(last, shift)))
}

fn fill(dense: &mut Vec<f64>, buckets: &Buckets, shift: u32) {
    dense.clear();
    let Some((first, last)) = range(buckets, shift) else { return };
    dense.resize((last - first + 1) as usize, 0.0);
    for (at, count) in buckets.iter() {
        dense[(index(at, shift) - first) as usize] += count;
    }
}

fn subtract(dense: &mut [f64], buckets: &Buckets, shift: u32, before: &Buckets, before_shift: u32) {
    let Some((first, _)) = range(buckets, shift) else { return };
    for (at, count) in before.iter() {
        let place = usize::try_from(index(at, before_shift) - first).ok().and_then(|at| dense.get_mut(at));
        if let Some(place) = place {
            *place = (*place - count).max(0.0);
        }
    }
}

/// Whether a count that came before is no longer there.
fn falls(now: &Native, before: &Native) -> bool {
    if now.schema != before.schema || now.zero_threshold != before.zero_threshold {
        return now.count < before.count;
    }
    let fell = |now: &Buckets, before: &Buckets| {
        let mut now = now.iter().peekable();
        before.iter().any(|(at, count)| {
            while now.next_if(|(other, _)| *other < at).is_some() {}
            let is = now.peek().filter(|(other, _)| *other == at).map_or(0.0, |(_, count)| *count);
            is < count
        })
    };
    now.count < before.count
        || now.zero_count < before.zero_count
        || fell(&now.positive, &before.positive)
        || fell(&now.negative, &before.negative)
}

/// Whether OTLP can have it: counts that only grow, in whole numbers.
fn is_whole(native: &Native) -> bool {
    let whole = |count: f64| count >= 0.0 && count.fract() == 0.0;
    let Native { gauge, count, zero_count, positive, negative, .. } = native;
    let counts = positive.counts.iter().chain(&negative.counts).chain([count, zero_count]);
    !gauge && counts.copied().all(whole)
}

/// Appends attributes under the field that a `HistogramDataPoint` has them in.
pub(super) fn retag(out: &mut Vec<u8>, mut attributes: &[u8]) {
    while let Some((tag, rest)) = attributes.split_first() {
        debug_assert_eq!(u32::from(*tag), EXPONENTIAL_ATTRIBUTES << 3 | wire::BYTES);
        let (length, rest) = wire::read_varint(rest);
        let (attribute, rest) = rest.split_at(length.min(rest.len() as u64) as usize);
        wire::bytes(out, HISTOGRAM_ATTRIBUTES, attribute);
        attributes = rest;
    }
}
