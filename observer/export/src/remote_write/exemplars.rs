//! Exemplars of a series, behind its samples.

use observer_aggregate::{
    exemplars::{Exemplar, Exemplars},
    series::NO_TIME,
};
use observer_exposition as exposition;

use super::{body::Body, build::Shared, table::Table};
use crate::wire::{self, bytes_len};

/// The exemplars that go with a sample.
#[derive(Clone, Copy)]
pub(crate) struct With<'w> {
    /// All of the block.
    pub(crate) all: &'w Exemplars,
    /// Those of the slot.
    pub(crate) of: &'w [Exemplar],
    /// Those up to this serial were sent before.
    pub(crate) told: u64,
}

/// Writes exemplars. In version 2 their labels are symbols too; those that no series has stand before the series that refers to
/// them, so that who reads a request only once knows them in time.
#[derive(Default)]
pub(crate) struct Writer {
    utf8_names: bool,
    /// Symbols of the request beside those of its series.
    symbols: Table,
    /// The fields of a series.
    pub(crate) fields: Vec<u8>,
    message: Vec<u8>,
    references: Vec<u8>,
    field: Vec<u8>,
}

impl<'w> With<'w> {
    /// The exemplars that were not sent before.
    fn untold(self) -> impl Iterator<Item = &'w Exemplar> {
        self.of.iter().filter(move |exemplar| exemplar.serial > self.told)
    }

    /// About as many bytes as they take.
    pub(crate) fn bytes(self) -> usize {
        self.untold().map(|exemplar| 64 + self.all.labels(exemplar).len()).sum()
    }
}

impl Writer {
    pub(crate) fn new(utf8_names: bool) -> Self {
        Self { utf8_names, ..Self::default() }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let Self { utf8_names: _, symbols, fields, message, references, field } = self;
        symbols.memory_bytes()
            + [fields, message, references, field].iter().map(|buffer| buffer.capacity()).sum::<usize>()
    }

    /// A request begins.
    pub(crate) fn begin(&mut self) {
        self.symbols.empty();
    }

    /// Leaves the fields of a series in `fields`, and says how many exemplars they are. One without a time has that of its sample.
    pub(crate) fn write<const V2: bool>(
        &mut self,
        with: With<'_>,
        time_ms: i64,
        shared: &Shared,
        body: &mut Body,
    ) -> u32 {
        self.fields.clear();
        let mut count = 0;
        for exemplar in with.untold() {
            self.message.clear();
            self.references.clear();
            let labels = exposition::Labels::unchecked(with.all.labels(exemplar));
            if !self.utf8_names && labels.may_need_quotes() {
                for (name, value) in exposition::legacy_labels(&labels) {
                    self.label::<V2>(&name, value, shared, body);
                }
            } else {
                for label in labels.iter() {
                    self.label::<V2>(&label.name, label.value, shared, body);
                }
            }
            if !self.references.is_empty() {
                wire::bytes(&mut self.message, 1, &self.references);
            }
            wire::double(&mut self.message, 2, exemplar.value);
            let time_ms = if exemplar.time_ms == NO_TIME { time_ms } else { exemplar.time_ms };
            wire::number(&mut self.message, 3, time_ms.cast_unsigned());
            wire::bytes(&mut self.fields, if V2 { 4 } else { 3 }, &self.message);
            count += 1;
        }
        count
    }

    /// Adds a label to the exemplar; the value is as it stands between its quotes. One without a value is none.
    fn label<const V2: bool>(&mut self, name: &str, value: &str, shared: &Shared, body: &mut Body) {
        if value.is_empty() {
            return;
        }
        let value = exposition::unescape(value);
        if V2 {
            for text in [name, &*value] {
                let number = self.symbol(text, shared, body);
                wire::varint(&mut self.references, number);
            }
        } else {
            wire::tag(&mut self.message, 1, wire::BYTES);
            wire::varint(&mut self.message, (bytes_len(name.len()) + bytes_len(value.len())) as u64);
            wire::bytes(&mut self.message, 1, name.as_bytes());
            wire::bytes(&mut self.message, 2, value.as_bytes());
        }
    }

    /// The number of a symbol, which is written if it is new.
    fn symbol(&mut self, text: &str, shared: &Shared, body: &mut Body) -> u64 {
        self.field.clear();
        wire::bytes(&mut self.field, 4, text.as_bytes());
        if let Some(number) = shared.strings.number(&self.field) {
            return number.into();
        }
        let before = self.symbols.len();
        // A request holds far fewer than there are numbers. The empty symbol is there anyway.
        let number = self.symbols.intern(&self.field).map_or(0, |symbol| symbol.number as usize);
        if number == before {
            body.put(&self.field);
        }
        (shared.strings.len() + number) as u64
    }
}
