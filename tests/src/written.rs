//! Remote-write requests read back. Not the agent's own reader: it must not share its mistakes.

use std::collections::BTreeMap;

/// The samples of a series: times in milliseconds since 1970, and the bits of the values.
pub type Samples = Vec<(i64, u64)>;

/// Series by their labels, `__name__` among them.
pub type Written = BTreeMap<BTreeMap<String, String>, Samples>;

/// The NaN that ends a series.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Reads the body of a request of version 1 or 2, in snappy or in zstd.
#[must_use]
pub fn read(body: &[u8], encoding: &str, version: u8) -> Option<Written> {
    let message = match encoding {
        "zstd" => zstd::bulk::decompress(body, 1 << 28).ok()?,
        _ => snap::raw::Decoder::new().decompress_vec(body).ok()?,
    };
    let mut written = Written::new();
    let symbols: Vec<String> = fields(&message)?
        .into_iter()
        .filter(|(number, _)| version == 2 && *number == 4)
        .map(|(_, field)| String::from_utf8(field.bytes()?.to_vec()).ok())
        .collect::<Option<_>>()?;
    for (number, field) in fields(&message)? {
        if number != if version == 2 { 5 } else { 1 } {
            continue;
        }
        let (mut labels, mut samples) = (BTreeMap::new(), Vec::new());
        for (number, field) in fields(field.bytes()?)? {
            match (version, number) {
                (1, 1) => {
                    let pair = fields(field.bytes()?)?;
                    let text = |wanted| {
                        let found = pair.iter().find(|(number, _)| *number == wanted);
                        found.map_or(Some(""), |(_, field)| std::str::from_utf8(field.bytes()?).ok())
                    };
                    labels.insert(text(1)?.to_owned(), text(2)?.to_owned());
                }
                (2, 1) => {
                    let references = varints(field.bytes()?)?;
                    for pair in references.chunks(2) {
                        let symbol = |at: usize| symbols.get(usize::try_from(*pair.get(at)?).ok()?).cloned();
                        labels.insert(symbol(0)?, symbol(1)?);
                    }
                }
                (_, 2) => {
                    let (mut time, mut value) = (0, 0);
                    for (number, field) in fields(field.bytes()?)? {
                        match (number, field) {
                            (1, Field::Fixed(bits)) => value = bits,
                            (2, Field::Varint(ms)) => time = ms.cast_signed(),
                            _ => {}
                        }
                    }
                    samples.push((time, value));
                }
                _ => {}
            }
        }
        written.entry(labels).or_default().extend(samples);
    }
    Some(written)
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The fields of a message. <https://protobuf.dev/programming-guides/encoding/>
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)?),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Field::Fixed(u64::from_le_bytes(*fixed))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inside, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(inside)
            }
            _ => return None,
        };
        found.push((tag >> 3, field));
    }
    Some(found)
}

fn varints(mut bytes: &[u8]) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        found.push(varint(&mut bytes)?);
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Adds what one request has to what others had.
pub fn add(to: &mut Written, more: Written) {
    for (labels, samples) in more {
        to.entry(labels).or_default().extend(samples);
    }
}

/// The samples of the series of that name, if there is one alone.
#[track_caller]
#[must_use]
pub fn only<'w>(written: &'w Written, name: &str) -> &'w Samples {
    let mut of = written.iter().filter(|(labels, _)| labels["__name__"] == name);
    let (_, samples) = of.next().unwrap_or_else(|| panic!("no `{name}`"));
    assert!(of.next().is_none(), "several `{name}`");
    samples
}

/// What each process of an agent has told of its windows, in the order of time: how many it had closed, by their ends. No window is
/// there twice with two values, none is left out, and each process begins with its first.
#[track_caller]
#[must_use]
pub fn windows(written: &Written) -> Vec<Vec<i64>> {
    let mut samples = only(written, "observer_windows_total").clone();
    // The end of the process before, if somebody told it, is no window.
    samples.retain(|(_, bits)| *bits != STALE);
    samples.sort_unstable();
    // What a receiver has taken and not confirmed comes again.
    samples.dedup();
    let mut runs: Vec<Vec<i64>> = Vec::new();
    let mut before = i64::MIN;
    for (time, bits) in samples {
        assert!(time > before, "two values at {time}");
        before = time;
        let count = f64::from_bits(bits) as usize;
        if count == 1 {
            runs.push(Vec::new());
        }
        let run = runs.last_mut().unwrap_or_else(|| panic!("window {count} is the first there is"));
        run.push(time);
        assert_eq!(run.len(), count, "windows are missing before {time}");
    }
    runs
}
