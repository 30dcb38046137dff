//! Quantiles of a stream of samples in fixed memory.
//!
//! Up to [`EXACT`] samples are kept as they are. Past that they are counted in buckets of a base-2 logarithm cut linearly:
//! 2^scale buckets to each octave, so that a sample is off by at most 2^-(scale+1) of itself. The scale begins at [`FINEST`] and
//! falls by one whenever the samples of one sign span more buckets than there are: four octaves at 0.4 %, eight at 0.8 %, sixteen at
//! 1.6 %, and so on. Two sketches merge into what one would be that saw the samples of both.

/// Samples kept as they are.
pub(super) const EXACT: usize = 256;
/// Buckets of each sign.
const BUCKETS: usize = 512;
/// The first scale: 128 buckets an octave.
const FINEST: u32 = 7;
/// Bits of a double's fraction.
const FRACTION: u32 = 52;
/// Magnitudes below count as zero, 2^-64.
const SMALLEST: f64 = 1.0 / 18_446_744_073_709_551_616.0;
/// The last magnitude with a bucket of its own, next below 2^64.
const LARGEST: f64 = 18_446_744_073_709_549_568.0;

/// The samples of one interval.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    exact: Vec<f64>,
    /// Whether the buckets hold the samples.
    poured: bool,
    scale: u32,
    zeros: u64,
    /// By sign: not negative, negative.
    sides: [Side; 2],
}

/// Counts of one sign's magnitudes. The bucket of an index is its remainder, as all indices lie within [`BUCKETS`].
#[derive(Clone, Debug)]
struct Side {
    counts: Box<[u32; BUCKETS]>,
    /// First and last index in use; first above last when there is none.
    first: u64,
    last: u64,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            exact: Vec::with_capacity(EXACT),
            poured: false,
            scale: FINEST,
            zeros: 0,
            sides: [Side::new(), Side::new()],
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        if self.poured {
            self.count(value);
        } else if self.exact.len() < EXACT {
            self.exact.push(value);
        } else {
            self.pour();
            self.count(value);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if !other.poured {
            other.exact.iter().for_each(|&value| self.add(value));
            return;
        }
        self.pour();
        self.zeros += other.zeros;
        while self.scale > other.scale {
            self.coarsen();
        }
        for sign in 0..2 {
            let side = &other.sides[sign];
            for index in side.first..=side.last {
                let count = side.counts[slot(index)];
                if count > 0 {
                    self.raise(sign, index, other.scale, count);
                }
            }
        }
    }

    /// Forgets the samples.
    pub(super) fn clear(&mut self) {
        let Self { exact, poured, scale, zeros, sides } = self;
        exact.clear();
        if *poured {
            sides.iter_mut().for_each(Side::clear);
            (*poured, *scale, *zeros) = (false, FINEST, 0);
        }
    }

    /// Brings the samples in order, for [`Self::quantile`].
    pub(super) fn sort(&mut self) {
        self.exact.sort_unstable_by(f64::total_cmp);
    }

    /// The quantile of samples that [`Self::sort`] has put in order, between the two neighbours in rank on a straight line as
    /// in PromQL. `min` and `max` are of the same samples.
    pub(super) fn quantile(&self, q: f64, min: f64, max: f64) -> Option<f64> {
        let count = self.len();
        let rank = q * count.checked_sub(1)? as f64;
        let below = self.at(rank as u64).clamp(min, max);
        let above = self.at((rank as u64 + 1).min(count - 1)).clamp(min, max);
        Some(below + (above - below) * rank.fract())
    }

    /// How far a quantile can be from its place, as a share of itself. 0 while the samples are kept.
    #[cfg(test)]
    fn relative_error(&self) -> f64 {
        if self.poured { 0.5 / f64::from(1_u32 << self.scale) } else { 0.0 }
    }

    fn len(&self) -> u64 {
        if self.poured {
            self.zeros + self.sides.iter().map(Side::len).sum::<u64>()
        } else {
            self.exact.len() as u64
        }
    }

    /// The sample of a rank, counted from 0.
    fn at(&self, rank: u64) -> f64 {
        if !self.poured {
            return self.exact[rank as usize];
        }
        let [positive, negative] = &self.sides;
        let negatives = negative.len();
        if rank < negatives {
            // The largest magnitude is the smallest value.
            -middle(negative.index_of(negatives - 1 - rank), self.scale)
        } else if rank < negatives + self.zeros {
            0.0
        } else {
            middle(positive.index_of(rank - negatives - self.zeros), self.scale)
        }
    }

    fn pour(&mut self) {
        if self.poured {
            return;
        }
        self.poured = true;
        for at in 0..self.exact.len() {
            self.count(self.exact[at]);
        }
    }

    fn count(&mut self, value: f64) {
        let magnitude = value.abs();
        if magnitude < SMALLEST {
            self.zeros += 1;
        } else {
            let index = magnitude.min(LARGEST).to_bits() >> (FRACTION - FINEST);
            self.raise(usize::from(value < 0.0), index, FINEST, 1);
        }
    }

    /// Counts in the bucket that an index of another scale, finer or the same, falls into.
    fn raise(&mut self, sign: usize, index: u64, scale: u32, count: u32) {
        loop {
            let index = index >> (scale - self.scale);
            let side = &mut self.sides[sign];
            let (first, last) = (side.first.min(index), side.last.max(index));
            if last - first < BUCKETS as u64 {
                (side.first, side.last) = (first, last);
                let bucket = &mut side.counts[slot(index)];
                *bucket = bucket.saturating_add(count);
                return;
            }
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.scale -= 1;
        self.sides.iter_mut().for_each(Side::halve);
    }
}

impl Side {
    fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), first: u64::MAX, last: 0 }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        (self.first, self.last) = (u64::MAX, 0);
    }

    fn len(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Merges each two neighbours.
    fn halve(&mut self) {
        if self.first > self.last {
            return;
        }
        let fine = *self.counts;
        self.counts.fill(0);
        for index in self.first..=self.last {
            let bucket = &mut self.counts[slot(index >> 1)];
            *bucket = bucket.saturating_add(fine[slot(index)]);
        }
        (self.first, self.last) = (self.first >> 1, self.last >> 1);
    }

    /// The index of the bucket that holds the magnitude of a rank, counted from 0.
    fn index_of(&self, rank: u64) -> u64 {
        let mut below = 0;
        (self.first..=self.last)
            .find(|&index| {
                below += u64::from(self.counts[slot(index)]);
                below > rank
            })
            .unwrap_or(self.last)
    }
}

fn slot(index: u64) -> usize {
    index as usize % BUCKETS
}

fn middle(index: u64, scale: u32) -> f64 {
    let bound = |index: u64| f64::from_bits(index << (FRACTION - scale));
    f64::midpoint(bound(index), bound(index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::new();
        values.iter().for_each(|&value| sketch.add(value));
        sketch.sort();
        sketch
    }

    /// Quantiles lie between the neighbours in rank, give or take the error.
    #[track_caller]
    fn check(values: &[f64], most: f64) {
        let sketch = sketch(values);
        check_sketch(&sketch, values, most);
    }

    #[track_caller]
    fn check_sketch(sketch: &Sketch, values: &[f64], most: f64) {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        let error = sketch.relative_error();
        assert!(error <= most, "the error is {error}");
        for q in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
            let rank = q * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            let truth = below + (above - below) * rank.fract();
            let slack = error * below.abs().max(above.abs()) * (1.0 + 1e-12);
            let found = sketch.quantile(q, min, max).unwrap();
            assert!((found - truth).abs() <= slack, "{q}: {found}, expected {truth} within {slack}");
        }
    }

    #[test]
    fn few_samples_are_exact() {
        check(&[3.0], 0.0);
        check(&[3.0, -1.0, 2.0], 0.0);
        check(&(0..EXACT).map(|n| n as f64 * 0.37).collect::<Vec<_>>(), 0.0);
        assert_eq!(sketch(&[1.0, 2.0]).quantile(0.5, 1.0, 2.0), Some(1.5));
        assert_eq!(sketch(&[]).quantile(0.5, 0.0, 0.0), None);
    }

    #[test]
    fn many_samples_have_the_stated_error() {
        let spread = |octaves: f64| -> Vec<f64> {
            (0..5_000).map(|n| (f64::from(n) / 5_000.0 * octaves).exp2() * 0.01).collect()
        };
        check(&spread(3.9), 0.004);
        check(&spread(7.9), 0.008);
        check(&spread(15.9), 0.016);
        check(&spread(31.9), 0.032);
        check(&spread(63.9), 0.063);
    }

    #[test]
    fn signs_and_zeros_are_told_apart() {
        let values: Vec<f64> = (-600..900).map(|n| f64::from(n / 2)).collect();
        check(&values, 0.016);
        check(&[0.0; 700], 0.004);
        check(&[-7.5; 700], 0.004);
    }

    #[test]
    fn what_has_no_bucket_stays_within_the_ends() {
        let mut values = vec![1e300; 300];
        values.extend([1e-300; 300]);
        let sketch = sketch(&values);
        assert_eq!(sketch.quantile(0.0, 1e-300, 1e300), Some(1e-300));
        let largest = sketch.quantile(1.0, 1e-300, 1e300).unwrap();
        assert!((1e19..=1e300).contains(&largest), "{largest}");
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let values: Vec<f64> = (0..3_000).map(|n| f64::from(n % 977) - 300.0).collect();
        for cut in [10, 256, 1_500, 2_990] {
            let (first, second) = values.split_at(cut);
            let mut merged = sketch(first);
            merged.merge(&sketch(second));
            check_sketch(&merged, &values, 0.016);
        }
    }

    #[test]
    fn a_cleared_sketch_is_a_new_one() {
        let mut used = sketch(&(0..1_000).map(|n| f64::from(n).exp2()).collect::<Vec<_>>());
        used.clear();
        assert_eq!(used.quantile(0.5, 0.0, 0.0), None);
        (0..1_000).for_each(|n| used.add(f64::from(n) + 1_000.0));
        assert_eq!(used.relative_error(), 0.5 / 128.0);
    }
}
