//! Bucket arithmetic: which bucket of a Prometheus native histogram, schema 2, a duration in nanoseconds falls into.
//!
//! Schema 2 (OTLP: scale 2) has its bounds at 2^(k/4) **seconds**, four an octave, each bucket including its upper bound.
//! Powers of two of nanoseconds are not among them (2^10 ns is 1.024 µs, 2^-20 s is 0.954 µs), so buckets cut at those could
//! only be exported with an error. The buckets here are the exported ones:
//!
//! | index | values | exported as |
//! |---|---|---|
//! | 0 | up to 2^-20 s, 953.67 ns | the zero bucket, whose threshold is then [`ZERO_THRESHOLD_SECONDS`] |
//! | 1 to 104 | above 2^((i-1)/4 - 20) s, up to 2^(i/4 - 20) s | index [`native_index`] = i - 80 |
//! | 105 | above 64 s | index 25, the next one: the only bucket whose upper bound is not kept |
//!
//! A whole number of nanoseconds is at most an irrational bound when it is at most the bound's whole part, so integers decide
//! all of it without error. Doubling the value until it lies in the top octave, (32 s, 64 s], loses nothing either: what was
//! doubled is the bucket's octave, and what is left is compared with that octave's three inner bounds.

/// The number of buckets: one below, 4 an octave for 26 octaves, one above.
pub const BUCKETS: usize = 106;

/// The schema of Prometheus native histograms, and the scale of OTLP exponential ones, that the bounds belong to.
pub const SCHEMA: i32 = 2;

/// The upper bound of bucket 0: 2^-20 s.
#[cfg(not(target_arch = "bpf"))]
pub const ZERO_THRESHOLD_SECONDS: f64 = 1.0 / 1_048_576.0;

/// The largest whole number of nanoseconds in each bucket but the last, which has no bound.
pub const UPPER_BOUNDS_NS: [u64; BUCKETS - 1] = {
    let mut bounds = [0; BUCKETS - 1];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = match index.checked_sub(1) {
            // The whole part of a fraction is that of its whole part's fraction, so the shift is exact.
            Some(above) => TOP_OCTAVE_NS[above % 4] >> (25 - above / 4),
            None => MIN_NS,
        };
        index += 1;
    }
    bounds
};

/// The whole parts of 32 s times 2^(1/4), 2^(2/4), 2^(3/4) and 2, in nanoseconds.
const TOP_OCTAVE_NS: [u64; 4] = [38_054_627_680, 45_254_833_995, 53_817_370_576, MAX_NS];

/// The whole part of 2^-20 s.
const MIN_NS: u64 = 953;

/// 2^6 s.
const MAX_NS: u64 = 64_000_000_000;

/// The bucket of a duration, below [`BUCKETS`].
///
/// Straight-line code: the verifier walks one path, where each branch would give it another one, with all that follows. There is
/// no multiplication, no `leading_zeros` (BPF has no instruction for it), and no table. The verifier knows no more of the result
/// than that it is a byte.
#[inline(always)]
#[must_use]
pub const fn bucket_of(ns: u64) -> u8 {
    // Whatever the top bit makes negative counts as the longest time.
    let ns = (ns | (ns.cast_signed() >> 63).cast_unsigned()) & (u64::MAX >> 1);
    let above = 1 - at_most(ns, MAX_NS);
    let (ns, octaves) = double(ns, 0, 4);
    let (ns, octaves) = double(ns, octaves, 3);
    let (ns, octaves) = double(ns, octaves, 2);
    let (ns, octaves) = double(ns, octaves, 1);
    let (ns, octaves) = double(ns, octaves, 0);
    let quarters =
        at_most(ns, TOP_OCTAVE_NS[0]) + at_most(ns, TOP_OCTAVE_NS[1]) + at_most(ns, TOP_OCTAVE_NS[2]);
    // Up to 31 octaves and 3 quarters below the bucket that ends at 64 s; what is below bucket 0 belongs to it.
    let bucket = (104 + above).wrapping_sub(4 * octaves + quarters).cast_signed();
    (bucket & !(bucket >> 63)) as u8
}

/// Doubles a value `2^log` times if it then still is at most 64 s.
#[inline(always)]
const fn double(ns: u64, octaves: u64, log: u32) -> (u64, u64) {
    let by = at_most(ns, MAX_NS >> (1 << log)) << log;
    (ns << by, octaves + by)
}

/// 1 if the value is at most the bound, else 0. Both are below 2^63, so the borrow is the answer.
#[inline(always)]
const fn at_most(ns: u64, bound: u64) -> u64 {
    ns.wrapping_sub(bound + 1) >> 63
}

/// The index of a bucket in a native histogram of schema [`SCHEMA`], whose upper bound is 2^(index/4) s. An OTLP index is
/// one less: there it names the lower bound. Bucket 0 is the zero bucket and has none.
#[must_use]
pub const fn native_index(bucket: usize) -> Option<i32> {
    match bucket {
        1..BUCKETS => Some(bucket as i32 - 80),
        _ => None,
    }
}

/// The upper bound of a bucket in seconds: 2^(bucket/4 - 20), or nothing for the last.
#[cfg(not(target_arch = "bpf"))]
#[must_use]
pub const fn upper_bound_seconds(bucket: usize) -> Option<f64> {
    use core::f64::consts::SQRT_2;

    const ROOTS: [f64; 4] = [1.0, 1.189_207_115_002_721, SQRT_2, 1.681_792_830_507_429];
    if bucket >= BUCKETS - 1 {
        return None;
    }
    // A power of two has an empty mantissa, and multiplying by it is exact.
    let octave = f64::from_bits((1023 - 20 + bucket as u64 / 4) << 52);
    Some(ROOTS[bucket % 4] * octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `ns` is at most 2^(bucket/4 - 20) s, without rounding: `ns^4 · 2^80 <= 10^36 · 2^bucket`, in 256 bits.
    fn is_within(ns: u64, bucket: usize) -> bool {
        let left = u128::from(ns).pow(2) << 40;
        let right = [bucket / 2, bucket - bucket / 2].map(|twos| 10_u128.pow(18) << twos);
        let (left_low, left_high) = left.carrying_mul(left, 0);
        let (right_low, right_high) = right[0].carrying_mul(right[1], 0);
        (left_high, left_low) <= (right_high, right_low)
    }

    #[track_caller]
    fn check(ns: u64, bucket: u8) {
        assert_eq!(bucket_of(ns), bucket, "{ns} ns");
    }

    #[test]
    fn bounds_are_the_whole_parts_of_the_exact_ones() {
        for (bucket, &bound) in UPPER_BOUNDS_NS.iter().enumerate() {
            assert!(is_within(bound, bucket), "bucket {bucket}: {bound} ns is above its bound");
            assert!(
                !is_within(bound + 1, bucket),
                "bucket {bucket}: {bound} ns is not the last one below its bound"
            );
        }
    }

    #[test]
    fn each_bucket_begins_after_the_bound_below_it_and_includes_its_own() {
        for (bucket, &bound) in UPPER_BOUNDS_NS.iter().enumerate() {
            check(bound - 1, bucket as u8);
            check(bound, bucket as u8);
            check(bound + 1, bucket as u8 + 1);
        }
    }

    #[test]
    fn index_agrees_with_the_logarithm_away_from_the_bounds() {
        let mut ns = 954.0_f64;
        while ns < 64e9 {
            let index = 4.0 * (ns.floor() / 1e9).log2() + 80.0;
            // Where a double cannot tell which side of a bound the value is on, the exact test above decides.
            if (index - index.round()).abs() > 1e-9 {
                check(ns as u64, index.ceil() as u8);
            }
            ns *= 1.000_1;
        }
    }

    #[test]
    fn ends_take_what_is_outside() {
        check(0, 0);
        check(u64::MAX, 105);
        check(u64::MAX / 2, 105);
    }

    #[test]
    fn seconds_are_the_bounds_of_the_native_schema() {
        for (bucket, &bound) in UPPER_BOUNDS_NS.iter().enumerate() {
            let seconds = upper_bound_seconds(bucket).unwrap_or(f64::NAN);
            assert_eq!((seconds * 1e9).floor() as u64, bound, "bucket {bucket}");
            if let Some(index) = native_index(bucket) {
                assert!((seconds.log2() * 4.0 - f64::from(index)).abs() < 1e-12, "bucket {bucket}");
            }
        }
        assert_eq!(upper_bound_seconds(0), Some(ZERO_THRESHOLD_SECONDS));
        assert_eq!(upper_bound_seconds(104), Some(64.0));
        assert_eq!(upper_bound_seconds(105), None);
        assert_eq!([native_index(0), native_index(80), native_index(105)], [None, Some(0), Some(25)]);
    }
}
