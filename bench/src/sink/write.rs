//! Counts what a remote-write request holds.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>

use super::protobuf::{Fields, Value, varint};

/// Which of the two messages a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    pub(super) fn of(content_type: &str) -> Self {
        if content_type.contains("io.prometheus.write.v2.Request") { Self::Two } else { Self::One }
    }
}

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) series: u64,
    pub(super) samples: u64,
    /// Of the samples, markers that a series has ended.
    pub(super) stale: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

/// A sample of the series that each target has for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known<'a> {
    pub(super) instance: &'a [u8],
    pub(super) value: f64,
    /// Milliseconds since the epoch.
    pub(super) at_ms: u64,
}

const KNOWN: &[u8] = b"bench_scrapes_total";
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Counts, and shows the samples of the known series. `None` if the message cannot be read.
pub(super) fn count<'a>(
    message: &'a [u8],
    version: Version,
    known: &mut impl FnMut(Known<'a>),
) -> Option<Contents> {
    let mut contents = Contents::default();
    let mut symbols: Vec<&[u8]> = Vec::new();
    let (series_field, histogram_field, exemplar_field) = match version {
        Version::One => (1, 4, 3),
        Version::Two => (5, 3, 4),
    };
    for field in Fields(message) {
        let (number, value) = field?;
        if version == Version::Two && number == 4 {
            symbols.push(value.bytes()?);
        }
        if number != series_field {
            continue;
        }
        let series = value.bytes()?;
        contents.series += 1;
        let instance = match version {
            Version::One => instance(series)?,
            Version::Two => instance_by_symbol(series, &symbols)?,
        };
        for field in Fields(series) {
            let (number, value) = field?;
            if number == 2 {
                let (value, at_ms) = sample(value.bytes()?)?;
                contents.samples += 1;
                if value == STALE {
                    contents.stale += 1;
                } else if let Some(instance) = instance {
                    known(Known { instance, value: f64::from_bits(value), at_ms });
                }
            }
            contents.histograms += u64::from(number == histogram_field);
            contents.exemplars += u64::from(number == exemplar_field);
        }
    }
    Some(contents)
}

/// The bits of the value and the time. A field that is left out is zero.
fn sample(message: &[u8]) -> Option<(u64, u64)> {
    let (mut bits, mut at_ms) = (0, 0);
    for field in Fields(message) {
        match field? {
            (1, Value::Fixed64(value)) => bits = value,
            (2, Value::Varint(value)) => at_ms = value,
            _ => {}
        }
    }
    Some((bits, at_ms))
}

/// Of the known series only: `Some(None)` is another. The name comes first, as labels are sorted.
fn instance(series: &[u8]) -> Option<Option<&[u8]>> {
    let mut is_known = false;
    for field in Fields(series) {
        let (number, value) = field?;
        if number != 1 {
            continue;
        }
        let (mut name, mut text) = (&[][..], &[][..]);
        for field in Fields(value.bytes()?) {
            match field? {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Bytes(bytes)) => text = bytes,
                _ => {}
            }
        }
        match name {
            b"__name__" if text == KNOWN => is_known = true,
            b"__name__" => return Some(None),
            b"instance" if is_known => return Some(Some(text)),
            _ => {}
        }
    }
    Some(None)
}

/// The same where labels are numbers in pairs.
fn instance_by_symbol<'a>(series: &'a [u8], symbols: &[&'a [u8]]) -> Option<Option<&'a [u8]>> {
    let mut is_known = false;
    for field in Fields(series) {
        let (1, Value::Bytes(mut references)) = field? else { continue };
        while !references.is_empty() {
            let name = *symbols.get(usize::try_from(varint(&mut references)?).ok()?)?;
            let text = *symbols.get(usize::try_from(varint(&mut references)?).ok()?)?;
            match name {
                b"__name__" if text == KNOWN => is_known = true,
                b"__name__" => return Some(None),
                b"instance" if is_known => return Some(Some(text)),
                _ => {}
            }
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::{super::protobuf::tests::field, *};

    fn label(name: &str, value: &str) -> Vec<u8> {
        field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
    }

    fn sample(value: f64) -> Vec<u8> {
        field(2, &[&[9][..], &value.to_le_bytes(), &[16, 5]].concat())
    }

    #[track_caller]
    fn check(message: &[u8], version: Version, contents: Option<Contents>, known: &[(&str, f64)]) {
        let mut seen = Vec::new();
        assert_eq!(count(message, version, &mut |known| seen.push(known)), contents);
        let expected = known.iter().map(|(instance, value)| Known {
            instance: instance.as_bytes(),
            value: *value,
            at_ms: 5,
        });
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    fn two_series() -> Vec<u8> {
        let known =
            [label("__name__", "bench_scrapes_total"), label("instance", "a"), sample(7.0), sample(8.0)];
        let other = [label("__name__", "up"), label("instance", "a"), sample(f64::from_bits(STALE))];
        [field(1, &known.concat()), field(1, &other.concat()), field(3, b"")].concat()
    }

    #[test]
    fn the_first_version() {
        let contents = Contents { series: 2, samples: 3, stale: 1, ..Contents::default() };
        check(&two_series(), Version::One, Some(contents), &[("a", 7.0), ("a", 8.0)]);
    }

    #[test]
    fn the_second_version() {
        let symbols = ["", "__name__", "bench_scrapes_total", "instance", "b"];
        let symbols: Vec<u8> = symbols.iter().flat_map(|symbol| field(4, symbol.as_bytes())).collect();
        let series = [field(1, &[1, 2, 3, 4]), sample(9.0), field(3, b""), field(4, b"")].concat();
        let contents = Contents { series: 1, samples: 1, histograms: 1, exemplars: 1, ..Contents::default() };
        check(&[symbols, field(5, &series)].concat(), Version::Two, Some(contents), &[("b", 9.0)]);
    }

    #[test]
    fn a_truncated_message_counts_nothing() {
        let message = two_series();
        assert_eq!(count(&message[..message.len() - 3], Version::One, &mut |_| {}), None);
    }

    #[test]
    fn a_symbol_that_is_not_there_is_refused() {
        check(&field(5, &field(1, &[1, 2])), Version::Two, None, &[]);
    }

    #[test]
    fn the_content_type_says_which() {
        assert_eq!(Version::of("application/x-protobuf"), Version::One);
        assert_eq!(Version::of("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Version::Two);
    }
}
