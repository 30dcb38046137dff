//! A part of a request's series, with those symbols alone that they use: of a request that is too large a part shall not be.

use std::collections::HashMap;

use super::{
    super::{Compression, Version, body::compress},
    fields::{Fields, Value, numbers},
};
use crate::{Piece, wire};

/// Fields of `TimeSeries` in version 2.
const LABELS: u32 = 1;
const EXEMPLARS: u32 = 4;
const METADATA: u32 = 5;
/// Of its metadata.
const HELP: u32 = 3;
const UNIT: u32 = 4;
/// Of the request.
pub(super) const SYMBOLS: u32 = 4;
const SERIES: u32 = 5;

/// What becomes a request.
pub(super) struct Half<'r> {
    version: Version,
    /// Symbols of the whole, and those of this one as they are written.
    whole: &'r [&'r str],
    symbols: Vec<u8>,
    /// The number of each here.
    numbers: HashMap<u64, u64>,
    rest: Vec<u8>,
    piece: Piece,
    series: u32,
}

impl<'r> Half<'r> {
    pub(super) fn new(version: Version, whole: &'r [&'r str]) -> Self {
        let mut symbols = Vec::new();
        if version == Version::V2 {
            // The first is the empty one.
            wire::bytes(&mut symbols, SYMBOLS, b"");
        }
        let numbers = HashMap::from([(0, 0)]);
        Self { version, whole, symbols, numbers, rest: Vec::new(), piece: Piece::default(), series: 0 }
    }

    /// Whether it has no series.
    pub(super) const fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// Takes a series, whose bytes with tag and length are `field`.
    pub(super) fn take(&mut self, field: &[u8], series: &[u8]) {
        self.piece.count(self.version, series);
        self.series += 1;
        if self.version == Version::V1 {
            self.rest.extend_from_slice(field);
            return;
        }
        let mut out = std::mem::take(&mut self.rest);
        let message = wire::open(&mut out, SERIES);
        self.message(series, &mut out, |this, field, value, out| match (field, value) {
            (LABELS, value) => this.references(value, out),
            (EXEMPLARS, Value::Bytes(exemplar)) => {
                let message = wire::open(out, EXEMPLARS);
                this.message(exemplar, out, |this, field, value, out| {
                    field == LABELS && this.references(value, out)
                });
                wire::close(out, message);
                true
            }
            (METADATA, Value::Bytes(metadata)) => {
                let message = wire::open(out, METADATA);
                this.message(metadata, out, |this, field, value, out| match (field, value) {
                    (HELP | UNIT, Value::Varint(number)) => {
                        wire::number(out, field, this.number(number));
                        true
                    }
                    _ => false,
                });
                wire::close(out, message);
                true
            }
            _ => false,
        });
        wire::close(&mut out, message);
        self.rest = out;
    }

    /// Takes what is no series.
    pub(super) fn take_other(&mut self, field: &[u8]) {
        self.rest.extend_from_slice(field);
    }

    /// The request.
    pub(super) fn finish(self, compression: Compression) -> Piece {
        let Self { mut symbols, rest, piece, .. } = self;
        symbols.extend(rest);
        Piece { body: compress(&symbols, compression), ..piece }
    }

    /// Copies the fields of a message that `other` has not written.
    fn message(
        &mut self,
        message: &[u8],
        out: &mut Vec<u8>,
        other: impl Fn(&mut Self, u32, Value<'_>, &mut Vec<u8>) -> bool,
    ) {
        let mut fields = Fields::of(message);
        let mut before = fields.rest();
        while let Some(Ok((field, value))) = fields.next() {
            if !other(self, field, value, out) {
                out.extend_from_slice(&before[..before.len() - fields.rest().len()]);
            }
            before = fields.rest();
        }
    }

    /// Writes references as they are here.
    fn references(&mut self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        let message = wire::open(out, LABELS);
        // What cannot be read is no request, and has been refused as that.
        let read = numbers(value, |number| wire::varint(out, self.number(number)));
        wire::close(out, message);
        read.is_some()
    }

    /// The number of a symbol here.
    fn number(&mut self, of_whole: u64) -> u64 {
        let next = self.numbers.len() as u64;
        *self.numbers.entry(of_whole).or_insert_with(|| {
            let symbol = usize::try_from(of_whole).ok().and_then(|at| self.whole.get(at));
            wire::bytes(&mut self.symbols, SYMBOLS, symbol.map_or(&[], |symbol| symbol.as_bytes()));
            next
        })
    }
}
