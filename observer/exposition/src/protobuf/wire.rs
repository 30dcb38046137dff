//! Fields on the wire. <https://protobuf.dev/programming-guides/encoding/>

use super::{Error, Reason};

/// A message, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// Where it starts in the body.
    offset: usize,
}

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Where its tag starts in the body.
    offset: usize,
    content: Content<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32,
    Bytes(Message<'a>),
}

impl<'a> Message<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { bytes: body, offset: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn fail(&self, reason: Reason) -> Error {
        Error { offset: self.offset, reason }
    }

    /// The next field and its number.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let start = *self;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| start.fail(Reason::FieldNumber))?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => {
                let bytes = self.split(8).ok_or_else(|| start.fail(Reason::Truncated))?.bytes;
                Content::Fixed64(bytes.try_into().map_err(|_| start.fail(Reason::Truncated))?)
            }
            2 => Content::Bytes(self.delimited()?),
            5 => {
                self.split(4).ok_or_else(|| start.fail(Reason::Truncated))?;
                Content::Fixed32
            }
            // Groups went out of use before the format was made.
            _ => return Err(start.fail(Reason::WireType)),
        };
        Ok(Some((number, Field { offset: start.offset, content })))
    }

    /// A message behind its length.
    pub(super) fn delimited(&mut self) -> Result<Self, Error> {
        let start = *self;
        let length = self.varint()?;
        let message = usize::try_from(length).ok().and_then(|length| self.split(length));
        message.ok_or_else(|| start.fail(Reason::Truncated))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        if let [byte @ ..0x80, ..] = self.bytes {
            self.split(1);
            return Ok(u64::from(*byte));
        }
        let start = *self;
        let mut value = 0;
        for (index, &byte) in start.bytes.iter().take(10).enumerate() {
            // The tenth byte has the 64th bit.
            if index == 9 && byte > 1 {
                return Err(start.fail(Reason::Varint));
            }
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                self.split(index + 1);
                return Ok(value);
            }
        }
        Err(start.fail(Reason::Truncated))
    }

    /// Takes so many bytes from the start.
    fn split(&mut self, length: usize) -> Option<Self> {
        let (bytes, rest) = self.bytes.split_at_checked(length)?;
        let taken = Self { bytes, offset: self.offset };
        *self = Self { bytes: rest, offset: self.offset + length };
        Some(taken)
    }
}

impl<'a> Field<'a> {
    pub(super) const fn fail(&self, reason: Reason) -> Error {
        Error { offset: self.offset, reason }
    }

    pub(super) const fn varint(&self) -> Result<u64, Error> {
        match self.content {
            Content::Varint(value) => Ok(value),
            _ => Err(self.fail(Reason::WireType)),
        }
    }

    /// An `int64`.
    pub(super) const fn signed(&self) -> Result<i64, Error> {
        match self.varint() {
            Ok(value) => Ok(value.cast_signed()),
            Err(error) => Err(error),
        }
    }

    /// A `sint32`; more bits than it has are refused.
    pub(super) fn zigzag32(&self) -> Result<i32, Error> {
        i32::try_from(zigzag(self.varint()?)).map_err(|_| self.fail(Reason::Varint))
    }

    pub(super) const fn double(&self) -> Result<f64, Error> {
        match self.content {
            Content::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            _ => Err(self.fail(Reason::WireType)),
        }
    }

    pub(super) const fn message(&self) -> Result<Message<'a>, Error> {
        match self.content {
            Content::Bytes(message) => Ok(message),
            _ => Err(self.fail(Reason::WireType)),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.message()?.bytes).map_err(|_| self.fail(Reason::Utf8))
    }

    /// The numbers of a repeated `sint64`, packed or single.
    pub(super) fn zigzags(&self, mut each: impl FnMut(i64)) -> Result<(), Error> {
        match self.content {
            Content::Varint(value) => each(zigzag(value)),
            Content::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(zigzag(packed.varint()?));
                }
            }
            _ => return Err(self.fail(Reason::WireType)),
        }
        Ok(())
    }

    /// The numbers of a repeated `double`, packed or single.
    pub(super) fn doubles(&self, mut each: impl FnMut(f64)) -> Result<(), Error> {
        match self.content {
            Content::Fixed64(bytes) => each(f64::from_le_bytes(bytes)),
            Content::Bytes(packed) => {
                let (numbers, rest) = packed.bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(self.fail(Reason::Truncated));
                }
                numbers.iter().for_each(|bytes| each(f64::from_le_bytes(*bytes)));
            }
            _ => return Err(self.fail(Reason::WireType)),
        }
        Ok(())
    }
}

/// Signed numbers are written with their sign in the lowest bit.
const fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
