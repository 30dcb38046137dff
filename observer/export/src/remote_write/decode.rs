//! Requests read back: any bytes give a request or an error.
//!
//! For bodies that wait in a queue while the receiver turns out to be an older one, or to refuse one series among many; for
//! tests and for receivers of our own.

mod fields;
mod half;
mod series;
mod write;

use std::io;

use snap::raw::{Decoder, decompress_len};
use zstd::bulk::Decompressor;

use self::fields::{Fields, Value};
pub use self::series::{Exemplar, Metadata, Sample, Series};
use super::{Compression, Version};
use crate::Protocol;

/// Why a body is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The compression.
    #[error("the body is not a snappy block")]
    Snappy,
    /// The compression, where it is zstd.
    #[error("the body is not a zstd frame of at most the bytes that are allowed")]
    Zstd,
    /// The size.
    #[error("the body would take {bytes} bytes, and {limit} are allowed")]
    TooLarge {
        /// What the body says.
        bytes: usize,
        /// What was allowed.
        limit: usize,
    },
    /// The encoding: a field that is cut off, or of a type that nobody knows.
    #[error("the body is not a protobuf message")]
    Protobuf,
    /// A known field that is not what the specification says it is.
    #[error("field {field} of {message} is not what it should be")]
    Field {
        /// The message.
        message: &'static str,
        /// The number of the field.
        field: u32,
    },
    /// A reference that leads nowhere.
    #[error("there is no symbol {0}")]
    Symbol(u32),
}

/// A request without its compression, whose fields have all been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    version: Version,
    /// What requests made of it are compressed with.
    compression: Compression,
    raw: Vec<u8>,
}

/// The field of a request that holds its series.
const fn series_field(version: Version) -> u32 {
    match version {
        Version::V1 => 1,
        Version::V2 => 5,
    }
}

impl Request {
    /// Reads a body of that protocol that takes no more than `limit` bytes when it is decompressed. Nothing if it is none of
    /// remote write.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn of(protocol: Protocol, body: &[u8], limit: usize) -> Option<Result<Self, DecodeError>> {
        Some(match protocol {
            Protocol::RemoteWrite1 => Self::read(Version::V1, body, limit),
            Protocol::RemoteWrite1Zstd => Self::read_zstd(body, limit),
            Protocol::RemoteWrite2 => Self::read(Version::V2, body, limit),
            Protocol::Otlp => return None,
        })
    }

    /// Reads a snappy body that takes no more than `limit` bytes when it is decompressed.
    ///
    /// # Errors
    ///
    /// If it is not a request of that version, down to the last field of its series.
    pub fn read(version: Version, body: &[u8], limit: usize) -> Result<Self, DecodeError> {
        let bytes = decompress_len(body).map_err(|_| DecodeError::Snappy)?;
        if bytes > limit {
            return Err(DecodeError::TooLarge { bytes, limit });
        }
        let raw = Decoder::new().decompress_vec(body).map_err(|_| DecodeError::Snappy)?;
        Self::checked(version, Compression::Snappy, raw)
    }

    /// Reads a body of version 1 in zstd.
    fn read_zstd(body: &[u8], limit: usize) -> Result<Self, DecodeError> {
        let read = || -> io::Result<Vec<u8>> { Decompressor::new()?.decompress(body, limit) };
        Self::checked(Version::V1, Compression::Zstd, read().map_err(|_| DecodeError::Zstd)?)
    }

    fn checked(version: Version, compression: Compression, raw: Vec<u8>) -> Result<Self, DecodeError> {
        let request = Self { version, compression, raw };
        request.each(|_| ())?;
        Ok(request)
    }

    /// The version it is written in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its bytes without compression.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The series in their order.
    #[must_use]
    pub fn series(&self) -> Vec<Series<'_>> {
        let mut all = Vec::new();
        let seen = self.each(|series| all.push(series));
        debug_assert!(seen.is_ok(), "it was read once");
        all
    }

    /// The families that version 1 tells apart from the series.
    #[must_use]
    pub fn metadata(&self) -> Vec<Metadata<'_>> {
        let Version::V1 = self.version else { return Vec::new() };
        let read = |field| match field {
            Ok((3, Value::Bytes(bytes))) => Metadata::read_1(bytes).ok(),
            _ => None,
        };
        Fields::of(&self.raw).filter_map(read).collect()
    }

    fn each<'r>(&'r self, mut visit: impl FnMut(Series<'r>)) -> Result<(), DecodeError> {
        let symbols = self.symbols()?;
        for field in Fields::of(&self.raw) {
            match (self.version, field?) {
                (Version::V1, (1, Value::Bytes(bytes))) => visit(Series::read_1(bytes)?),
                (Version::V1, (3, Value::Bytes(bytes))) => {
                    Metadata::read_1(bytes)?;
                }
                (Version::V2, (4, Value::Bytes(_))) => {}
                (Version::V2, (5, Value::Bytes(bytes))) => visit(Series::read_2(bytes, &symbols)?),
                (Version::V1, (field @ (1 | 3), _)) | (Version::V2, (field @ (4 | 5), _)) => {
                    return Err(DecodeError::Field { message: "the request", field });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn symbols(&self) -> Result<Vec<&str>, DecodeError> {
        let Version::V2 = self.version else { return Ok(Vec::new()) };
        let mut symbols = Vec::new();
        for field in Fields::of(&self.raw) {
            if let (4, Value::Bytes(bytes)) = field? {
                let wrong = DecodeError::Field { message: "the request", field: 4 };
                symbols.push(str::from_utf8(bytes).map_err(|_| wrong)?);
            }
        }
        Ok(symbols)
    }
}
