//! Protobuf fields written into room that is known to suffice; [`crate::wire`] writes them where room has to be made.

use crate::wire;

/// The longest varint.
pub(crate) const VARINT: usize = 10;

/// Writes a varint at `at`, and says where it ends.
#[inline]
pub(crate) fn put_varint(out: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Writes bytes at `at`, and says where they end.
#[inline]
pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    out[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

/// A field that is a number, left out if it is 0.
pub(crate) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        wire::number(out, field, value);
    }
}
