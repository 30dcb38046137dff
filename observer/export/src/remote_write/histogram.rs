//! Native histograms as both versions write them: their messages have the same fields.
//! <https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto>

use observer_aggregate::native::{Buckets, Native, Span};

use super::wire::number;
use crate::wire::{self, varint_len, zigzag};

/// The reset hint of a histogram whose counts may fall.
const GAUGE: u64 = 3;

/// Writes the fields of a histogram's message. `start_ms`: when it began to count, 0 if nobody knows.
pub(crate) fn write(out: &mut Vec<u8>, native: &Native, time_ms: i64, start_ms: i64) {
    let Native { schema, gauge, float, zero_threshold, zero_count, count, sum, positive, negative, bounds } =
        native;
    let whole = !float && is_whole(native);
    count_field(out, whole, (1, 2), *count);
    wire::double(out, 3, *sum);
    number(out, 4, zigzag((*schema).into()));
    wire::double(out, 5, *zero_threshold);
    count_field(out, whole, (6, 7), *zero_count);
    buckets(out, negative, whole, [8, 9, 10]);
    buckets(out, positive, whole, [11, 12, 13]);
    if *gauge {
        number(out, 14, GAUGE);
    }
    number(out, 15, time_ms.cast_unsigned());
    if !bounds.is_empty() {
        doubles(out, 16, bounds);
    }
    start(out, start_ms);
}

/// The end of a series of histograms: no bucket, and a sum that is the stale marker.
pub(crate) fn write_stale(out: &mut Vec<u8>, stale: f64, time_ms: i64) {
    wire::number(out, 1, 0);
    wire::double(out, 3, stale);
    wire::number(out, 6, 0);
    number(out, 15, time_ms.cast_unsigned());
}

fn start(out: &mut Vec<u8>, start_ms: i64) {
    if start_ms != 0 {
        wire::number(out, 17, start_ms.cast_unsigned());
    }
}

/// Counts of a histogram of integers that are none are sent as floats rather than changed.
fn is_whole(native: &Native) -> bool {
    // The largest range in which every integer is a float of its own, and differences fit too.
    let whole = |count: &f64| *count >= 0.0 && *count <= 9_007_199_254_740_992.0 && count.fract() == 0.0;
    let Native { zero_count, count, positive, negative, .. } = native;
    [zero_count, count].into_iter().chain(&positive.counts).chain(&negative.counts).all(whole)
}

fn count_field(out: &mut Vec<u8>, whole: bool, fields: (u32, u32), count: f64) {
    if whole {
        wire::number(out, fields.0, count as u64);
    } else {
        wire::double(out, fields.1, count);
    }
}

fn doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    wire::tag(out, field, wire::BYTES);
    wire::varint(out, 8 * values.len() as u64);
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Spans, and either the differences of whole counts or the counts.
fn buckets(out: &mut Vec<u8>, buckets: &Buckets, whole: bool, [span, delta, count]: [u32; 3]) {
    let Buckets { spans, counts } = buckets;
    for Span { offset, length } in spans {
        let (offset, length) = (zigzag((*offset).into()), u64::from(*length));
        let size = [offset, length].into_iter().filter(|n| *n != 0).map(|n| 1 + varint_len(n)).sum::<usize>();
        wire::tag(out, span, wire::BYTES);
        wire::varint(out, size as u64);
        number(out, 1, offset);
        number(out, 2, length);
    }
    if counts.is_empty() {
        return;
    }
    if !whole {
        return doubles(out, count, counts);
    }
    wire::tag(out, delta, wire::BYTES);
    wire::varint(out, deltas(counts).map(|delta| varint_len(delta) as u64).sum());
    for delta in deltas(counts) {
        wire::varint(out, delta);
    }
}

fn deltas(counts: &[f64]) -> impl Iterator<Item = u64> {
    let mut before = 0;
    counts.iter().map(move |count| {
        let count = *count as i64;
        zigzag(count - std::mem::replace(&mut before, count))
    })
}
