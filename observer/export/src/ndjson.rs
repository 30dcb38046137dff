//! Windows as lines of JSON, for programs that read a stream: version 1 of the schema in `docs/ndjson.md`.

mod line;

use std::{collections::HashMap, sync::Arc};

use observer_aggregate::{
    series::{ABSENT, Layout, NO_TIME, is_present, is_stale},
    stream::Conditions,
    window::{View, Window},
};

use line::Exemplars;

/// What an encoder is told.
#[derive(Debug, Default)]
pub struct Options {
    /// Selectors; a series that one of them takes is written. All series without one.
    pub select: Vec<Conditions>,
    /// Leave out samples with the value that was written last. Native histograms are always written.
    pub changed_only: bool,
}

/// What a window came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples with one number, ends of series among them.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// New exemplars that no line has, for their series has ended.
    pub exemplars_untold: u64,
}

/// How many bytes of lines are handed out at a time, and a line more.
const CHUNK: usize = 256 << 10;

/// Writes lines. Once all series are known, it allocates nothing.
#[derive(Debug, Default)]
pub struct Encoder {
    options: Options,
    blocks: HashMap<u64, Lines>,
    buffer: Vec<u8>,
}

/// The lines of a block's series, as far as they do not change.
#[derive(Debug, Default)]
struct Lines {
    layout: Option<Arc<Layout>>,
    serial: u64,
    slots: Vec<Slot>,
    text: Vec<u8>,
    dead: usize,
    /// The highest serial of an exemplar that was written.
    told: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    birth: u32,
    at: u32,
    /// 0 for a series that is not wanted.
    len: u32,
    /// The value that was written last.
    last: f64,
}

/// No value yet: one that no sample has.
const UNWRITTEN: f64 = ABSENT;

impl Encoder {
    /// An encoder that has seen nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Bytes kept for series.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let of_lines = |lines: &Lines| lines.slots.capacity() * size_of::<Slot>() + lines.text.capacity();
        self.blocks.values().map(of_lines).sum::<usize>() + self.buffer.capacity()
    }

    /// Hands out a window's lines, whole ones: one for each of its samples, and behind them one for itself.
    pub fn window(&mut self, window: &Window, out: &mut dyn FnMut(&[u8])) -> Written {
        let Self { options, blocks, buffer } = self;
        let mut written = Written::default();
        for view in window.views() {
            let lines = blocks.entry(view.block).or_default();
            lines.serial = window.serial;
            if view.fresh {
                lines.learn(&view, options);
                lines.write(&view, window, options.changed_only, buffer, out, &mut written);
            }
        }
        blocks.retain(|_, lines| lines.serial == window.serial);
        line::window(buffer, window, &written);
        out(buffer);
        buffer.clear();
        written
    }

    /// What was handed out last was not written: no value and no exemplar is taken for written before.
    pub fn forget_values(&mut self) {
        self.blocks.values_mut().for_each(|lines| lines.told = 0);
        let slots = self.blocks.values_mut().flat_map(|lines| &mut lines.slots);
        slots.for_each(|slot| slot.last = UNWRITTEN);
    }
}

/// Appends the line that says that windows are missing. `first` and `last` are their numbers.
pub fn lost(out: &mut Vec<u8>, first: u64, last: u64, cause: &str) {
    line::lost(out, first, last, cause);
}

impl Lines {
    /// Makes the text of series that are new.
    fn learn(&mut self, view: &View<'_>, options: &Options) {
        let View { layout, .. } = view;
        if self.layout.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, layout)) {
            return;
        }
        self.slots.resize(layout.slots(), Slot::default());
        for &slot in layout.order() {
            let birth = layout.birth(slot);
            let state = &mut self.slots[slot as usize];
            if state.birth == birth {
                continue;
            }
            self.dead += state.len as usize;
            let start = self.text.len();
            if line::wanted(layout, slot, &options.select) {
                line::series(&mut self.text, view.source, layout, slot);
            }
            let len = (self.text.len() - start) as u32;
            *state = Slot { birth, at: start as u32, len, last: UNWRITTEN };
        }
        if self.dead > 1 << 16 && 2 * self.dead > self.text.len() {
            self.compact(layout);
        }
        self.layout = Some(Arc::clone(layout));
    }

    fn compact(&mut self, layout: &Layout) {
        let old = std::mem::take(&mut self.text);
        let mut lives = vec![false; self.slots.len()];
        layout.order().iter().for_each(|slot| lives[*slot as usize] = true);
        for (slot, lives) in self.slots.iter_mut().zip(lives) {
            let text = &old[slot.at as usize..][..slot.len as usize];
            slot.at = self.text.len() as u32;
            if lives {
                self.text.extend_from_slice(text);
            } else {
                *slot = Slot::default();
            }
        }
        self.dead = 0;
    }

    fn write(
        &mut self,
        view: &View<'_>,
        window: &Window,
        changed_only: bool,
        buffer: &mut Vec<u8>,
        out: &mut dyn FnMut(&[u8]),
        written: &mut Written,
    ) {
        let View { layout, values, times, exemplars, .. } = view;
        let told = std::mem::replace(&mut self.told, exemplars.newest());
        let news = exemplars.newest() > told;
        for &slot in layout.order() {
            let (state, value) = (&mut self.slots[slot as usize], values[slot as usize]);
            let absent = !is_present(value) && !is_stale(value);
            let native = if is_present(value) { view.native(slot) } else { None };
            let of = if news && is_present(value) { exemplars.of(slot) } else { &[] };
            let new = Exemplars { all: exemplars, of, told };
            let same =
                changed_only && native.is_none() && new.is_empty() && state.last.to_bits() == value.to_bits();
            if news && state.len > 0 && !is_present(value) {
                let new = exemplars.of(slot).iter().filter(|of| of.serial > told);
                written.exemplars_untold += new.count() as u64;
            }
            if absent || same || state.len == 0 {
                continue;
            }
            state.last = value;
            let time_ms = times.get(slot as usize).copied().filter(|time| *time != NO_TIME);
            let text = &self.text[state.at as usize..][..state.len as usize];
            line::sample(buffer, text, time_ms.unwrap_or(window.end_ms), value, native, new);
            match native {
                Some(_) => written.histograms += 1,
                None => written.samples += 1,
            }
            if buffer.len() >= CHUNK {
                out(buffer);
                buffer.clear();
            }
        }
    }
}
