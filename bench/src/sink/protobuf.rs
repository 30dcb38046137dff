//! As much of protobuf as counting needs.
//! <https://protobuf.dev/programming-guides/encoding/>

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// The fields of a message in their order; `None` among them is the end of what can be read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => {
                self.0 = self.0.get(4..)?;
                Value::Fixed32
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A field that holds bytes.
    pub(in crate::sink) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let len = u8::try_from(bytes.len()).expect("short");
        assert!(len < 0x80);
        [&[number << 3 | 2, len], bytes].concat()
    }

    #[test]
    fn all_kinds_are_read() {
        let bytes = [
            &[8, 0x96, 1][..],
            &field(2, b"abc"),
            &[3 << 3 | 1, 1, 0, 0, 0, 0, 0, 0, 0],
            &[4 << 3 | 5, 1, 0, 0, 0],
        ]
        .concat();
        let fields: Option<Vec<_>> = Fields(&bytes).collect();
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"abc")),
            (3, Value::Fixed64(1)),
            (4, Value::Fixed32),
        ];
        assert_eq!(fields, Some(expected));
    }

    #[test]
    fn what_is_cut_short_is_told() {
        for bytes in [&[8, 0x80][..], &[10, 5, 1], &[9, 0, 0], &[13, 0], &[11]] {
            assert_eq!(Fields(bytes).collect::<Option<Vec<_>>>(), None, "{bytes:?}");
        }
    }
}
