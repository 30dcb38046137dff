//! The fields of a message, whatever they mean.

use super::DecodeError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Walks over the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been walked over.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = varint(&mut self.rest)?;
        let field = u32::try_from(tag >> 3).ok().filter(|field| *field != 0)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.rest.split_off(..8)?.first_chunk()?)),
            2 => {
                let size = usize::try_from(varint(&mut self.rest)?).ok()?;
                Value::Bytes(self.rest.split_off(..size)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(*self.rest.split_off(..4)?.first_chunk()?)),
            _ => return None,
        };
        Some((field, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(DecodeError::Protobuf))
    }
}

/// A varint at the beginning of `bytes`, and what follows it.
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        // The tenth byte has room for one bit.
        if at == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// Numbers of a repeated field, packed or not: the specification lets a writer choose.
pub(crate) fn numbers(value: Value<'_>, mut take: impl FnMut(u64)) -> Option<()> {
    match value {
        Value::Varint(number) => take(number),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                take(varint(&mut packed)?);
            }
        }
        Value::Fixed64(_) | Value::Fixed32(_) => return None,
    }
    Some(())
}

/// As [`numbers`], for `double`.
pub(crate) fn doubles(value: Value<'_>, out: &mut Vec<f64>) -> Option<()> {
    match value {
        Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
        Value::Bytes(packed) => {
            let (chunks, rest) = packed.as_chunks();
            if !rest.is_empty() {
                return None;
            }
            out.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
        }
        Value::Varint(_) | Value::Fixed32(_) => return None,
    }
    Some(())
}

/// The inverse of zigzag.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
