//! Fields of messages that somebody else has written.

use crate::wire;

/// A field.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// As it stands in the message, tag and all.
    pub(super) raw: &'a [u8],
}

#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The first field of that number that has bytes.
pub(super) fn message<'a>(mut fields: impl Iterator<Item = Field<'a>>, wanted: u32) -> Option<&'a [u8]> {
    fields.find_map(|field| field.bytes(wanted))
}

/// The fields of a message, up to what cannot be read.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (tag, behind) = wire::read_varint(rest);
        let number = u32::try_from(tag >> 3).ok()?;
        let (value, behind) = match tag & 7 {
            0 => {
                let (number, behind) = wire::read_varint(behind);
                (Value::Number(number), behind)
            }
            1 => (Value::Other, behind.get(8..)?),
            2 => {
                let (length, behind) = wire::read_varint(behind);
                let (bytes, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), behind)
            }
            5 => (Value::Other, behind.get(4..)?),
            _ => return None,
        };
        let raw = &rest[..rest.len() - behind.len()];
        rest = behind;
        Some(Field { number, value, raw })
    })
}

impl<'a> Field<'a> {
    /// The bytes of the field if it is the one of that number.
    pub(super) fn bytes(&self, wanted: u32) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) if self.number == wanted => Some(bytes),
            _ => None,
        }
    }
}
