//! Attributes, resources and scopes, encoded once.

use observer_exposition::{Labels, unescape};

use crate::wire;

/// Writes one `KeyValue` with a string as field `field` of the message that is open.
pub(super) fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    let any = wire::bytes_len(value.len());
    wire::tag(out, field, wire::BYTES);
    wire::varint(out, (wire::bytes_len(key.len()) + wire::bytes_len(any)) as u64);
    wire::bytes(out, 1, key.as_bytes());
    wire::tag(out, 2, wire::BYTES);
    wire::varint(out, any as u64);
    wire::bytes(out, 1, value.as_bytes());
}

/// Writes the labels of a block whose names `keep` accepts.
pub(super) fn labels(out: &mut Vec<u8>, field: u32, block: &str, keep: impl Fn(&str) -> bool) {
    for label in Labels::unchecked(block).iter().filter(|label| keep(&label.name)) {
        attribute(out, field, &label.name, &unescape(label.value));
    }
}

/// A `Resource`'s fields. Of several attributes with one name the first counts.
pub(super) fn resource(out: &mut Vec<u8>, attributes: &[(&str, &str)]) {
    for (at, (key, value)) in attributes.iter().enumerate() {
        if !value.is_empty() && attributes[..at].iter().all(|(other, _)| other != key) {
            attribute(out, 1, key, value);
        }
    }
}

/// An `InstrumentationScope`'s fields.
pub(super) fn scope(out: &mut Vec<u8>, name: &str, version: &str) {
    wire::bytes(out, 1, name.as_bytes());
    if !version.is_empty() {
        wire::bytes(out, 2, version.as_bytes());
    }
}
