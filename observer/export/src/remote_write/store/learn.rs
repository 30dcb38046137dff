//! What has changed from one window to the next.

use std::sync::Arc;

use observer_aggregate::{
    series::Layout,
    window::{View, Window},
};

use super::{
    super::{
        beside::Beside,
        build::{Record, Refusal},
        template::Template,
    },
    DUPLICATE, Entry, FREE, Known, LEFT_OUT, LIVE, NATIVE, NEW, Part, REFUSED, SENT, Store, home,
};

/// Series whose templates are made in one window: some milliseconds of work.
const TEMPLATES: usize = 20_000;

/// A block that is new or has other series than before.
struct Change<'w> {
    block: u64,
    view: usize,
    old: Arc<Layout>,
    new: &'w Arc<Layout>,
    /// By slot, whether it has a series.
    taken: Vec<bool>,
    beside: Beside,
}

impl Store {
    /// Learns what has changed since the window before.
    pub(crate) fn learn(&mut self, window: &Window) {
        self.round += 1;
        self.collect();
        self.fill_templates();
        let mut changed = std::mem::take(&mut self.changed);
        let mut unknown = 0;
        for (at, view) in window.views().enumerate() {
            let Self { blocks, parts, round, .. } = self;
            let Some(known) = blocks.get_mut(&view.block) else {
                unknown += 1;
                changed.push(at);
                continue;
            };
            known.round = *round;
            if known.view != at {
                known.view = at;
                known.parts.iter().for_each(|part| parts[*part].view = at);
            }
            if !Arc::ptr_eq(&known.layout, view.layout) {
                changed.push(at);
            }
        }
        if self.blocks.len() + unknown > window.blocks() {
            self.lose();
        }
        if !changed.is_empty() || self.freed {
            self.take_over(window, &changed);
            changed.clear();
        }
        self.changed = changed;
    }

    /// Learns which series have come and gone. First all ends: what a series leaves may be taken by one of another block.
    #[cold]
    fn take_over(&mut self, window: &Window, changed: &[usize]) {
        let mut changes: Vec<_> = changed.iter().map(|at| self.change(*at, window.view(*at))).collect();
        changes.iter().for_each(|change| self.end(change));
        if std::mem::take(&mut self.freed) && self.duplicates > 0 {
            self.forget_duplicates();
            let others = (0..window.blocks()).filter(|at| changed.binary_search(at).is_err());
            changes.extend(others.map(|at| self.change(at, window.view(at))));
        }
        changes.iter().for_each(|change| self.begin(change));
    }

    fn change<'w>(&mut self, at: usize, view: View<'w>) -> Change<'w> {
        let View { block, layout: new, .. } = view;
        let round = self.round;
        let fresh = || Known { layout: Arc::default(), view: at, parts: Vec::new(), round };
        let known = self.blocks.entry(block).or_insert_with(fresh);
        let old = std::mem::replace(&mut known.layout, Arc::clone(new));
        let mut taken = vec![false; new.slots()];
        new.order().iter().for_each(|slot| taken[*slot as usize] = true);
        let beside = Beside::of(new, self.send_native, self.classic_beside_native);
        Change { block, view: at, old, new, taken, beside }
    }

    /// Ends the series that are not there any more, or are not sent any more.
    fn end(&mut self, change: &Change<'_>) {
        let Self { blocks, parts, bins, builder, .. } = self;
        for at in blocks.get(&change.block).into_iter().flat_map(|known| &known.parts) {
            let part = &mut parts[*at];
            let bin = &mut bins[part.bin];
            for index in 0..part.entries.len() {
                let entry = part.entries[index];
                let slot = (part.first + index) as u32;
                if entry.flags == FREE || change.goes_on(slot, entry) {
                    continue;
                }
                if entry.flags & SENT != 0 {
                    bin.series -= 1;
                    builder.remove(&change.old, slot);
                    self.freed = true;
                }
                if entry.flags & LIVE != 0 {
                    part.ended.push(entry);
                    self.ending = true;
                }
                self.duplicates -= usize::from(entry.flags & DUPLICATE != 0);
                part.entries[index] = Entry::default();
                part.changes += 1;
                if let Some(rare) = &mut part.rare
                    && let Some(time) = rare.times.get_mut(index)
                {
                    *time = i64::MIN;
                }
            }
        }
    }

    /// Makes what is needed of the series that are new.
    fn begin(&mut self, change: &Change<'_>) {
        let slots = change.new.slots();
        for first in (0..slots).step_by(self.part_slots()) {
            let range = first..(first + self.part_slots()).min(slots);
            let place = first / self.part_slots();
            let known = self.blocks.get(&change.block).and_then(|known| known.parts.get(place).copied());
            let at = known.unwrap_or_else(|| self.part(change, first, &change.taken[range.clone()]));
            self.parts[at].entries.resize(range.len(), Entry::default());
            for slot in range.filter(|slot| change.taken[*slot]) {
                self.slot(at, slot as u32, change);
            }
            let part = &mut self.parts[at];
            if part.is_outdated() {
                self.untemplated.push(at);
            }
            if part.bytes.capacity() > part.bytes.len() + part.bytes.len() / 8 {
                // An allocator that is asked for less in the same place may leave all as it is.
                part.bytes = part.bytes.as_slice().to_vec();
            }
            change.beside.created(part);
        }
    }

    fn part(&mut self, change: &Change<'_>, first: usize, taken: &[bool]) -> usize {
        let Change { block, view, new, .. } = *change;
        let series = taken.iter().filter(|taken| **taken).count();
        let home = home(new, if new.len() > self.capacity { first } else { 0 });
        let at = self.place(Part { view, first, block, ..Part::default() }, series, home);
        if let Some(known) = self.blocks.get_mut(&block) {
            known.parts.push(at);
        }
        at
    }

    fn slot(&mut self, at: usize, slot: u32, change: &Change<'_>) {
        let Self { parts, bins, builder, .. } = self;
        let Change { old, new, beside, .. } = change;
        let part = &mut parts[at];
        let bin = &mut bins[part.bin];
        let entry = &mut part.entries[slot as usize - part.first];
        if entry.flags & SENT != 0 && builder.is_2() && !std::ptr::eq(old.head(slot), new.head(slot)) {
            // The family's help or unit is another.
            entry.extra = builder.metadata(new.head(slot), &mut bin.shared).unwrap_or(entry.extra);
            bin.made += 1;
        }
        if entry.flags != FREE {
            return;
        }
        if beside.is_left_out(new, slot) {
            entry.flags = LEFT_OUT;
            return;
        }
        *entry = match builder.add(new, slot, &mut bin.shared, &mut part.bytes) {
            Ok(Record { at, extra, len }) => {
                bin.series += 1;
                bin.made += 1;
                let native = u8::from(beside.is_native(new, slot)) * NATIVE;
                part.changes += 1;
                Entry { at, extra, len, flags: SENT | native | NEW }
            }
            Err(refusal) => {
                self.refused[refusal as usize] += 1;
                let duplicate = refusal == Refusal::Duplicate;
                self.duplicates += usize::from(duplicate);
                Entry { flags: REFUSED | (u8::from(duplicate) * DUPLICATE), ..Entry::default() }
            }
        };
    }

    /// Makes templates of parts that had none in the window before, or one that was too old; some in each window.
    fn fill_templates(&mut self) {
        let Self { parts, bins, untemplated, templates, .. } = self;
        if !*templates {
            return untemplated.clear();
        }
        let mut left = TEMPLATES;
        while left > 0
            && let Some(at) = untemplated.pop()
        {
            let part = &mut parts[at];
            if part.is_outdated() && !part.gone {
                part.template = Some(Template::of(part, &bins[part.bin].shared));
                part.entries.iter_mut().for_each(|entry| entry.flags &= !NEW);
                part.changes = 0;
                left = left.saturating_sub(part.entries.len());
            }
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

    /// Makes the records anew of a bin many of whose strings may belong to series that have gone: each request carries them
    /// all. One bin a window, as many come to it together.
    fn collect(&mut self) {
        let Self { parts, bins, builder, blocks, refused, .. } = self;
        if let Some(bin) = bins.iter_mut().find(|bin| bin.made > 1024 + bin.series + bin.series / 4) {
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
}

impl Part {
    /// Whether a template would do better than the one there is: each change costs those of the series behind it.
    fn is_outdated(&self) -> bool {
        self.template.is_none() || 64 * self.changes > self.entries.len()
    }
}

impl Change<'_> {
    /// Whether what is known of a slot is still true.
    fn goes_on(&self, slot: u32, entry: Entry) -> bool {
        let Self { old, new, taken, beside, .. } = self;
        let here = taken.get(slot as usize) == Some(&true) && (slot as usize) < old.slots();
        here && old.birth(slot) == new.birth(slot)
            && beside.is_left_out(new, slot) == (entry.flags & LEFT_OUT != 0)
    }
}
