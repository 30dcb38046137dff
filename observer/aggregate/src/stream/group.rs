//! What a group of series adds up to.

use std::sync::Arc;

use super::{plan::Plan, sketch::Sketch};

/// The counters of new series count from zero.
const COUNT_FIRST: u8 = 1;
/// There are figures beside these.
const DETAIL: u8 = 2;
/// At least one member is a counter.
const COUNTER: u8 = 4;

/// What each sample changes: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Hot {
    pub increase: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub last: f64,
    pub count: u64,
    /// The tick of the latest sample.
    pub seen: u32,
    /// Ticks that a counter's last value is good for.
    staleness: u32,
    flags: u8,
}

/// Figures of the interval that not every rule wants.
#[derive(Debug)]
pub(super) struct Detail {
    /// Mean and sum of squared distances from it, if wanted.
    moments: Option<[f64; 2]>,
    pub sketch: Option<Sketch>,
    bounds: Arc<[f64]>,
    /// One a bound and one for what is above, not cumulative.
    buckets: Box<[u64]>,
}

/// What outlives the interval.
#[derive(Debug, Default)]
pub(super) struct Cumulative {
    pub total: f64,
    pub buckets: Box<[u64]>,
    pub sum: f64,
    pub count: u64,
}

impl Hot {
    /// A group without samples, which is stale.
    pub(super) fn new(plan: &Plan, count_first: bool) -> Self {
        let detail = plan.moments || plan.quantiles || !plan.bounds.is_empty();
        let flags = if detail { DETAIL } else { 0 } | if count_first { COUNT_FIRST } else { 0 };
        Self { staleness: plan.staleness, flags, ..Self::EMPTY }
    }

    const EMPTY: Self = Self {
        increase: 0.0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        last: 0.0,
        count: 0,
        seen: 0,
        staleness: 0,
        flags: 0,
    };

    /// Adds a sample. True if [`Detail`] wants it too.
    #[inline]
    pub(super) fn add(&mut self, value: f64, tick: u32) -> bool {
        self.sum += value;
        self.count += 1;
        self.last = value;
        self.seen = tick;
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
        self.flags & DETAIL != 0
    }

    /// Adds what a counter has risen by since its last sample, `gap` ticks ago.
    #[inline]
    pub(super) fn rise(&mut self, rise: f64, value: f64, gap: u32) {
        if gap <= self.staleness {
            self.increase += rise;
        } else if self.flags & COUNT_FIRST != 0 {
            self.increase += value;
        }
    }

    pub(super) fn has_detail(&self) -> bool {
        self.flags & DETAIL != 0
    }

    pub(super) fn count_first(&mut self) {
        self.flags |= COUNT_FIRST;
    }

    /// Notes that a member is a counter.
    pub(super) fn has_counter(&mut self) {
        self.flags |= COUNTER;
    }

    pub(super) fn is_counter(&self) -> bool {
        self.flags & COUNTER != 0
    }

    /// Adds what another group got in the same interval.
    pub(super) fn merge(&mut self, other: &Self) {
        self.flags |= other.flags & COUNTER;
        self.increase += other.increase;
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.count > 0 && other.seen >= self.seen {
            self.last = other.last;
        }
        self.seen = self.seen.max(other.seen);
    }

    /// Begins the next interval.
    pub(super) fn clear(&mut self) {
        let Self { seen, staleness, flags, .. } = *self;
        *self = Self { seen, staleness, flags, ..Self::EMPTY };
    }

    /// Whether there was no sample for longer than the rule bears.
    pub(super) fn is_stale(&self, tick: u32) -> bool {
        self.count == 0 && tick - self.seen > self.staleness
    }
}

impl Detail {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            moments: plan.moments.then_some([0.0; 2]),
            sketch: plan.quantiles.then(Sketch::new),
            bounds: Arc::clone(&plan.bounds),
            buckets: counts(&plan.bounds),
        }
    }

    /// Adds the sample that is the `count`th of the interval.
    pub(super) fn add(&mut self, value: f64, count: u64) {
        if let Some([mean, squares]) = &mut self.moments {
            // Welford's method: it does not lose small distances behind large values.
            let distance = value - *mean;
            *mean += distance / count as f64;
            *squares += distance * (value - *mean);
        }
        if let Some(sketch) = &mut self.sketch {
            sketch.add(value);
        }
        if !self.buckets.is_empty() {
            // Without branches: a dozen comparisons cost less than one jump that was not foreseen.
            let below: usize = self.bounds.iter().map(|&bound| usize::from(bound < value)).sum();
            self.buckets[below] += 1;
        }
    }

    /// Adds what another group got in the same interval; the counts are what each had of samples before.
    pub(super) fn merge(&mut self, count: u64, other: &Self, others: u64) {
        if let (Some([mean, squares]), Some([other_mean, other_squares])) = (&mut self.moments, other.moments)
            && others > 0
        {
            // Chan, Golub and LeVeque: the moments of two parts.
            let (own, others) = (count as f64, others as f64);
            let distance = other_mean - *mean;
            *mean += distance * others / (own + others);
            *squares += other_squares + distance * distance * own * others / (own + others);
        }
        if let (Some(sketch), Some(other)) = (&mut self.sketch, &other.sketch) {
            sketch.merge(other);
        }
        add_all(&mut self.buckets, &other.buckets);
    }

    pub(super) fn deviation(&self, count: u64) -> Option<f64> {
        self.moments.map(|[_, squares]| (squares / count as f64).sqrt())
    }

    pub(super) fn clear(&mut self) {
        let Self { moments, sketch, bounds: _, buckets } = self;
        *moments = moments.map(|_| [0.0; 2]);
        buckets.fill(0);
        if let Some(sketch) = sketch {
            sketch.clear();
        }
    }
}

impl Cumulative {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { buckets: counts(&plan.bounds), ..Self::default() }
    }

    /// Adds an interval.
    pub(super) fn add(&mut self, hot: &Hot, detail: Option<&Detail>) {
        self.total += hot.increase;
        if let Some(detail) = detail.filter(|_| !self.buckets.is_empty()) {
            add_all(&mut self.buckets, &detail.buckets);
            self.sum += hot.sum;
            self.count += hot.count;
        }
    }

    pub(super) fn clear(&mut self) {
        let Self { total, buckets, sum, count } = self;
        (*total, *sum, *count) = (0.0, 0.0, 0);
        buckets.fill(0);
    }
}

/// Zeros, one a bucket: one more than there are bounds, or none.
fn counts(bounds: &[f64]) -> Box<[u64]> {
    let buckets = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
    vec![0; buckets].into_boxed_slice()
}

fn add_all(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
