//! Series of either version.

use observer_aggregate::native::{Buckets, Native, Span};

use super::{
    DecodeError,
    fields::{Fields, Value, doubles, numbers, unzigzag},
};

/// A series with its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series<'r> {
    /// Names and values as they came.
    pub labels: Vec<(&'r str, &'r str)>,
    /// Samples with one number.
    pub samples: Vec<Sample<f64>>,
    /// Samples that are native histograms.
    pub histograms: Vec<Sample<Native>>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar<'r>>,
    /// Version 2: type, help and unit; without a name.
    pub metadata: Option<Metadata<'r>>,
}

/// A value and its times, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample<T> {
    /// The value.
    pub value: T,
    /// When it was so.
    pub time_ms: i64,
    /// Version 2: when counting began; 0 for unknown.
    pub start_ms: i64,
}

/// An exemplar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar<'r> {
    /// Names and values.
    pub labels: Vec<(&'r str, &'r str)>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// What a family is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'r> {
    /// Version 1: the name of the family.
    pub name: &'r str,
    /// The number of its type.
    pub kind: u64,
    /// The help text.
    pub help: &'r str,
    /// The unit.
    pub unit: &'r str,
}

type Read<T> = Result<T, DecodeError>;

/// A known field, and what is wrong if it cannot be read.
fn of(message: &'static str, field: u32) -> DecodeError {
    DecodeError::Field { message, field }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

impl<'r> Series<'r> {
    pub(super) fn read_1(bytes: &'r [u8]) -> Read<Self> {
        let mut series = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => series.labels.push(label(bytes)?),
                (2, Value::Bytes(bytes)) => series.samples.push(Sample::read(bytes)?),
                (3, Value::Bytes(bytes)) => series.exemplars.push(Exemplar::read(bytes, None)?),
                (4, Value::Bytes(bytes)) => series.histograms.push(Sample::<Native>::read_native(bytes)?),
                (field @ 1..=4, _) => return Err(of("a series", field)),
                _ => {}
            }
        }
        Ok(series)
    }

    pub(super) fn read_2(bytes: &'r [u8], symbols: &[&'r str]) -> Read<Self> {
        let mut series = Self::default();
        let mut references = Vec::new();
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => numbers(value, |number| references.push(number)).ok_or(of("a series", 1))?,
                (2, Value::Bytes(bytes)) => series.samples.push(Sample::read(bytes)?),
                (3, Value::Bytes(bytes)) => series.histograms.push(Sample::<Native>::read_native(bytes)?),
                (4, Value::Bytes(bytes)) => series.exemplars.push(Exemplar::read(bytes, Some(symbols))?),
                (5, Value::Bytes(bytes)) => series.metadata = Some(Metadata::read_2(bytes, symbols)?),
                (field @ 2..=5, _) => return Err(of("a series", field)),
                _ => {}
            }
        }
        series.labels = pairs(&references, symbols).ok_or(of("a series", 1))??;
        Ok(series)
    }
}

/// Names and values by their references. Nothing if a name has no value.
fn pairs<'r>(references: &[u64], symbols: &[&'r str]) -> Option<Read<Vec<(&'r str, &'r str)>>> {
    let symbol = |number: u64| {
        let found = usize::try_from(number).ok().and_then(|at| symbols.get(at));
        found.copied().ok_or(DecodeError::Symbol(u32::try_from(number).unwrap_or(u32::MAX)))
    };
    let (pairs, rest) = references.as_chunks();
    let pair = |&[name, value]: &[u64; 2]| Ok((symbol(name)?, symbol(value)?));
    rest.is_empty().then(|| pairs.iter().map(pair).collect())
}

fn label(bytes: &[u8]) -> Read<(&str, &str)> {
    let mut label = ("", "");
    for field in Fields::of(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => label.0 = text(bytes).ok_or(of("a label", 1))?,
            (2, Value::Bytes(bytes)) => label.1 = text(bytes).ok_or(of("a label", 2))?,
            (field @ 1..=2, _) => return Err(of("a label", field)),
            _ => {}
        }
    }
    Ok(label)
}

impl Sample<f64> {
    fn read(bytes: &[u8]) -> Read<Self> {
        let mut sample = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, Value::Fixed64(bits)) => sample.value = f64::from_bits(bits),
                (2, Value::Varint(time)) => sample.time_ms = time.cast_signed(),
                (3, Value::Varint(time)) => sample.start_ms = time.cast_signed(),
                (field @ 1..=3, _) => return Err(of("a sample", field)),
                _ => {}
            }
        }
        Ok(sample)
    }
}

impl<'r> Exemplar<'r> {
    fn read(bytes: &'r [u8], symbols: Option<&[&'r str]>) -> Read<Self> {
        let mut exemplar = Self::default();
        let mut references = Vec::new();
        for field in Fields::of(bytes) {
            match (field?, symbols) {
                ((1, Value::Bytes(bytes)), None) => exemplar.labels.push(label(bytes)?),
                ((1, value), Some(_)) => {
                    numbers(value, |number| references.push(number)).ok_or(of("an exemplar", 1))?;
                }
                ((2, Value::Fixed64(bits)), _) => exemplar.value = f64::from_bits(bits),
                ((3, Value::Varint(time)), _) => exemplar.time_ms = time.cast_signed(),
                ((field @ 1..=3, _), _) => return Err(of("an exemplar", field)),
                _ => {}
            }
        }
        if let Some(symbols) = symbols {
            exemplar.labels = pairs(&references, symbols).ok_or(of("an exemplar", 1))??;
        }
        Ok(exemplar)
    }
}

impl<'r> Metadata<'r> {
    pub(super) fn read_1(bytes: &'r [u8]) -> Read<Self> {
        let mut metadata = Self::default();
        for field in Fields::of(bytes) {
            let text = |bytes, field| text(bytes).ok_or(of("metadata", field));
            match field? {
                (1, Value::Varint(kind)) => metadata.kind = kind,
                (2, Value::Bytes(bytes)) => metadata.name = text(bytes, 2)?,
                (4, Value::Bytes(bytes)) => metadata.help = text(bytes, 4)?,
                (5, Value::Bytes(bytes)) => metadata.unit = text(bytes, 5)?,
                (field @ (1 | 2 | 4 | 5), _) => return Err(of("metadata", field)),
                _ => {}
            }
        }
        Ok(metadata)
    }

    fn read_2(bytes: &[u8], symbols: &[&'r str]) -> Read<Self> {
        let mut metadata = Self::default();
        let symbol = |number: u64| {
            let found = usize::try_from(number).ok().and_then(|at| symbols.get(at));
            found.copied().ok_or(DecodeError::Symbol(u32::try_from(number).unwrap_or(u32::MAX)))
        };
        for field in Fields::of(bytes) {
            match field? {
                (1, Value::Varint(kind)) => metadata.kind = kind,
                (3, Value::Varint(number)) => metadata.help = symbol(number)?,
                (4, Value::Varint(number)) => metadata.unit = symbol(number)?,
                (field @ (1 | 3 | 4), _) => return Err(of("metadata", field)),
                _ => {}
            }
        }
        Ok(metadata)
    }
}

impl Sample<Native> {
    fn read_native(bytes: &[u8]) -> Read<Self> {
        let mut sample = Self::default();
        let native = &mut sample.value;
        for field in Fields::of(bytes) {
            let (field, value) = field?;
            let wrong = of("a histogram", field);
            match (field, value) {
                (1, Value::Varint(count)) => native.count = count as f64,
                (2, Value::Fixed64(bits)) => (native.float, native.count) = (true, f64::from_bits(bits)),
                (3, Value::Fixed64(bits)) => native.sum = f64::from_bits(bits),
                (4, Value::Varint(schema)) => {
                    native.schema = i32::try_from(unzigzag(schema)).map_err(|_| wrong)?;
                }
                (5, Value::Fixed64(bits)) => native.zero_threshold = f64::from_bits(bits),
                (6, Value::Varint(count)) => native.zero_count = count as f64,
                (7, Value::Fixed64(bits)) => native.zero_count = f64::from_bits(bits),
                (8, Value::Bytes(bytes)) => native.negative.spans.push(span(bytes)?),
                (9, value) => deltas(value, &mut native.negative).ok_or(wrong)?,
                (10, value) => doubles(value, &mut native.negative.counts).ok_or(wrong)?,
                (11, Value::Bytes(bytes)) => native.positive.spans.push(span(bytes)?),
                (12, value) => deltas(value, &mut native.positive).ok_or(wrong)?,
                (13, value) => doubles(value, &mut native.positive.counts).ok_or(wrong)?,
                (14, Value::Varint(hint)) => native.gauge = hint == 3,
                (15, Value::Varint(time)) => sample.time_ms = time.cast_signed(),
                (16, value) => doubles(value, &mut native.bounds).ok_or(wrong)?,
                (17, Value::Varint(time)) => sample.start_ms = time.cast_signed(),
                (1..=17, _) => return Err(wrong),
                _ => {}
            }
        }
        Ok(sample)
    }
}

fn span(bytes: &[u8]) -> Read<Span> {
    let mut span = Span::default();
    for field in Fields::of(bytes) {
        let (field, value) = field?;
        let wrong = of("a span", field);
        match (field, value) {
            (1, Value::Varint(offset)) => span.offset = i32::try_from(unzigzag(offset)).map_err(|_| wrong)?,
            (2, Value::Varint(length)) => span.length = u32::try_from(length).map_err(|_| wrong)?,
            (1..=2, _) => return Err(wrong),
            _ => {}
        }
    }
    Ok(span)
}

/// Each count by its difference to the one before.
fn deltas(value: Value<'_>, buckets: &mut Buckets) -> Option<()> {
    let mut count = buckets.counts.last().map_or(0, |count| *count as i64);
    numbers(value, |delta| {
        count = count.wrapping_add(unzigzag(delta));
        buckets.counts.push(count as f64);
    })
}
