//! Which series there are, what was made of each, and which request it belongs to.
//!
//! A block is cut into parts by ranges of slots. A part belongs to a bin, and a bin's samples are one request: so many small
//! blocks share a request, and a large one is spread over several. A part never changes its bin, nor a bin its lane.

use std::{collections::HashMap, sync::Arc};

use observer_aggregate::{series::Layout, window::Window};

use super::{
    Options,
    beside::Beside,
    body::Kept,
    build::{Builder, Record, Refusal, Shared},
};

/// Slots of a part at most.
const PART: usize = 1000;

/// Nothing is known of the slot, or it has no series.
pub(crate) const FREE: u8 = 0;
/// It has a record.
pub(crate) const SENT: u8 = 1;
/// Its samples are native histograms.
pub(crate) const NATIVE: u8 = 2;
/// It has had a value, and no end.
pub(crate) const LIVE: u8 = 4;
/// It is not sent: another says the same, or the endpoint does not take it.
pub(crate) const LEFT_OUT: u8 = 8;
/// It is refused.
pub(crate) const REFUSED: u8 = 16;
/// It is refused as long as the other has not ended.
pub(crate) const DUPLICATE: u8 = 32;

/// A slot: 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) at: u32,
    pub(crate) extra: u32,
    pub(crate) len: u16,
    pub(crate) flags: u8,
}

/// A range of a block's slots.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Where the block stands in the window.
    pub(crate) view: usize,
    /// The block is not in the window any more.
    pub(crate) gone: bool,
    pub(crate) bin: usize,
    pub(crate) first: usize,
    pub(crate) entries: Vec<Entry>,
    /// The records.
    pub(crate) bytes: Vec<u8>,
    /// Series that had no end yet when something else took their place.
    pub(crate) ended: Vec<Entry>,
    pub(crate) rare: Option<Box<Rare>>,
    block: u64,
}

/// What few parts have, by slot; empty if no series of the part does.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The time of the last sample that brought its own.
    pub(crate) times: Vec<i64>,
    /// The slot that says when the series was created, or [`u32::MAX`].
    pub(crate) created: Vec<u32>,
}

/// What goes into one request.
#[derive(Default)]
pub(crate) struct Bin {
    pub(crate) parts: Vec<usize>,
    pub(crate) shared: Shared,
    /// Version 2: the symbols, compressed.
    pub(crate) symbols: Option<Kept>,
    /// Series that are sent.
    series: usize,
    /// Records made since the strings were last collected.
    made: usize,
}

struct Known {
    layout: Arc<Layout>,
    view: usize,
    parts: Vec<usize>,
    /// The last round that saw it.
    round: u64,
}

pub(crate) struct Store {
    pub(crate) parts: Vec<Part>,
    pub(crate) bins: Vec<Bin>,
    /// Series refused so far, by [`Refusal`].
    pub(crate) refused: [u64; Refusal::ALL.len()],
    blocks: HashMap<u64, Known>,
    free: Vec<usize>,
    builder: Builder,
    capacity: usize,
    send_native: bool,
    classic_beside_native: bool,
    round: u64,
    /// Slots that are refused as duplicates, and whether one of those they repeat has ended.
    duplicates: usize,
    freed: bool,
    gone: bool,
}

impl Store {
    pub(crate) fn new(options: &mut Options) -> Self {
        Self {
            parts: Vec::new(),
            bins: Vec::new(),
            refused: [0; _],
            blocks: HashMap::new(),
            free: Vec::new(),
            builder: Builder::new(options),
            capacity: options.max_samples.max(1),
            send_native: options.send_native,
            classic_beside_native: options.classic_beside_native,
            round: 0,
            duplicates: 0,
            freed: false,
            gone: false,
        }
    }

    /// Series that are sent.
    pub(crate) fn series(&self) -> usize {
        self.bins.iter().map(|bin| bin.series).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let part = |part: &Part| {
            let Part { entries, bytes, ended, rare, .. } = part;
            let rare =
                rare.as_ref().map_or(0, |rare| rare.times.capacity() * 8 + rare.created.capacity() * 4);
            (entries.capacity() + ended.capacity()) * size_of::<Entry>() + bytes.capacity() + rare
        };
        let bin = |bin: &Bin| {
            let symbols = bin.symbols.as_ref().map_or(0, Kept::memory_bytes);
            bin.shared.strings.memory_bytes() + bin.shared.metadata.memory_bytes() + symbols
        };
        self.parts.iter().map(part).sum::<usize>()
            + self.bins.iter().map(bin).sum::<usize>()
            + self.parts.capacity() * size_of::<Part>()
            + self.bins.capacity() * size_of::<Bin>()
            + self.blocks.capacity() * (size_of::<Known>() + size_of::<usize>() + size_of::<u64>())
            + self.builder.memory_bytes()
    }

    /// Learns what has changed since the window before.
    pub(crate) fn learn(&mut self, window: &Window) {
        self.round += 1;
        self.collect();
        let again = std::mem::take(&mut self.freed) && self.duplicates > 0;
        if again {
            self.forget_duplicates();
        }
        let mut views = 0;
        for (at, view) in window.views().enumerate() {
            views += 1;
            let Self { blocks, parts, round, .. } = self;
            if let Some(known) = blocks.get_mut(&view.block) {
                known.round = *round;
                if known.view != at {
                    known.view = at;
                    known.parts.iter().for_each(|part| parts[*part].view = at);
                }
                if !again && Arc::ptr_eq(&known.layout, view.layout) {
                    continue;
                }
            }
            self.block(view.block, at, view.layout);
        }
        if self.blocks.len() > views {
            self.lose();
        }
    }

    /// A block that is new or has changed.
    fn block(&mut self, block: u64, view: usize, new: &Arc<Layout>) {
        let fresh = || Known { layout: Arc::default(), view, parts: Vec::new(), round: 0 };
        let mut known = self.blocks.remove(&block).unwrap_or_else(fresh);
        known.round = self.round;
        let old = std::mem::replace(&mut known.layout, Arc::clone(new));
        let beside = Beside::of(new, self.send_native, self.classic_beside_native);
        let mut taken = vec![false; new.slots()];
        new.order().iter().for_each(|slot| taken[*slot as usize] = true);
        for first in (0..old.slots().max(new.slots())).step_by(self.part_slots()) {
            let range = first..(first + self.part_slots()).min(new.slots());
            let at = match known.parts.get(first / self.part_slots()) {
                Some(at) => *at,
                None => {
                    let series = taken[range.clone()].iter().filter(|taken| **taken).count();
                    let at = self.place(Part { view, first, block, ..Part::default() }, series);
                    known.parts.push(at);
                    at
                }
            };
            self.parts[at].entries.resize(range.len(), Entry::default());
            for slot in range {
                self.slot(at, slot as u32, &old, new, taken[slot], &beside);
            }
            let part = &mut self.parts[at];
            part.bytes.shrink_to(part.bytes.len() + part.bytes.len() / 8);
            beside.created(part);
        }
        self.blocks.insert(block, known);
    }

    fn slot(&mut self, at: usize, slot: u32, old: &Layout, new: &Layout, taken: bool, beside: &Beside) {
        let Self { parts, bins, builder, .. } = self;
        let part = &mut parts[at];
        let bin = &mut bins[part.bin];
        let index = slot as usize - part.first;
        let entry = part.entries[index];
        let known = (slot as usize) < old.slots();
        let same = taken && known && old.birth(slot) == new.birth(slot);
        let left_out = taken && beside.is_left_out(new, slot);
        if entry.flags != FREE && (!same || left_out != (entry.flags & LEFT_OUT != 0)) {
            if entry.flags & SENT != 0 {
                bin.series -= 1;
                builder.remove(old, slot);
                self.freed = true;
            }
            if entry.flags & LIVE != 0 {
                part.ended.push(entry);
            }
            self.duplicates -= usize::from(entry.flags & DUPLICATE != 0);
            part.entries[index] = Entry::default();
            if let Some(rare) = &mut part.rare
                && let Some(time) = rare.times.get_mut(index)
            {
                *time = i64::MIN;
            }
        } else if entry.flags & SENT != 0 {
            if !std::ptr::eq(old.head(slot), new.head(slot)) && builder.is_2() {
                let metadata = builder.metadata(new.head(slot), &mut bin.shared);
                part.entries[index].extra = metadata.unwrap_or(entry.extra);
            }
            return;
        } else if entry.flags != FREE {
            return;
        }
        if !taken {
            return;
        }
        let native = u8::from(beside.is_native(new, slot)) * NATIVE;
        let flags = if left_out {
            Entry { flags: LEFT_OUT, ..Entry::default() }
        } else {
            match builder.add(new, slot, &mut bin.shared, &mut part.bytes) {
                Ok(Record { at, extra, len }) => {
                    bin.series += 1;
                    bin.made += 1;
                    Entry { at, extra, len, flags: SENT | native }
                }
                Err(refusal) => {
                    self.refused[refusal as usize] += 1;
                    let duplicate = refusal == Refusal::Duplicate;
                    self.duplicates += usize::from(duplicate);
                    Entry { flags: REFUSED | (u8::from(duplicate) * DUPLICATE), ..Entry::default() }
                }
            }
        };
        part.entries[index] = flags;
    }

    /// Gives a new part its bin: the first that has room for its series.
    fn place(&mut self, mut part: Part, series: usize) -> usize {
        let fits = |bin: &Bin| bin.series + series <= self.capacity || bin.parts.is_empty();
        part.bin = self.bins.iter().position(fits).unwrap_or_else(|| {
            self.bins.push(Bin::default());
            self.bins.len() - 1
        });
        let bin = part.bin;
        let at = match self.free.pop() {
            Some(at) => {
                self.parts[at] = part;
                at
            }
            None => {
                self.parts.push(part);
                self.parts.len() - 1
            }
        };
        self.bins[bin].parts.push(at);
        at
    }

    /// Finds the blocks that the window does not have any more.
    fn lose(&mut self) {
        let Self { blocks, parts, round, builder, bins, .. } = self;
        let lost = blocks.extract_if(|_, known| known.round != *round);
        for (_, Known { layout, parts: of, .. }) in lost {
            for at in of {
                let part = &mut parts[at];
                part.gone = true;
                self.gone = true;
                for (index, entry) in part.entries.iter().enumerate() {
                    if entry.flags & SENT != 0 {
                        bins[part.bin].series -= 1;
                        builder.remove(&layout, (part.first + index) as u32);
                        self.freed = true;
                    }
                    self.duplicates -= usize::from(entry.flags & DUPLICATE != 0);
                }
            }
        }
    }

    /// Forgets the blocks that are gone, now that their series have been ended.
    pub(crate) fn forget(&mut self) {
        if !std::mem::take(&mut self.gone) {
            return;
        }
        let Self { parts, bins, free, .. } = self;
        for bin in bins.iter_mut() {
            let before = bin.parts.len();
            bin.parts.retain(|at| !parts[*at].gone);
            if bin.parts.is_empty() && before > 0 {
                *bin = Bin::default();
            }
        }
        for (at, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.gone) {
            *part = Part::default();
            free.push(at);
        }
    }

    fn forget_duplicates(&mut self) {
        for entry in self.parts.iter_mut().flat_map(|part| &mut part.entries) {
            if entry.flags & DUPLICATE != 0 {
                entry.flags = FREE;
            }
        }
        self.duplicates = 0;
    }

    /// Makes the records anew of a bin most of whose strings may belong to series that have gone.
    fn collect(&mut self) {
        let Self { parts, bins, builder, blocks, refused, .. } = self;
        for bin in bins.iter_mut().filter(|bin| bin.made > 1024 + 2 * bin.series) {
            bin.made = bin.series;
            bin.shared.strings.clear();
            bin.shared.metadata.clear();
            bin.symbols = None;
            for part in &bin.parts {
                let Part { entries, bytes, block, first, .. } = &mut parts[*part];
                bytes.clear();
                let Some(known) = blocks.get(block) else { continue };
                for (slot, entry) in (*first..).zip(entries).filter(|(_, entry)| entry.flags & SENT != 0) {
                    match builder.again(&known.layout, slot as u32, &mut bin.shared, bytes) {
                        Ok(Record { at, extra, len }) => {
                            (entry.at, entry.extra, entry.len) = (at, extra, len);
                        }
                        Err(refusal) => {
                            refused[refusal as usize] += 1;
                            bin.series -= 1;
                            *entry = Entry { flags: REFUSED, ..Entry::default() };
                        }
                    }
                }
            }
        }
    }

    fn part_slots(&self) -> usize {
        PART.min(self.capacity)
    }
}
