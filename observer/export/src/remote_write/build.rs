//! What is sent of a series with each of its samples, made once when the series comes.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Head, Layout},
};
use observer_exposition as exposition;

use super::{Options, Version, table::Table, wire::number};
use crate::{
    labels::{Labels, Relabel},
    wire::{self, bytes_len},
};

/// Why a series is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A relabelling rule drops it.
    Dropped,
    /// Relabelling made it the same as another.
    Duplicate,
    /// It has no name any more.
    Unnamed,
    /// Its labels take more than 64 KiB.
    TooLong,
    /// There is no room for one more string beside those of its neighbours.
    Full,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 5] = [Self::Dropped, Self::Duplicate, Self::Unnamed, Self::TooLong, Self::Full];

    /// The refusal as the value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Duplicate => "duplicate",
            Self::Unnamed => "unnamed",
            Self::TooLong => "too_long",
            Self::Full => "full",
        }
    }
}

/// The record of a series: bytes in its part, and a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) at: u32,
    /// Version 1: the number of labels. Version 2: where in the bin's metadata its own are.
    pub(crate) extra: u32,
    /// Version 1: the bytes of its label fields. Version 2: the bytes of the record.
    pub(crate) len: u16,
}

/// Strings that the series of a bin share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Version 1: label fields, each behind its length in two bytes. Version 2: symbol fields.
    pub(crate) strings: Table,
    /// Version 2: metadata fields.
    pub(crate) metadata: Table,
}

pub(crate) struct Builder {
    version: Version,
    utf8_names: bool,
    external: Vec<(String, String)>,
    relabel: Option<Box<dyn Relabel>>,
    labels: Labels,
    text: String,
    /// A label block as the layout has it.
    block: String,
    buffer: Vec<u8>,
    field: Vec<u8>,
    /// The hash of every series that is sent, where rules can make two the same.
    sent: Option<HashSet<u64>>,
    hasher: RandomState,
}

impl Builder {
    pub(crate) fn new(options: &mut Options) -> Self {
        let relabel = options.relabel.take();
        let sent = relabel.is_some().then(HashSet::new);
        Self {
            version: options.version,
            utf8_names: options.utf8_names,
            external: std::mem::take(&mut options.external_labels),
            relabel,
            labels: Labels::default(),
            text: String::new(),
            block: String::new(),
            buffer: Vec::new(),
            field: Vec::new(),
            sent,
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // A set of numbers has a byte beside each, and is at most seven eighths full.
        self.sent.as_ref().map_or(0, |sent| sent.capacity() * 10)
    }

    pub(crate) fn is_2(&self) -> bool {
        self.version == Version::V2
    }

    /// A series that is new. Once it has a record, another that becomes the same is refused.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        slot: u32,
        shared: &mut Shared,
        bytes: &mut Vec<u8>,
    ) -> Result<Record, Refusal> {
        self.label(layout, slot)?;
        let hash = self.hash();
        if self.sent.as_ref().is_some_and(|sent| sent.contains(&hash)) {
            return Err(Refusal::Duplicate);
        }
        let record = self.record(layout.head(slot), shared, bytes)?;
        if let Some(sent) = &mut self.sent {
            sent.insert(hash);
        }
        Ok(record)
    }

    /// A series that was there before, in other surroundings.
    pub(crate) fn again(
        &mut self,
        layout: &Layout,
        slot: u32,
        shared: &mut Shared,
        bytes: &mut Vec<u8>,
    ) -> Result<Record, Refusal> {
        self.label(layout, slot)?;
        self.record(layout.head(slot), shared, bytes)
    }

    /// A series that had a record and is not sent any more: another may take its place.
    pub(crate) fn remove(&mut self, layout: &Layout, slot: u32) {
        if self.sent.is_none() || self.label(layout, slot).is_err() {
            return;
        }
        let hash = self.hash();
        if let Some(sent) = &mut self.sent {
            sent.remove(&hash);
        }
    }

    fn hash(&self) -> u64 {
        match self.sent {
            Some(_) => self.hasher.hash_one(self.labels.iter().collect::<Vec<_>>()),
            None => 0,
        }
    }

    /// Makes the labels that are sent.
    fn label(&mut self, layout: &Layout, slot: u32) -> Result<(), Refusal> {
        let Self { utf8_names, external, relabel, labels, text, block, .. } = self;
        labels.clear();
        text.clear();
        text.push_str(&layout.head(slot).name);
        text.push_str(layout.suffix(slot).as_str());
        labels.set("__name__", text);
        let block = layout.labels(slot).read(block);
        for label in exposition::Labels::unchecked(block).iter() {
            labels.set(&label.name, &exposition::unescape(label.value));
        }
        for (name, value) in &*external {
            if labels.get(name).is_empty() {
                labels.set(name, value);
            }
        }
        if let Some(relabel) = relabel
            && !relabel.relabel(labels)
        {
            return Err(Refusal::Dropped);
        }
        if !*utf8_names {
            to_legacy(labels);
        }
        if labels.get("__name__").is_empty() { Err(Refusal::Unnamed) } else { Ok(()) }
    }

    fn record(&mut self, head: &Head, shared: &mut Shared, bytes: &mut Vec<u8>) -> Result<Record, Refusal> {
        let before = bytes.len();
        let record = match self.version {
            Version::V1 => self.record_1(shared, bytes),
            Version::V2 => self.record_2(head, shared, bytes),
        };
        if record.is_err() {
            bytes.truncate(before);
        }
        record
    }

    /// References to label fields, four bytes each.
    fn record_1(&mut self, shared: &mut Shared, bytes: &mut Vec<u8>) -> Result<Record, Refusal> {
        let at = u32::try_from(bytes.len()).map_err(|_| Refusal::Full)?;
        let (mut extra, mut len) = (0, 0);
        for (name, value) in self.labels.iter() {
            let inside = bytes_len(name.len()) + bytes_len(value.len());
            let field = bytes_len(inside);
            len += field;
            let field = u16::try_from(field).map_err(|_| Refusal::TooLong)?;
            self.buffer.clear();
            self.buffer.extend(field.to_le_bytes());
            self.buffer.push(0x0a);
            wire::varint(&mut self.buffer, inside as u64);
            wire::bytes(&mut self.buffer, 1, name.as_bytes());
            wire::bytes(&mut self.buffer, 2, value.as_bytes());
            let string = shared.strings.intern(&self.buffer).ok_or(Refusal::Full)?;
            bytes.extend(string.at.to_le_bytes());
            extra += 1;
        }
        Ok(Record { at, extra, len: u16::try_from(len).map_err(|_| Refusal::TooLong)? })
    }

    /// The field with the references to symbols as it is sent.
    fn record_2(&mut self, head: &Head, shared: &mut Shared, bytes: &mut Vec<u8>) -> Result<Record, Refusal> {
        let at = bytes.len();
        let mut text = 0;
        self.buffer.clear();
        for (name, value) in self.labels.iter() {
            text += name.len() + value.len();
            for string in [name, value] {
                let number = symbol(shared, &mut self.field, string)?;
                wire::varint(&mut self.buffer, number.into());
            }
        }
        wire::bytes(bytes, 1, &self.buffer);
        let len = u16::try_from(bytes.len() - at).map_err(|_| Refusal::TooLong)?;
        if text > usize::from(u16::MAX) {
            return Err(Refusal::TooLong);
        }
        let extra = self.metadata(head, shared)?;
        Ok(Record { at: u32::try_from(at).map_err(|_| Refusal::Full)?, extra, len })
    }

    /// The metadata that series of the family have in version 2.
    pub(crate) fn metadata(&mut self, head: &Head, shared: &mut Shared) -> Result<u32, Refusal> {
        let help = symbol(shared, &mut self.field, &head.help)?;
        let unit = symbol(shared, &mut self.field, &head.unit)?;
        let inside = &mut self.buffer;
        inside.clear();
        number(inside, 1, kind_number(head.kind));
        number(inside, 3, help.into());
        number(inside, 4, unit.into());
        let mut field = [0; 24];
        (field[0], field[1]) = (0x2a, inside.len() as u8);
        field[2..2 + inside.len()].copy_from_slice(inside);
        let metadata = shared.metadata.intern(&field[..2 + inside.len()]).ok_or(Refusal::Full)?;
        Ok(metadata.at)
    }
}

/// The number of a symbol. The first of all has to be the empty one.
fn symbol(shared: &mut Shared, field: &mut Vec<u8>, text: &str) -> Result<u32, Refusal> {
    if shared.strings.bytes().is_empty() {
        shared.strings.intern(&[0x22, 0]).ok_or(Refusal::Full)?;
    }
    field.clear();
    wire::bytes(field, 4, text.as_bytes());
    shared.strings.intern(field).map(|symbol| symbol.number).ok_or(Refusal::Full)
}

/// The number that both versions have for a type.
pub(crate) const fn kind_number(kind: Kind) -> u64 {
    match kind {
        Kind::Unknown => 0,
        Kind::Counter => 1,
        Kind::Gauge => 2,
        Kind::Histogram => 3,
        Kind::GaugeHistogram => 4,
        Kind::Summary => 5,
        Kind::Info => 6,
        Kind::StateSet => 7,
    }
}

/// Replaces what a name may not have in version 1.0 by underscores.
fn to_legacy(labels: &mut Labels) {
    let is_legal = |name: &str, value: &str| {
        exposition::is_legacy_label(name) && (name != "__name__" || exposition::is_legacy_name(value))
    };
    if labels.iter().all(|(name, value)| is_legal(name, value)) {
        return;
    }
    let owned: Vec<_> = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.clear();
    for (name, value) in owned {
        let value = if name == "__name__" { exposition::legacy_name(&value) } else { value.as_str().into() };
        labels.set(&exposition::legacy_label(&name), &value);
    }
}

/// Whether a slot's sample is part of a classic histogram.
pub(crate) const fn is_classic(suffix: Suffix) -> bool {
    matches!(suffix, Suffix::Bucket | Suffix::Sum | Suffix::Count | Suffix::GSum | Suffix::GCount)
}
