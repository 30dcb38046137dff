//! Requests made of requests: halves, and version 1 of version 2.

use super::{
    super::{Compression, Version, body::compress},
    DecodeError, Request,
    fields::{Fields, Value, numbers},
    half::{Half, SYMBOLS},
    series_field,
};
use crate::{Piece, wire};

impl Request {
    /// How much is in it; the body is the same, compressed anew.
    #[must_use]
    pub fn whole(&self) -> Piece {
        self.counted().compressed(self.compression)
    }

    fn counted(&self) -> Piece {
        let mut piece = Piece::new(self.raw.clone());
        for series in self.messages() {
            piece.count(self.version, series);
        }
        piece
    }

    /// Two requests, the first with the series that `is_first` takes by their index, in their order. Nothing if one of the two had
    /// none. What is neither a series nor a symbol is in both.
    #[must_use]
    pub fn part(&self, is_first: impl Fn(usize) -> bool) -> Option<[Piece; 2]> {
        let symbols = self.symbols().ok()?;
        let (mut first, mut second) = (Half::new(self.version, &symbols), Half::new(self.version, &symbols));
        let mut seen = 0;
        let mut fields = Fields::of(&self.raw);
        let mut before = fields.rest();
        while let Some(Ok((number, value))) = fields.next() {
            let field = &before[..before.len() - fields.rest().len()];
            before = fields.rest();
            match (self.version, value) {
                (version, Value::Bytes(series)) if number == series_field(version) => {
                    if is_first(seen) { &mut first } else { &mut second }.take(field, series);
                    seen += 1;
                }
                (Version::V2, Value::Bytes(_)) if number == SYMBOLS => {}
                _ => {
                    first.take_other(field);
                    second.take_other(field);
                }
            }
        }
        (!first.is_empty() && !second.is_empty())
            .then(|| [first, second].map(|half| half.finish(self.compression)))
    }

    /// The same in version 1, which has no metadata beside the series and no times of creation, and in snappy, which every receiver
    /// takes.
    ///
    /// # Errors
    ///
    /// None for what [`Request::read`] has accepted.
    pub fn to_version_1(&self) -> Result<Piece, DecodeError> {
        let Version::V2 = self.version else { return Ok(self.counted().compressed(Compression::Snappy)) };
        let symbols = self.symbols()?;
        let mut piece = Piece::new(Vec::new());
        let mut message = Vec::new();
        for bytes in self.messages() {
            piece.count(self.version, bytes);
            message.clear();
            transcode(bytes, &symbols, &mut message)?;
            wire::bytes(&mut piece.body, 1, &message);
        }
        Ok(piece.compressed(Compression::Snappy))
    }

    fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let wanted = series_field(self.version);
        Fields::of(&self.raw).filter_map(move |field| match field {
            Ok((field, Value::Bytes(bytes))) if field == wanted => Some(bytes),
            _ => None,
        })
    }
}

impl Piece {
    fn new(body: Vec<u8>) -> Self {
        Self { body, ..Self::default() }
    }

    /// Counts what is in a series.
    pub(super) fn count(&mut self, version: Version, series: &[u8]) {
        for field in Fields::of(series).filter_map(Result::ok) {
            match (version, field.0) {
                (_, 2) => self.samples += 1,
                (Version::V1, 4) | (Version::V2, 3) => self.histograms += 1,
                (Version::V1, 3) | (Version::V2, 4) => self.exemplars += 1,
                _ => {}
            }
        }
    }

    fn compressed(mut self, compression: Compression) -> Self {
        self.body = compress(&self.body, compression);
        self
    }
}

/// The fields of a series of version 2 as those of version 1.
fn transcode(series: &[u8], symbols: &[&str], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    labels(series, symbols, out)?;
    let mut message = Vec::new();
    for field in Fields::of(series) {
        message.clear();
        match field? {
            (2, Value::Bytes(sample)) => {
                without(sample, 3, &mut message);
                wire::bytes(out, 2, &message);
            }
            (3, Value::Bytes(histogram)) => {
                without(histogram, 17, &mut message);
                wire::bytes(out, 4, &message);
            }
            (4, Value::Bytes(exemplar)) => {
                labels(exemplar, symbols, &mut message)?;
                without(exemplar, 1, &mut message);
                wire::bytes(out, 3, &message);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The references in field 1 of a message as labels.
fn labels(message: &[u8], symbols: &[&str], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut references = Vec::new();
    for field in Fields::of(message) {
        if let (1, value) = field? {
            numbers(value, |number| references.push(number)).ok_or(DecodeError::Protobuf)?;
        }
    }
    let symbol = |number: u64| {
        let found = usize::try_from(number).ok().and_then(|at| symbols.get(at));
        found.ok_or(DecodeError::Symbol(u32::try_from(number).unwrap_or(u32::MAX)))
    };
    let mut label = Vec::new();
    for [name, value] in references.as_chunks().0 {
        label.clear();
        wire::bytes(&mut label, 1, symbol(*name)?.as_bytes());
        wire::bytes(&mut label, 2, symbol(*value)?.as_bytes());
        wire::bytes(out, 1, &label);
    }
    Ok(())
}

/// A message's bytes without one of its fields.
fn without(message: &[u8], unwanted: u32, out: &mut Vec<u8>) {
    let mut fields = Fields::of(message);
    let mut before = fields.rest();
    while let Some(Ok((field, _))) = fields.next() {
        if field != unwanted {
            out.extend_from_slice(&before[..before.len() - fields.rest().len()]);
        }
        before = fields.rest();
    }
}
