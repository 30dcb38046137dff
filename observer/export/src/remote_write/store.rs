//! Which series there are, what was made of each, and which request it belongs to.
//!
//! A block is cut into parts by ranges of slots. A part belongs to a bin, and a bin's samples are one request: so many small
//! blocks share a request, and a large one is spread over several. A part never changes its bin, nor a bin its lane; and what
//! comes from the same target goes the same lane also if its block is another one now.

mod learn;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use observer_aggregate::series::Layout;
use observer_exposition::Labels;

use super::{
    Compression, Options, Version,
    body::Kept,
    build::{Builder, Refusal, Shared},
    template::Template,
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
/// It has come since the template of its part was made.
pub(crate) const NEW: u8 = 64;

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
    /// The highest serial of an exemplar that was sent.
    pub(crate) told: u64,
    /// Series that had no end yet when something else took their place.
    pub(crate) ended: Vec<Entry>,
    pub(crate) rare: Option<Box<Rare>>,
    /// Version 1.
    pub(crate) template: Option<Template>,
    /// Series that have come and gone since then.
    changes: usize,
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
    pub(crate) lane: u16,
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
    /// Which lane a target's series went, by the hash of its `job` and `instance`.
    homes: HashMap<u64, u16>,
    changed: Vec<usize>,
    /// Parts without a template, or with one that is too old.
    untemplated: Vec<usize>,
    builder: Builder,
    /// Whether parts have templates, which are elements of snappy in version 1.
    templates: bool,
    capacity: usize,
    /// A bin with as many bytes of strings takes no more parts.
    max_strings: usize,
    lanes: u16,
    send_native: bool,
    classic_beside_native: bool,
    round: u64,
    /// Slots that are refused as duplicates, and whether one of those they repeat has ended.
    duplicates: usize,
    freed: bool,
    gone: bool,
    /// Series have ended that no window has told.
    pub(crate) ending: bool,
}

impl Store {
    pub(crate) fn new(options: &mut Options) -> Self {
        Self {
            parts: Vec::new(),
            bins: Vec::new(),
            refused: [0; _],
            blocks: HashMap::new(),
            free: Vec::new(),
            homes: HashMap::new(),
            changed: Vec::new(),
            untemplated: Vec::new(),
            builder: Builder::new(options),
            templates: options.version == Version::V1 && options.compression() == Compression::Snappy,
            capacity: options.max_samples.max(1),
            max_strings: options.max_bytes / 2,
            lanes: options.lanes.max(1),
            send_native: options.send_native,
            classic_beside_native: options.classic_beside_native,
            round: 0,
            duplicates: 0,
            freed: false,
            gone: false,
            ending: false,
        }
    }

    /// Series that are sent.
    pub(crate) fn series(&self) -> usize {
        self.bins.iter().map(|bin| bin.series).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let part = |part: &Part| {
            let Part { entries, bytes, ended, rare, template, .. } = part;
            let template = template.as_ref().map_or(0, Template::memory_bytes);
            let rare =
                rare.as_ref().map_or(0, |rare| rare.times.capacity() * 8 + rare.created.capacity() * 4);
            (entries.capacity() + ended.capacity()) * size_of::<Entry>() + bytes.capacity() + rare + template
        };
        let bin = |bin: &Bin| {
            let symbols = bin.symbols.as_ref().map_or(0, Kept::memory_bytes);
            bin.shared.strings.memory_bytes() + bin.shared.metadata.memory_bytes() + symbols
        };
        self.parts.iter().map(part).sum::<usize>()
            + self.bins.iter().map(bin).sum::<usize>()
            + self.parts.capacity() * size_of::<Part>()
            + self.bins.capacity() * size_of::<Bin>()
            + self.homes.capacity() * (size_of::<(u64, u16)>() + 1)
            + self.blocks.capacity() * (size_of::<Known>() + size_of::<usize>() + size_of::<u64>())
            + self.builder.memory_bytes()
    }

    /// Gives a new part its bin: the first that has room for its series.
    fn place(&mut self, mut part: Part, series: usize, home: u64) -> usize {
        let known = self.homes.get(&home).copied();
        let fits = |bin: &Bin| {
            known.is_none_or(|lane| bin.lane == lane)
                && (bin.series + series <= self.capacity || bin.parts.is_empty())
                && bin.shared.strings.bytes().len() <= self.max_strings
        };
        part.bin = self.bins.iter().position(fits).unwrap_or_else(|| {
            let lane = known.unwrap_or_else(|| self.idle_lane());
            self.bins.push(Bin { lane, ..Bin::default() });
            self.bins.len() - 1
        });
        if self.homes.len() > 1024 + 4 * self.parts.len() {
            // Targets that have not been seen for long.
            self.homes.clear();
        }
        self.homes.insert(home, self.bins[part.bin].lane);
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

    /// The lane with the fewest series.
    fn idle_lane(&self) -> u16 {
        let series = |lane: &u16| {
            let of = self.bins.iter().filter(|bin| bin.lane == *lane);
            of.map(|bin| bin.series).sum::<usize>()
        };
        (0..self.lanes).min_by_key(series).unwrap_or(0)
    }

    /// Finds the blocks that the window does not have any more.
    fn lose(&mut self) {
        let Self { blocks, parts, round, builder, bins, .. } = self;
        let lost = blocks.extract_if(|_, known| known.round != *round);
        for (_, Known { layout, parts: of, .. }) in lost {
            for at in of {
                let part = &mut parts[at];
                part.gone = true;
                (self.gone, self.ending) = (true, true);
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
                *bin = Bin { lane: bin.lane, ..Bin::default() };
            }
        }
        for (at, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.gone) {
            *part = Part::default();
            free.push(at);
        }
    }

    fn part_slots(&self) -> usize {
        PART.min(self.capacity)
    }
}

/// What tells where a block's series come from: the labels by which its first series names its target.
fn home(layout: &Layout, first: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    first.hash(&mut hasher);
    if let Some(slot) = layout.order().first() {
        let mut buffer = String::new();
        let labels = Labels::unchecked(layout.labels(*slot).read(&mut buffer));
        (labels.value("job"), labels.value("instance")).hash(&mut hasher);
    }
    hasher.finish()
}
