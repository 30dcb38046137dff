//! Ends of series that no window has told: those of windows that were not seen.

use super::{
    Work,
    body::{Counts, Path},
    composite::{HISTOGRAM, HISTOGRAM_FLAGS, START, SUMMARY, SUMMARY_FLAGS, TIME},
    native::{EXPONENTIAL_FLAGS, EXPONENTIAL_HISTOGRAM, retag},
    number::{self, CUMULATIVE},
    plan::{Data, EXPONENTIAL_ATTRIBUTES, Metric, Plan},
    state::Slot,
};
use crate::wire;

/// Which ends are told, and how.
pub(super) struct Ends<F> {
    /// When, if the series' last point is not that late.
    pub(super) time_ns: u64,
    pub(super) delta: bool,
    /// Whether the series of that slot has ended.
    pub(super) over: F,
}

impl<F: Fn(u32, &Slot) -> bool> Ends<F> {
    /// Whether there is one of those that were told last.
    pub(super) fn any(&self, slots: &[Slot]) -> bool {
        (0..).zip(slots).any(|(slot, state)| state.live && (self.over)(slot, state))
    }

    /// Tells the ends of all series that were told and are over.
    pub(super) fn write(&self, plan: &Plan, work: &mut Work<'_>) {
        work.each_metric(plan, |metric, path, work| match metric.data {
            Data::Gauge | Data::Sum { .. } => self.numbers(plan, metric, path, work),
            Data::Histogram => self.composites(plan, metric, HISTOGRAM, &path, work),
            Data::Summary => self.composites(plan, metric, SUMMARY, &path, work),
            // A metric has points of one kind.
            Data::Native => {
                for data in [EXPONENTIAL_HISTOGRAM, HISTOGRAM] {
                    self.composites(plan, metric, data, &path, work);
                    work.body.end_metric();
                }
            }
        });
    }

    /// The series of a slot if it was told and is over; from now on it has ended. A stream of deltas only stops.
    fn over(&self, slot: u32, work: &mut Work<'_>) -> Option<Slot> {
        let state = work.slots.get_mut(slot as usize)?;
        let ended = state.live && (self.over)(slot, state);
        state.live &= !ended;
        ended.then_some(*state)
    }

    fn time_ns(&self, state: &Slot) -> u64 {
        self.time_ns.max(state.last_ns + 1_000_000)
    }

    fn numbers(&self, plan: &Plan, metric: &Metric, path: Path<'_>, work: &mut Work<'_>) {
        let (data, how) = number::kind(metric.data, self.delta);
        let path = Path { data, how, ..path };
        for number in &plan.numbers[metric.points.clone()] {
            if let Some(state) = self.over(number.slot, work)
                && !number::is_delta(metric.data, self.delta)
            {
                let attributes = &plan.blobs[state.at as usize..][..state.len as usize];
                number::write_end(work, &path, &state, self.time_ns(&state), attributes);
            }
        }
    }

    fn composites(&self, plan: &Plan, metric: &Metric, data: u32, path: &Path<'_>, work: &mut Work<'_>) {
        let how = if data == SUMMARY { &[] } else { CUMULATIVE };
        let path = Path { data, how, ..*path };
        for composite in &plan.composites[metric.points.clone()] {
            let is_native = metric.data == Data::Native;
            let custom = work.slots.get(composite.lead as usize).is_some_and(|state| state.custom);
            if is_native && custom != (data == HISTOGRAM) {
                continue;
            }
            if let Some(state) = self.over(composite.lead, work)
                && (!self.delta || data == SUMMARY)
            {
                work.end(plan, &state, &path, self.time_ns(&state));
            }
        }
    }
}

impl Work<'_> {
    /// Writes a point of a histogram or a summary that has ended.
    pub(super) fn end(&mut self, plan: &Plan, state: &Slot, path: &Path<'_>, time_ns: u64) {
        let (flags, counts) = match path.data {
            SUMMARY => (SUMMARY_FLAGS, Counts::Sample),
            HISTOGRAM => (HISTOGRAM_FLAGS, Counts::Histogram),
            _ => (EXPONENTIAL_FLAGS, Counts::Histogram),
        };
        let attributes = &plan.blobs[state.at as usize..][..state.len as usize];
        let point = &mut self.buckets.point;
        point.clear();
        wire::fixed64(point, START, state.start_ns);
        wire::fixed64(point, TIME, time_ns);
        wire::number(point, flags, 1);
        let of_exponential =
            attributes.first().is_some_and(|tag| u32::from(tag >> 3) == EXPONENTIAL_ATTRIBUTES);
        if of_exponential && path.data == HISTOGRAM {
            retag(point, attributes);
        } else {
            point.extend_from_slice(attributes);
        }
        self.buckets.exemplars.clear();
        self.write_point(path, counts);
    }
}
