//! Protobuf fields, written straight into a body. <https://protobuf.dev/programming-guides/encoding/>

/// Numbers of variable length: `int32`, `uint64`, `bool`, enums.
pub const VARINT: u32 = 0;
/// Eight bytes: `double`, `fixed64`, `sfixed64`.
pub const FIXED64: u32 = 1;
/// A length and as many bytes: `string`, `bytes`, messages, packed numbers.
pub const BYTES: u32 = 2;

/// Bytes that [`open`] leaves for a length: enough for 256 MiB.
const LENGTH_BYTES: usize = 4;

/// A message whose length is not known yet.
#[derive(Clone, Copy, Debug)]
#[must_use = "a message that is not closed has no length"]
pub struct Open {
    /// Where its fields begin.
    at: usize,
}

/// How many bytes a number takes.
pub const fn varint_len(value: u64) -> usize {
    // Seven bits a byte, at least one byte.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// A number, seven bits a byte, the lowest first.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number at the start of bytes that were written here, and what comes behind it.
#[must_use]
pub fn read_varint(mut bytes: &[u8]) -> (u64, &[u8]) {
    let (mut value, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first().filter(|_| shift < 64) {
        value |= u64::from(byte & 0x7F) << shift;
        (bytes, shift) = (rest, shift + 7);
        if byte & 0x80 == 0 {
            break;
        }
    }
    (value, bytes)
}

/// A signed number as `sint32` and `sint64` have it: small ones stay short, whatever their sign.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// What stands before a field.
#[inline]
pub fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

/// A number, also if it is 0.
#[inline]
pub fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// A `double`, also if it is 0.
#[inline]
pub fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    fixed64(out, field, value.to_bits());
}

/// A `fixed64`, also if it is 0.
#[inline]
pub fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A string, bytes or a message that has been written elsewhere, also if it is empty.
#[inline]
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// How many bytes [`bytes`] writes for a field with a number below 16.
pub const fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Begins a message. Its length has four bytes, whatever it will be: readers take numbers with more bytes than they need.
pub fn open(out: &mut Vec<u8>, field: u32) -> Open {
    tag(out, field, BYTES);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    Open { at: out.len() }
}

/// Ends a message: what has been written since [`open`] is its fields.
pub fn close(out: &mut [u8], Open { at }: Open) {
    let length = out.len() - at;
    for (index, byte) in out[at - LENGTH_BYTES..at].iter_mut().enumerate() {
        let more = if index + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        *byte = (length >> (7 * index)) as u8 & 0x7F | more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn numbers_are_as_long_as_they_need() {
        check(|out| varint(out, 0), &[0]);
        check(|out| varint(out, 127), &[0x7F]);
        check(|out| varint(out, 300), &[0xAC, 0x02]);
        check(|out| number(out, 16, 1), &[0x80, 0x01, 1]);
        for bits in 0..64 {
            for value in [1 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                let mut out = Vec::new();
                varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
            }
        }
    }

    #[test]
    fn signs_are_in_the_lowest_bit() {
        assert_eq!([0, -1, 1, -2, i64::MAX, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn a_message_gets_its_length_at_its_end() {
        let write = |out: &mut Vec<u8>| {
            let message = open(out, 1);
            bytes(out, 2, b"ab");
            close(out, message);
        };
        check(write, &[0x0A, 0x84, 0x80, 0x80, 0x00, 0x12, 2, b'a', b'b']);
        assert_eq!(bytes_len(2), 4);
    }
}
