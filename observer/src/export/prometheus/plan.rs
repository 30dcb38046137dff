//! Which series stand where on a page.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState},
    sync::{Arc, Weak},
};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Head, Layout},
    window::View,
};

use super::present;

/// The families of a page and where their series are. It holds as long as the blocks keep their layouts.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Of the blocks, in their order. Weak, for a block whose layout somebody holds copies it to change it.
    layouts: Vec<Weak<Layout>>,
    /// Set where families of one name have several types: which of them counts depends on which have samples, so the plan holds
    /// as long as these do.
    contested: Option<u64>,
    pub(super) families: Vec<Merged>,
    /// Series that stand on the page already while an earlier one of them has a value.
    pub(super) earlier: HashMap<Place, Place>,
    /// Series whose name is taken by a family that cannot have such a sample.
    conflicts: Vec<Place>,
    /// Samples that the text format knows only as gauges of their own, and under no family of the page, by name.
    pub(super) extras: BTreeMap<String, Vec<(usize, Place)>>,
    hasher: RandomState,
}

/// A series: its block and its slot.
pub(super) type Place = (u32, u32);

/// A family of the page.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) name: Box<str>,
    /// What stands behind the name of every sample, for families whose samples all have one name.
    pub(super) suffix: Suffix,
    pub(super) kind: Kind,
    pub(super) help: Box<str>,
    pub(super) unit: Box<str>,
    pub(super) runs: Vec<Run>,
    /// Another family has the name without the suffix as its only one.
    pub(super) shadowed: bool,
    /// Samples of other families that the text format has under this one's name.
    pub(super) guests: Vec<(usize, Place)>,
}

/// Series that stand together in their block and on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) view: u32,
    /// A range of the layout's order.
    pub(super) from: u32,
    pub(super) to: u32,
    /// What their names have behind the family's, if it is not what they had in their block.
    pub(super) suffix: Option<Suffix>,
    /// Some of them may stand on the page already.
    pub(super) repeats: bool,
}

/// Where the families are, while the plan is made.
#[derive(Default)]
struct Making {
    /// By the name they have in the text format.
    places: HashMap<String, usize>,
    /// The first series of each name and labels, by the hash of both.
    seen: HashMap<u64, Place, BuildHasherDefault<AsIs>>,
    /// A label block.
    labels: String,
}

/// What a block's family has for each of its series.
#[derive(Clone, Copy)]
enum Fate {
    /// It is a sample of this family, with that suffix if not its own.
    Of(usize, Option<Suffix>),
    /// No family can have it.
    Conflict,
}

impl Plan {
    /// Makes the plan anew if it is not that of these blocks.
    pub(super) fn follow(&mut self, views: &[View<'_>]) {
        let same = |(known, view): (&Weak<Layout>, &View<'_>)| {
            std::ptr::eq(known.as_ptr(), Arc::as_ptr(view.layout))
        };
        let holds = self.layouts.len() == views.len() && self.layouts.iter().zip(views).all(same);
        let hasher = self.hasher.clone();
        match self.contested {
            None if holds => return,
            Some(shown) if holds && shown == self.shown(views) => return,
            _ => {}
        }
        *self = Self { hasher: hasher.clone(), ..Self::default() };
        self.make(views, false);
        if self.contested.is_some() {
            *self = Self { hasher, ..Self::default() };
            self.make(views, true);
            self.contested = Some(self.shown(views));
        }
        self.layouts = views.iter().map(|view| Arc::downgrade(view.layout)).collect();
    }

    /// Which families have samples, as a hash.
    fn shown(&self, views: &[View<'_>]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for view in views {
            for (_, slots) in view.layout.families() {
                hasher.write_u8(u8::from(slots.iter().any(|slot| present(view, *slot).is_some())));
            }
        }
        hasher.finish()
    }

    /// Series with a value for which there is no place.
    pub(super) fn conflicts(&self, views: &[View<'_>]) -> u64 {
        self.conflicts.iter().filter(|(view, slot)| present(&views[*view as usize], *slot).is_some()).count()
            as u64
    }

    /// Whether a series with a value stands on the page already.
    pub(super) fn is_repeated(&self, views: &[View<'_>], place: Place) -> bool {
        let mut place = place;
        while let Some(earlier) = self.earlier.get(&place) {
            if present(&views[earlier.0 as usize], earlier.1).is_some() {
                return true;
            }
            place = *earlier;
        }
        false
    }

    /// Merges families in their order. The first of a name decides type and help text.
    fn make(&mut self, views: &[View<'_>], only_present: bool) {
        let mut making = Making::default();
        for (at, view) in (0..).zip(views) {
            let mut from = 0;
            for (head, slots) in view.layout.families() {
                let shows = |slot: &u32| present(view, *slot).is_some();
                if !only_present || slots.iter().any(shows) {
                    self.add(&mut making, views, (at, from), head, slots);
                }
                from += u32::try_from(slots.len()).unwrap_or(u32::MAX);
            }
        }
        for index in 0..self.families.len() {
            let Merged { name, suffix, .. } = &self.families[index];
            self.families[index].shadowed = *suffix != Suffix::None && making.places.contains_key(&**name);
        }
        self.place_extras(views, &making);
    }

    fn add(
        &mut self,
        making: &mut Making,
        views: &[View<'_>],
        start: (u32, u32),
        head: &Head,
        slots: &[u32],
    ) {
        let (at, from) = start;
        let layout = views[at as usize].layout;
        let Head { name, kind, help, unit } = head;
        let has = |suffix| slots.iter().any(|slot| layout.suffix(*slot) == suffix);
        let several = has_several_names(*kind);
        let suffix = match kind {
            Kind::Counter if has(Suffix::Total) => Suffix::Total,
            Kind::Info if has(Suffix::Info) => Suffix::Info,
            _ => Suffix::None,
        };
        let family = *making.places.entry(full_name(name, suffix)).or_insert_with(|| {
            let (name, help, unit) = (name.clone(), help.clone(), unit.clone());
            self.families.push(Merged { name, suffix, kind: *kind, help, unit, ..Merged::default() });
            self.families.len() - 1
        });
        let Merged { kind: first_kind, suffix: first_suffix, .. } = self.families[family];
        if first_kind != *kind {
            self.contested = Some(0);
        }
        let fits = first_kind == *kind || (!several && !has_several_names(first_kind));
        for (order, &slot) in (from..).zip(slots) {
            let own = layout.suffix(slot);
            let fate = if !fits {
                self.alone(making, name, own)
            } else if !several && own == suffix {
                Fate::Of(family, Some(first_suffix).filter(|first| *first != own))
            } else if several || (first_kind == *kind && own == Suffix::Created) {
                Fate::Of(family, None)
            } else {
                self.alone(making, name, own)
            };
            self.put(making, views, fate, order, (at, slot));
        }
    }

    /// A family of unknown type for samples that fit into none.
    fn alone(&mut self, making: &mut Making, name: &str, suffix: Suffix) -> Fate {
        self.contested = Some(0);
        if suffix == Suffix::Native {
            return Fate::Conflict;
        }
        let name = full_name(name, suffix);
        let family = *making.places.entry(name).or_insert_with_key(|name| {
            self.families.push(Merged { name: name.as_str().into(), ..Merged::default() });
            self.families.len() - 1
        });
        let Merged { kind, suffix: written, .. } = self.families[family];
        if has_several_names(kind) {
            Fate::Conflict
        } else {
            Fate::Of(family, Some(written).filter(|written| *written != suffix))
        }
    }

    fn put(&mut self, making: &mut Making, views: &[View<'_>], fate: Fate, order: u32, place: Place) {
        let Fate::Of(family, suffix) = fate else {
            self.conflicts.push(place);
            return;
        };
        let layout = |(view, _): Place| views[view as usize].layout;
        let labels = layout(place).labels(place.1).read(&mut making.labels);
        let written = suffix.unwrap_or_else(|| layout(place).suffix(place.1));
        let hash = self.hasher.hash_one((family, written, labels));
        let last = making.seen.insert(hash, place);
        // Two series of one hash that are not the same: as good as never, and then the later one is not told from a repetition.
        let repeats = last.is_some_and(|last| layout(last).labels(last.1) == *labels);
        if let Some(last) = last.filter(|_| repeats) {
            self.earlier.insert(place, last);
        }
        let runs = &mut self.families[family].runs;
        match runs.last_mut() {
            Some(run) if run.view == place.0 && run.to == order && run.suffix == suffix => {
                run.to += 1;
                run.repeats |= repeats;
            }
            _ => runs.push(Run { view: place.0, from: order, to: order + 1, suffix, repeats }),
        }
    }

    /// Finds the samples that the text format knows only as gauges of their own.
    fn place_extras(&mut self, views: &[View<'_>], making: &Making) {
        for index in 0..self.families.len() {
            for run in self.families[index].runs.clone() {
                let layout = views[run.view as usize].layout;
                for &slot in &layout.order()[run.from as usize..run.to as usize] {
                    let suffix = layout.suffix(slot);
                    if run.suffix.is_some() || !is_foreign_to_text(suffix) {
                        continue;
                    }
                    let name = full_name(&self.families[index].name, suffix);
                    let sample = (index, (run.view, slot));
                    match making.places.get(&name) {
                        Some(host) => self.families[*host].guests.push(sample),
                        None => self.extras.entry(name).or_default().push(sample),
                    }
                }
            }
        }
    }
}

/// A hash that is one already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Whether samples of the type differ in their names.
pub(super) const fn has_several_names(kind: Kind) -> bool {
    matches!(kind, Kind::Histogram | Kind::GaugeHistogram | Kind::Summary)
}

/// Whether the text format has no such sample in any family.
pub(super) const fn is_foreign_to_text(suffix: Suffix) -> bool {
    matches!(suffix, Suffix::Created | Suffix::GSum | Suffix::GCount)
}

pub(super) fn full_name(name: &str, suffix: Suffix) -> String {
    [name, suffix.as_str()].concat()
}
