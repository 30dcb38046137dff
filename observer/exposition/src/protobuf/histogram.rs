//! Histograms, classic and native.
//! <https://prometheus.io/docs/specs/native_histograms/>

use super::{
    Error, Exemplar, Reason,
    metric::{repeated, timestamp_ms},
    wire::{Field, Message},
};

/// A histogram: with classic buckets, native ones, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Histogram<'a> {
    /// Observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// When it was empty, in milliseconds since the Unix epoch.
    pub created_ms: Option<i64>,
    /// The native part, if it has one.
    pub native: Option<Native<'a>>,
    message: Message<'a>,
}

/// A classic bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<'a> {
    /// The upper bound, which belongs to the bucket.
    pub upper_bound: f64,
    /// Observations up to it.
    pub cumulative_count: f64,
    /// One of them.
    pub exemplar: Option<Exemplar<'a>>,
}

/// The native part of a histogram. Buckets lie between powers of `2^(2^-schema)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Native<'a> {
    /// From -4 to 8.
    pub schema: i32,
    /// Counts need not be whole numbers.
    pub float: bool,
    /// Values up to this, below or above zero, are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Buckets of values above zero.
    pub positive: Buckets<'a>,
    /// Buckets of values below zero, by their absolute values.
    pub negative: Buckets<'a>,
}

/// The buckets of one sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets<'a> {
    histogram: Message<'a>,
    /// The numbers of the fields.
    spans: u32,
    deltas: u32,
    counts: u32,
}

/// Buckets without one left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Buckets left out behind the span before; of the first span the index of its first bucket.
    pub offset: i32,
    /// Its buckets.
    pub length: u32,
}

impl<'a> Histogram<'a> {
    pub(super) fn read(message: Message<'a>) -> Result<Self, Error> {
        let (mut count, mut float_count, mut sum, mut created_ms) = (0, 0.0, 0.0, None);
        let (mut schema, mut zero_threshold, mut zero_count, mut float_zero_count) = (0, 0.0, 0, 0.0);
        let (mut native, mut schema_is_valid) = (false, true);
        let mut fields = message;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => count = field.varint()?,
                2 => sum = field.double()?,
                3 => drop(Bucket::read(&field)?),
                4 => float_count = field.double()?,
                5 => {
                    schema = field.zigzag32()?;
                    schema_is_valid = (-4..=8).contains(&schema);
                }
                6 => zero_threshold = field.double()?,
                7 => zero_count = field.varint()?,
                8 => float_zero_count = field.double()?,
                9 | 12 => {
                    native = true;
                    Span::read(&field)?;
                }
                10 | 13 => field.zigzags(drop)?,
                11 | 14 => field.doubles(drop)?,
                15 => created_ms = Some(timestamp_ms(&field)?),
                16 => drop(Exemplar::read(&field)?),
                _ => {}
            }
        }
        // A classic histogram has nothing of these.
        native |= zero_threshold > 0.0 || zero_count > 0 || float_zero_count > 0.0;
        let native = native.then_some(Native {
            schema,
            // As Prometheus tells them apart (`model/textparse/protobufparse.go`).
            float: float_count > 0.0 || float_zero_count > 0.0,
            zero_threshold,
            zero_count: either(zero_count, float_zero_count),
            positive: Buckets { histogram: message, spans: 12, deltas: 13, counts: 14 },
            negative: Buckets { histogram: message, spans: 9, deltas: 10, counts: 11 },
        });
        if let Some(native) = &native {
            if !schema_is_valid {
                return Err(message.fail(Reason::Schema));
            }
            native.positive.check()?;
            native.negative.check()?;
        }
        Ok(Self { count: either(count, float_count), sum, created_ms, native, message })
    }

    /// The classic buckets in their order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket<'a>> + use<'a> {
        repeated(self.message, 3, Bucket::read)
    }

    /// The exemplars of the histogram as a whole, as native ones have them.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + use<'a> {
        repeated(self.message, 16, Exemplar::read)
    }
}

impl<'a> Bucket<'a> {
    fn read(field: &Field<'a>) -> Result<Self, Error> {
        let (mut count, mut float_count, mut upper_bound, mut exemplar) = (0, 0.0, 0.0, None);
        let mut fields = field.message()?;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => count = field.varint()?,
                2 => upper_bound = field.double()?,
                3 => exemplar = Some(Exemplar::read(&field)?),
                4 => float_count = field.double()?,
                _ => {}
            }
        }
        Ok(Self { upper_bound, cumulative_count: either(count, float_count), exemplar })
    }
}

impl<'a> Buckets<'a> {
    /// The spans in their order.
    pub fn spans(&self) -> impl Iterator<Item = Span> + use<'a> {
        repeated(self.histogram, self.spans, Span::read)
    }

    /// What each bucket has more than the one before, of a histogram that counts whole observations.
    pub fn for_each_delta(&self, each: impl FnMut(i64)) {
        let mut each = each;
        for_each(self.histogram, self.deltas, |field| field.zigzags(&mut each));
    }

    /// Each bucket's index and its observations. Bucket `i` ends at `2^(i * 2^-schema)`, which belongs to it.
    pub fn for_each(&self, mut each: impl FnMut(i32, f64)) {
        let mut indexes = self.indexes();
        let mut count = 0_i64;
        for_each(self.histogram, self.deltas, |field| {
            field.zigzags(|delta| {
                count = count.wrapping_add(delta);
                if let Some(index) = indexes.next() {
                    each(index, count as f64);
                }
            })
        });
        for_each(self.histogram, self.counts, |field| {
            field.doubles(|count| {
                if let Some(index) = indexes.next() {
                    each(index, count);
                }
            })
        });
    }

    fn indexes(&self) -> impl Iterator<Item = i32> + use<'a> {
        let mut next = 0_i32;
        self.spans().flat_map(move |Span { offset, length }| {
            let first = next.wrapping_add(offset);
            next = first.wrapping_add_unsigned(length);
            (0..length).map(move |index| first.wrapping_add_unsigned(index))
        })
    }

    /// As many buckets as the spans say, each with at least nothing in it.
    fn check(&self) -> Result<(), Error> {
        let fail = |reason| Err(self.histogram.fail(reason));
        let (mut end, mut wanted, mut behind_first) = (0_i64, 0_u64, false);
        for Span { offset, length } in self.spans() {
            // Only the first span may start below zero.
            if behind_first && offset < 0 {
                return fail(Reason::Spans);
            }
            behind_first = true;
            end += i64::from(offset) + i64::from(length);
            wanted += u64::from(length);
            if i32::try_from(end).is_err() {
                return fail(Reason::Spans);
            }
        }
        let (mut deltas, mut counts) = (0, 0);
        let (mut count, mut negative) = (0_i64, false);
        for_each(self.histogram, self.deltas, |field| {
            field.zigzags(|delta| {
                deltas += 1;
                let sum = count.checked_add(delta);
                negative |= sum.is_none_or(|sum| sum < 0);
                count = sum.unwrap_or(0);
            })
        });
        for_each(self.histogram, self.counts, |field| {
            field.doubles(|count| {
                counts += 1;
                negative |= count.is_nan() || count < 0.0;
            })
        });
        if deltas.max(counts) != wanted || deltas.min(counts) != 0 {
            return fail(Reason::Spans);
        }
        if negative { fail(Reason::BucketCount) } else { Ok(()) }
    }
}

impl Span {
    fn read(field: &Field<'_>) -> Result<Self, Error> {
        let mut span = Self::default();
        let mut fields = field.message()?;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => span.offset = field.zigzag32()?,
                2 => {
                    let length = u32::try_from(field.varint()?);
                    span.length = length.map_err(|_| field.fail(Reason::Varint))?;
                }
                _ => {}
            }
        }
        Ok(span)
    }
}

/// Hands on each field of a number, of a message that was read without an error.
fn for_each<'a>(
    mut message: Message<'a>,
    number: u32,
    mut read: impl FnMut(&Field<'a>) -> Result<(), Error>,
) {
    while let Ok(Some((found, field))) = message.next() {
        if found == number && read(&field).is_err() {
            return;
        }
    }
}

/// A count of whole observations, or the one of others if there is any.
const fn either(count: u64, float_count: f64) -> f64 {
    if float_count > 0.0 { float_count } else { count as f64 }
}
