//! Series and their values: a block for each source, with one writer.
//!
//! What a series is (its family, its labels) stands in a [`Layout`], which closed windows share and which changes only when a
//! series comes or goes. What it is worth stands in a plain array beside it, by slot. A slot keeps its number as long as its
//! series lives, so whoever fills it finds it without looking anything up.

mod exemplars;
mod heads;
mod layout;
mod pages;
mod read;
mod store;
mod text;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    exemplars::Exemplars,
    family::{Family, Kind, Sample, Suffix},
    native::Native,
};
use layout::Series;
pub use layout::{Head, Layout};
use store::Store;
pub(crate) use store::Values;
pub use text::{CHUNK, Text};
use text::{Index, Texts};

/// Marks the end of a series: the NaN with which Prometheus says that there are no more samples
/// (`model/value/value.go`, `StaleNaN`).
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Marks a series that has no value in this window and needs no mark either. Never leaves the process.
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0003);

/// No timestamp of its own.
pub const NO_TIME: i64 = i64::MIN;

/// Whether the value is [`STALE`].
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// Whether the value is one to show: neither [`STALE`] nor [`ABSENT`].
#[must_use]
pub fn is_present(value: f64) -> bool {
    !is_stale(value) && value.to_bits() != ABSENT.to_bits()
}

/// The series of one source and their current values. One writer.
#[derive(Debug, Default)]
pub struct Block {
    id: Id,
    layout: Arc<Layout>,
    store: Store,
    free: Vec<u32>,
    /// Series that have ended and whose end no window has told yet, by the hash of what they are.
    ending: HashMap<u64, u32>,
    /// The families by the hash of name and type; of two with one hash the later.
    heads: HashMap<u64, u32>,
    births: u32,
    /// The order may have one family in several places.
    scattered: bool,
    /// All series ended at once, and no window has told it.
    ended: bool,
    /// All series ended at once, and no values have come since.
    gone: bool,
    /// Values have come since the last window.
    fresh: bool,
    /// Series whose samples have times of their own end with a mark, as others do.
    tracks_times: bool,
    /// Bytes of label text that belong to no series any more.
    dead: usize,
    /// Where the text is of series that are new since the last window.
    index: Option<Index>,
    changes: u64,
}

/// Tells a block from every other of the process.
#[derive(Debug)]
struct Id(u64);

impl Default for Id {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

impl Block {
    /// A number that no other block of the process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// The series.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Rises whenever a series comes or goes, and when all end or come back.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The values by slot.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        self.store.values()
    }

    /// The times by slot, or nothing if no series has one. [`NO_TIME`] for none.
    #[must_use]
    pub fn times(&self) -> &[i64] {
        self.store.times()
    }

    /// The native histograms, by slot.
    pub fn natives(&self) -> impl Iterator<Item = (u32, &Native)> {
        self.store.natives().iter().map(|(slot, native)| (*slot, native))
    }

    /// The exemplars.
    #[must_use]
    pub fn exemplars(&self) -> &Exemplars {
        self.store.exemplars()
    }

    /// Whether a series of the family of that name has a value.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let (mut families, values) = (self.layout.families(), self.values());
        families.any(|(head, slots)| {
            *head.name == *name && slots.iter().any(|slot| is_present(values[*slot as usize]))
        })
    }

    /// The number of series, those that are ending included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// Bytes used and bytes reserved for series and values.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        let Layout { heads, series, order, texts } = &*self.layout;
        let fixed = |n: usize| n * (size_of::<Series>() + size_of::<u32>() + size_of::<f64>());
        // What is dead has the same share of the pieces as of the text they say.
        let says = texts.says(0);
        let text = texts.used() * (says - self.dead.min(says)) / says.max(1);
        let times = size_of_val(self.times());
        let natives: usize = self.natives().map(|(_, native)| native.memory_bytes()).sum();
        let exemplars = self.exemplars().memory_bytes();
        let used = fixed(order.len()) + text + times + natives + exemplars;
        let reserved = series.memory_bytes()
            + order.capacity() * size_of::<u32>()
            + heads.capacity() * size_of::<Arc<Head>>()
            + self.store.memory_bytes()
            + texts.memory_bytes()
            + self.index.as_ref().map_or(0, |_| Index::BYTES);
        (used, reserved)
    }

    /// The family of that name and type, made if there is none; help and unit are those of the last call.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str, unit: &str) -> u32 {
        let key = heads::key(name, kind);
        if let Some(at) = self.find(key, name, kind) {
            let head = &self.layout.heads[at as usize];
            if &*head.help != help || &*head.unit != unit {
                let heads = &mut Arc::make_mut(&mut self.layout).heads;
                Arc::make_mut(heads)[at as usize] = heads::shared(name, kind, help, unit);
                self.changes += 1;
            }
            return at;
        }
        let heads = Arc::make_mut(&mut Arc::make_mut(&mut self.layout).heads);
        heads.push(heads::shared(name, kind, help, unit));
        let at = u32::try_from(heads.len() - 1).unwrap_or(u32::MAX);
        self.heads.insert(key, at);
        at
    }

    fn find(&self, key: u64, name: &str, kind: Kind) -> Option<u32> {
        let heads = &self.layout.heads;
        let is_it = |head: &Head| *head.name == *name && head.kind == kind;
        let at = *self.heads.get(&key)?;
        if is_it(&heads[at as usize]) {
            return Some(at);
        }
        let at = heads.iter().position(|head| is_it(head))?;
        u32::try_from(at).ok()
    }

    /// The name of a family.
    #[must_use]
    pub fn name(&self, family: u32) -> &str {
        &self.layout.heads[family as usize].name
    }

    /// Says that values have come: those of this reading are told as new by the next window.
    pub fn touch(&mut self) {
        self.fresh = true;
        self.changes += u64::from(std::mem::take(&mut self.gone));
    }

    /// Whether values have come since the last window.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// A slot for a new series, behind all others of its family. `None` for a label block longer than [`CHUNK`] − 1.
    pub fn add(&mut self, family: u32, suffix: Suffix, labels: &str) -> Option<u32> {
        let len = u16::try_from(labels.len()).ok()?;
        self.changes += 1;
        // One that ended within this window goes on.
        if !self.ending.is_empty()
            && let Some(slot) = self.ending.remove(&identity(family, suffix, labels))
        {
            return Some(slot);
        }
        self.births = self.births.wrapping_add(1);
        let layout = Arc::make_mut(&mut self.layout);
        let at = layout.texts.put(labels, self.index.get_or_insert_with(Index::new));
        let series = Series { head: family, at, len, suffix, birth: self.births };
        let slot = match self.free.pop() {
            Some(slot) => {
                *layout.series.get_mut(slot) = series;
                slot
            }
            None => {
                let slot = layout.series.push(series)?;
                self.store.push(ABSENT);
                slot
            }
        };
        self.store.write().values[slot as usize] = ABSENT;
        let last = layout.order.last().map(|last| layout.series.get(*last).head);
        self.scattered |= last.is_some_and(|last| last != family);
        layout.order.push(slot);
        Some(slot)
    }

    /// Ends a series. The next window tells so, and then the slot is free.
    pub fn remove(&mut self, slot: u32) {
        let Series { head, suffix, .. } = *self.layout.series.get(slot);
        let identity = identity(head, suffix, self.layout.labels(slot).read(&mut String::new()));
        if self.ending.insert(identity, slot).is_none() {
            self.changes += 1;
        }
        let end = self.end_of(slot);
        self.set_at(slot, end, None);
        self.end_exemplars(slot);
    }

    /// Whether series whose samples have times of their own end with a mark. Otherwise they just are no more: who tells when
    /// a sample was taken also tells when there is none.
    pub fn track_times(&mut self, tracks: bool) {
        self.tracks_times = tracks;
    }

    /// What a series has when it ends. The mark has no time of its own.
    fn end_of(&self, slot: u32) -> f64 {
        let timed = self.times().get(slot as usize).is_some_and(|time| *time != NO_TIME);
        if timed && !self.tracks_times { ABSENT } else { STALE }
    }

    /// The value of a series.
    #[inline]
    pub fn set(&mut self, slot: u32, value: f64) {
        self.store.write().values[slot as usize] = value;
    }

    /// The values of several series.
    #[inline]
    pub fn set_each(&mut self, slots: &[u32], values: &[f64]) {
        let all = &mut self.store.write().values;
        for (&slot, &value) in slots.iter().zip(values) {
            all[slot as usize] = value;
        }
    }

    /// The value of a series that brings a time of its own, in milliseconds since the Unix epoch.
    pub fn set_at(&mut self, slot: u32, value: f64, time_ms: Option<i64>) {
        let Values { values, times, .. } = self.store.write();
        values[slot as usize] = value;
        if time_ms.is_some() && times.is_empty() {
            times.resize(values.len(), NO_TIME);
        }
        if let Some(time) = times.get_mut(slot as usize) {
            *time = time_ms.unwrap_or(NO_TIME);
        }
    }

    /// The value of a series that is a native histogram, to be written over; what stands there is from the last reading. The
    /// slot's own value becomes `count`.
    pub fn set_native(&mut self, slot: u32, count: f64) -> &mut Native {
        self.set(slot, count);
        self.store.native(slot)
    }

    /// Ends all series for now: their source is not there. They keep their slots.
    pub fn end_all(&mut self) {
        let tracks = self.tracks_times;
        let Values { values, times, .. } = self.store.write();
        for &slot in self.layout.order() {
            let (value, time) = (&mut values[slot as usize], times.get_mut(slot as usize));
            if is_present(*value) {
                let time = time.map_or(NO_TIME, |time| std::mem::replace(time, NO_TIME));
                *value = if time == NO_TIME || tracks { STALE } else { ABSENT };
            }
        }
        self.changes += 1;
        (self.ended, self.gone, self.fresh) = (true, true, true);
    }

    /// Puts the slots in the order of their source, after some were added. What the list lacks goes behind the rest of its family.
    pub fn arrange(&mut self, slots: impl Iterator<Item = u32>) {
        let layout = Arc::make_mut(&mut self.layout);
        let mut place = vec![u32::MAX; layout.series.len()];
        let mut families = vec![u32::MAX; layout.heads.len()];
        for (at, slot) in (0..).zip(slots) {
            place[slot as usize] = at;
            let family = &mut families[layout.series.get(slot).head as usize];
            *family = (*family).min(at);
        }
        let Layout { order, series, .. } = layout;
        order.sort_by_key(|slot| {
            let head = series.get(*slot).head;
            (families[head as usize], head, place[*slot as usize])
        });
        self.scattered = false;
        self.changes += 1;
        layout.texts.trim();
        self.index = None;
    }

    /// Brings the series of each family together, before a window takes them.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.scattered) {
            let Layout { order, series, .. } = Arc::make_mut(&mut self.layout);
            order.sort_by_key(|slot| series.get(*slot).head);
        }
    }

    /// The values of now, for a window: see [`Store::share`].
    pub(crate) fn share(&mut self) -> Arc<Values> {
        self.store.share()
    }

    /// Whether these are the values of now.
    pub(crate) fn is_now(&self, values: &Arc<Values>) -> bool {
        self.store.is_now(values)
    }

    /// What a window takes has been taken: ended series give their slots back, and what was told as ended is not told again.
    pub fn told(&mut self) {
        self.fresh = false;
        if std::mem::take(&mut self.ended) {
            for value in self.store.write().values.iter_mut().filter(|value| is_stale(**value)) {
                *value = ABSENT;
            }
        }
        self.index = None;
        if self.ending.is_empty() {
            if self.layout.texts.is_in_pieces() {
                self.compact(self.layout.texts.first_short());
            }
            return;
        }
        let ended: Vec<u32> = self.ending.drain().map(|(_, slot)| slot).collect();
        let layout = Arc::make_mut(&mut self.layout);
        for &slot in &ended {
            self.dead += usize::from(layout.series.get(slot).len);
            self.store.write().values[slot as usize] = ABSENT;
            self.store.forget_native(slot);
        }
        let mut gone = vec![false; layout.series.len()];
        for &slot in &ended {
            gone[slot as usize] = true;
        }
        layout.order.retain(|slot| !gone[*slot as usize]);
        self.free.extend(ended);
        self.changes += 1;
        let families = self.layout.families().count();
        if self.text_is_dead() || self.layout.heads.len() > 64 + 2 * families {
            self.compact(0);
        } else if self.layout.texts.is_in_pieces() {
            self.compact(self.layout.texts.first_short());
        }
    }

    /// Whether a quarter of the label text belongs to no series any more; or half more of that, so that blocks whose series come
    /// and go together are not all written anew at once.
    fn text_is_dead(&self) -> bool {
        let text = self.layout.texts.says(0);
        self.dead > CHUNK / 16 && 4 * self.dead > text + text / 32 * (self.id.0 % 16) as usize
    }

    /// Copies the families that are in use, and the label text from a chunk on, and lets go of the rest.
    fn compact(&mut self, from: usize) {
        let old = Arc::clone(&self.layout);
        let layout = Arc::make_mut(&mut self.layout);
        let moves = |slot: u32| Texts::is_from(old.series.get(slot).at, from);
        let left: usize =
            old.order.iter().filter(|slot| moves(**slot)).map(|slot| old.labels(*slot).len()).sum();
        self.dead -= old.texts.says(from).saturating_sub(left).min(self.dead);
        layout.texts.truncate(from);
        let (mut index, mut buffer) = (Index::new(), String::new());
        self.heads.clear();
        let mut kept = Vec::new();
        let mut heads = vec![None; old.heads.len()];
        for &slot in &old.order {
            let was = old.series.get(slot).head as usize;
            let head = *heads[was].get_or_insert_with(|| {
                let head = &old.heads[was];
                kept.push(Arc::clone(head));
                let at = u32::try_from(kept.len() - 1).unwrap_or(u32::MAX);
                self.heads.insert(heads::key(&head.name, head.kind), at);
                at
            });
            let mut at = old.series.get(slot).at;
            if moves(slot) {
                at = layout.texts.put(old.labels(slot).read(&mut buffer), &mut index);
            }
            if (head, at) != (was as u32, old.series.get(slot).at) {
                let series = layout.series.get_mut(slot);
                (series.head, series.at) = (head, at);
            }
        }
        layout.heads = Arc::new(kept);
        layout.texts.trim();
    }
}

fn identity(head: u32, suffix: Suffix, labels: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (head, suffix, labels).hash(&mut hasher);
    hasher.finish()
}

/// A block's series and values as families, for whoever wants them one by one. Without native histograms.
#[must_use]
pub fn families(layout: &Layout, values: &[f64], times: &[i64]) -> Vec<Family> {
    let sample = |slot: &u32| {
        let time = times.get(*slot as usize).copied().filter(|time| *time != NO_TIME);
        Sample {
            suffix: layout.suffix(*slot),
            labels: layout.labels(*slot).to_string().into(),
            value: values[*slot as usize],
            timestamp_ms: time,
            native: None,
        }
    };
    let family = |(head, slots): (&Head, &[u32])| {
        let present = slots
            .iter()
            .filter(|slot| layout.suffix(**slot) != Suffix::Native && is_present(values[**slot as usize]));
        Family {
            name: head.name.to_string().into(),
            kind: head.kind,
            help: head.help.to_string().into(),
            unit: head.unit.to_string().into(),
            samples: present.map(sample).collect(),
        }
    };
    layout.families().map(family).filter(|family| !family.samples.is_empty()).collect()
}

#[cfg(test)]
mod tests;
