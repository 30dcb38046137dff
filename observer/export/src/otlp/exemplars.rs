//! Exemplars of points.
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#exemplars-1>

use observer_aggregate::{exemplars::Exemplar, series::NO_TIME};
use observer_exposition::{Labels, unescape};

use super::{Pen, attributes, nanos};
use crate::wire;

/// The field of the exemplars in each kind of data point.
pub(super) const OF_NUMBER: u32 = 5;
pub(super) const OF_HISTOGRAM: u32 = 8;
pub(super) const OF_EXPONENTIAL: u32 = 11;

/// Fields of `Exemplar`.
const TIME: u32 = 2;
const AS_DOUBLE: u32 = 3;
const SPAN_ID: u32 = 4;
const TRACE_ID: u32 = 5;
const FILTERED_ATTRIBUTES: u32 = 7;

/// Exemplars that are to go with a point.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

impl Pen<'_> {
    /// How many there are that were not told before.
    pub(super) fn new_exemplars(&self) -> u64 {
        let newer = self.view.exemplars.newer(self.told_exemplars, 0..u32::MAX).flatten();
        newer.filter(|of| of.serial > self.told_exemplars).count() as u64
    }

    /// Appends a slot's exemplars that were not told before. One without a time has that of its point.
    pub(super) fn exemplars(&self, slot: u32, field: u32, time_ns: u64, out: &mut Fields) {
        if self.view.exemplars.newest() <= self.told_exemplars {
            return;
        }
        for of in self.view.exemplars.of(slot).iter().filter(|of| of.serial > self.told_exemplars) {
            self.exemplar(of, field, time_ns, &mut out.bytes);
            out.count += 1;
        }
    }

    fn exemplar(&self, of: &Exemplar, field: u32, time_ns: u64, out: &mut Vec<u8>) {
        let message = wire::open(out, field);
        wire::fixed64(out, TIME, if of.time_ms == NO_TIME { time_ns } else { nanos(of.time_ms) });
        wire::double(out, AS_DOUBLE, of.value);
        for label in Labels::unchecked(self.view.exemplars.labels(of)).iter() {
            let value = unescape(label.value);
            match (&*label.name, identifier::<16>(&value), identifier::<8>(&value)) {
                ("trace_id", Some(id), _) => wire::bytes(out, TRACE_ID, &id),
                ("span_id", _, Some(id)) => wire::bytes(out, SPAN_ID, &id),
                (name, ..) => attributes::attribute(out, FILTERED_ATTRIBUTES, name, &value),
            }
        }
        wire::close(out, message);
    }
}

/// The bytes of an identifier in hexadecimal digits; all zero is none.
/// <https://www.w3.org/TR/trace-context/#trace-id>
fn identifier<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn identifiers_are_hexadecimal_and_not_zero() {
        assert_eq!(identifier::<2>("0aFf"), Some([0x0a, 0xff]));
        for text in ["0000", "0af", "0aff0", "0aff00", "0ag0", "", "+a01", "\u{e9}01"] {
            assert_eq!(identifier::<2>(text), None, "{text}");
        }
    }
}
