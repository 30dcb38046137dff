//! How the series of one block become metrics. Made when its layout changes, not when its values do.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
    sync::Arc,
};

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::{Head, Layout},
};
use observer_exposition::Labels;

use super::{
    Histograms, attributes,
    groups::{Groups, Owner},
    name::{self, Names},
    state::Slot,
    unit,
};
use crate::wire;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// The field of the attributes in each kind of data point.
pub(super) const NUMBER_ATTRIBUTES: u32 = 7;
pub(super) const HISTOGRAM_ATTRIBUTES: u32 = 9;
/// Of exponential ones; [`super::native`] rewrites them for histograms with bounds of their own.
pub(super) const EXPONENTIAL_ATTRIBUTES: u32 = 1;
pub(super) const SUMMARY_ATTRIBUTES: u32 = 7;

/// A block's metrics.
#[derive(Debug, Default)]
pub(super) struct Plan {
    layout: Option<Arc<Layout>>,
    /// The window that last had the block.
    pub(super) serial: u64,
    /// The highest serial of an exemplar that was told.
    pub(super) told_exemplars: u64,
    /// By slot.
    pub(super) slots: Vec<Slot>,
    /// Encoded attributes.
    pub(super) blobs: Vec<u8>,
    dead: usize,
    pub(super) groups: Groups,
    /// Encoded heads of metrics.
    pub(super) heads: Vec<u8>,
    pub(super) metrics: Vec<Metric>,
    /// Points with one number.
    pub(super) numbers: Vec<Number>,
    /// Points of several series.
    pub(super) composites: Vec<Composite>,
    /// Slots of buckets and quantiles, ascending, with their bounds.
    pub(super) members: Vec<(u32, f64)>,
    /// Series that OTLP has no place for.
    pub(super) unsupported: u32,
    /// The native histograms that were told last, with delta temporality.
    pub(super) natives: BTreeMap<u32, Native>,
}

/// A metric of one resource and scope.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub(super) group: u32,
    pub(super) head: Range<usize>,
    pub(super) data: Data,
    /// Among the numbers or the composites.
    pub(super) points: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Gauge,
    Sum { monotonic: bool },
    Histogram,
    Native,
    Summary,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) slot: u32,
    pub(super) created: u32,
}

/// The series of one histogram or summary. [`NONE`] for what it does not have.
#[derive(Clone, Debug)]
pub(super) struct Composite {
    /// Where its attributes and times are.
    pub(super) lead: u32,
    pub(super) native: u32,
    pub(super) created: u32,
    pub(super) sum: u32,
    pub(super) count: u32,
    pub(super) members: Range<usize>,
}

/// Memory that making a plan needs, for all plans.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Group and slot.
    sorted: Vec<(u32, u32)>,
    /// Where a set of labels has its composite.
    places: HashMap<u64, usize>,
    parts: Vec<(usize, u32, f64)>,
    /// A label block.
    labels: String,
}

impl Plan {
    pub(super) fn fits(&self, layout: &Arc<Layout>) -> bool {
        self.layout.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, layout))
    }

    /// Which slots have the same series in a layout.
    pub(super) fn lives(&self, layout: &Layout) -> Vec<bool> {
        let mut lives = vec![false; self.slots.len()];
        for &slot in layout.order() {
            if let Some(state) = self.slots.get(slot as usize) {
                lives[slot as usize] = state.birth == layout.birth(slot);
            }
        }
        lives
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.blobs.capacity()
            + self.heads.capacity()
            + self.groups.memory_bytes()
            + self.metrics.capacity() * size_of::<Metric>()
            + self.numbers.capacity() * size_of::<Number>()
            + self.composites.capacity() * size_of::<Composite>()
            + self.members.capacity() * size_of::<(u32, f64)>()
            + self.natives.values().map(Native::memory_bytes).sum::<usize>()
    }

    /// Makes the plan anew. Series that stay keep their attributes and their state.
    pub(super) fn make(
        &mut self,
        layout: &Arc<Layout>,
        owner: &Owner<'_>,
        (histograms, names): (Histograms, Names),
        scratch: &mut Scratch,
    ) {
        let Self { heads, metrics, numbers, composites, members, unsupported, .. } = self;
        heads.clear();
        metrics.clear();
        numbers.clear();
        composites.clear();
        members.clear();
        *unsupported = 0;
        self.slots.resize(layout.slots(), Slot::default());
        self.let_go(layout);
        self.group(layout, owner, scratch);
        let sorted = std::mem::take(&mut scratch.sorted);
        let same =
            |a: &(u32, u32), b: &(u32, u32)| a.0 == b.0 && std::ptr::eq(layout.head(a.1), layout.head(b.1));
        for family in sorted.chunk_by(same) {
            let (group, head) = (family[0].0, layout.head(family[0].1));
            let family = Family { group, head, names, slots: family, layout, owner };
            match head.kind {
                Kind::Histogram => self.histogram(&family, histograms, scratch),
                Kind::Summary => self.summary(&family, scratch),
                Kind::GaugeHistogram => self.unsupported += family.slots.len() as u32,
                _ => self.numbers(&family, scratch),
            }
        }
        scratch.sorted = sorted;
        self.layout = Some(Arc::clone(layout));
    }

    /// Forgets the series that are gone, and their text once it is the larger part.
    fn let_go(&mut self, layout: &Layout) {
        let mut lives = vec![false; self.slots.len()];
        for &slot in layout.order() {
            let (state, birth) = (&mut self.slots[slot as usize], layout.birth(slot));
            lives[slot as usize] = true;
            if state.birth != birth {
                self.dead += state.len as usize;
                self.natives.remove(&slot);
                *state = Slot { birth, group: NONE, ..Slot::default() };
            }
        }
        for (state, lives) in self.slots.iter_mut().zip(lives) {
            if !lives && state.len > 0 {
                self.dead += state.len as usize;
                *state = Slot::default();
            }
        }
        if self.dead > 1 << 16 && 2 * self.dead > self.blobs.len() {
            let old = std::mem::take(&mut self.blobs);
            for state in &mut self.slots {
                let at = self.blobs.len() as u32;
                self.blobs.extend_from_slice(&old[state.at as usize..][..state.len as usize]);
                state.at = at;
            }
            self.dead = 0;
        }
    }

    /// Finds each series' resource and scope, and sorts by them.
    fn group(&mut self, layout: &Layout, owner: &Owner<'_>, scratch: &mut Scratch) {
        let Self { groups, slots, .. } = self;
        scratch.sorted.clear();
        if groups.len() > 64 + layout.len() {
            groups.clear();
            slots.iter_mut().for_each(|slot| slot.group = NONE);
        }
        groups.forget_targets();
        let buffer = &mut scratch.labels;
        for &slot in layout.order() {
            if owner.scraped() && is_target_info(layout.head(slot)) {
                groups.add_target(layout.labels(slot).read(buffer));
                continue;
            }
            let state = &mut slots[slot as usize];
            if state.group == NONE {
                state.group = groups.of(layout.labels(slot).read(buffer), owner);
            }
            scratch.sorted.push((state.group, slot));
        }
        groups.encode(owner);
        if groups.len() > 1 {
            scratch.sorted.sort_by_key(|(group, _)| *group);
        }
    }

    /// Families whose series each have a point of their own; those of one name together.
    fn numbers(&mut self, family: &Family<'_>, scratch: &mut Scratch) {
        let Family { head, slots, layout, .. } = *family;
        let created = match head.kind {
            Kind::Counter => Some(Suffix::Created),
            _ => None,
        };
        scratch.places.clear();
        for &(_, slot) in slots.iter().filter(|(_, slot)| Some(layout.suffix(*slot)) == created) {
            let labels = layout.labels(slot).read(&mut scratch.labels);
            scratch.places.insert(hash(labels, ""), slot as usize);
        }
        let mut done = 0_u16;
        for &(_, first) in slots {
            let suffix = layout.suffix(first);
            let bit = 1 << suffix as u16;
            if done & bit != 0 || Some(suffix) == created {
                continue;
            }
            done |= bit;
            let of_type = matches!(
                (head.kind, suffix),
                (Kind::Counter, Suffix::Total | Suffix::None)
                    | (Kind::Info, Suffix::Info | Suffix::None)
                    | (Kind::StateSet | Kind::Gauge | Kind::Unknown, _)
            );
            let data = match head.kind {
                Kind::Counter if of_type => Data::Sum { monotonic: true },
                Kind::Info | Kind::StateSet if of_type => Data::Sum { monotonic: false },
                _ => Data::Gauge,
            };
            let start = self.numbers.len();
            for &(_, slot) in slots.iter().filter(|(_, slot)| layout.suffix(*slot) == suffix) {
                if suffix == Suffix::Native {
                    self.unsupported += 1;
                    continue;
                }
                let created = match data {
                    Data::Sum { monotonic: true } if !scratch.places.is_empty() => {
                        let labels = layout.labels(slot).read(&mut scratch.labels);
                        scratch.places.get(&hash(labels, "")).map_or(NONE, |slot| *slot as u32)
                    }
                    _ => NONE,
                };
                self.attributes(family, slot, NUMBER_ATTRIBUTES, "");
                self.numbers.push(Number { slot, created });
            }
            self.metric(family, suffix.as_str(), data, start..self.numbers.len());
        }
    }

    fn histogram(&mut self, family: &Family<'_>, histograms: Histograms, scratch: &mut Scratch) {
        let start = self.composites.len();
        self.collect(family, "le", scratch);
        let mut natives = Vec::new();
        for mut composite in self.composites.split_off(start) {
            let buckets = &self.members[composite.members.clone()];
            let infinite = buckets.last().filter(|(_, bound)| *bound == f64::INFINITY);
            let classic = composite.count != NONE || infinite.is_some();
            let native = composite.native != NONE && (histograms == Histograms::Exponential || !classic);
            let (lead, field) = match infinite {
                _ if native => (composite.native, EXPONENTIAL_ATTRIBUTES),
                _ if composite.count != NONE => (composite.count, HISTOGRAM_ATTRIBUTES),
                Some((slot, _)) => (*slot, HISTOGRAM_ATTRIBUTES),
                None => {
                    self.unsupported += buckets.len() as u32 + u32::from(composite.sum != NONE);
                    continue;
                }
            };
            composite.lead = lead;
            self.attributes(family, lead, field, "le");
            if native { &mut natives } else { &mut self.composites }.push(composite);
        }
        let end = self.composites.len();
        self.metric(family, "", Data::Histogram, start..end);
        self.composites.append(&mut natives);
        self.metric(family, "", Data::Native, end..self.composites.len());
    }

    fn summary(&mut self, family: &Family<'_>, scratch: &mut Scratch) {
        let start = self.composites.len();
        self.collect(family, "quantile", scratch);
        for mut composite in self.composites.split_off(start) {
            if composite.count == NONE {
                self.unsupported += composite.members.len() as u32 + u32::from(composite.sum != NONE);
                continue;
            }
            composite.lead = composite.count;
            self.attributes(family, composite.lead, SUMMARY_ATTRIBUTES, "quantile");
            self.composites.push(composite);
        }
        self.metric(family, "", Data::Summary, start..self.composites.len());
    }

    /// Brings the series together that are equal but for one label.
    fn collect(&mut self, family: &Family<'_>, bound: &str, scratch: &mut Scratch) {
        let Family { slots, layout, .. } = *family;
        let Scratch { places, parts, labels: buffer, .. } = scratch;
        places.clear();
        parts.clear();
        for &(_, slot) in slots {
            let labels = layout.labels(slot).read(buffer);
            let at = *places.entry(hash(labels, bound)).or_insert_with(|| {
                self.composites.push(Composite {
                    lead: NONE,
                    native: NONE,
                    created: NONE,
                    sum: NONE,
                    count: NONE,
                    members: 0..0,
                });
                self.composites.len() - 1
            });
            let composite = &mut self.composites[at];
            let place = match layout.suffix(slot) {
                Suffix::Native => &mut composite.native,
                Suffix::Created => &mut composite.created,
                Suffix::Sum => &mut composite.sum,
                Suffix::Count => &mut composite.count,
                _ => {
                    let value = Labels::unchecked(labels).value(bound).and_then(|text| text.parse().ok());
                    match value {
                        Some(value) => parts.push((at, slot, value)),
                        None => self.unsupported += 1,
                    }
                    continue;
                }
            };
            *place = slot;
        }
        parts.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.total_cmp(&b.2)));
        for of_one in parts.chunk_by(|a, b| a.0 == b.0) {
            let start = self.members.len();
            self.members.extend(of_one.iter().map(|(_, slot, bound)| (*slot, *bound)));
            self.composites[of_one[0].0].members = start..self.members.len();
        }
    }

    /// Encodes a series' attributes, unless it has them.
    fn attributes(&mut self, family: &Family<'_>, slot: u32, field: u32, without: &str) {
        let Family { layout, owner, .. } = *family;
        let state = &mut self.slots[slot as usize];
        let known = self.blobs.get(state.at as usize).filter(|_| state.len > 0);
        if known.is_some_and(|tag| u32::from(tag >> 3) == field) {
            return;
        }
        self.dead += state.len as usize;
        let start = self.blobs.len();
        let keep = |name: &str| (without.is_empty() || name != without) && !owner.takes(name);
        let mut buffer = String::new();
        attributes::labels(&mut self.blobs, field, layout.labels(slot).read(&mut buffer), keep);
        state.at = start as u32;
        state.len = (self.blobs.len() - start) as u32;
    }

    fn metric(&mut self, family: &Family<'_>, suffix: &str, data: Data, points: Range<usize>) {
        if points.is_empty() {
            return;
        }
        let Head { name, kind, help, unit } = family.head;
        let monotonic = matches!(data, Data::Sum { monotonic: true });
        let (name, suffix) = name::name(family.names, name, suffix, unit, monotonic);
        let heads = &mut self.heads;
        let start = heads.len();
        wire::tag(heads, 1, wire::BYTES);
        wire::varint(heads, (name.len() + suffix.len()) as u64);
        heads.extend_from_slice(name.as_bytes());
        heads.extend_from_slice(suffix.as_bytes());
        if !help.is_empty() {
            wire::bytes(heads, 2, help.as_bytes());
        }
        if !unit.is_empty() {
            wire::bytes(heads, 3, unit::otel(unit).as_bytes());
        }
        attributes::attribute(heads, 12, "prometheus.type", kind.as_str());
        let head = start..heads.len();
        self.metrics.push(Metric { group: family.group, head, data, points });
    }
}

/// The series of one family, resource and scope.
struct Family<'a> {
    group: u32,
    head: &'a Head,
    names: Names,
    slots: &'a [(u32, u32)],
    layout: &'a Layout,
    owner: &'a Owner<'a>,
}

/// Whether the family describes its target: its labels belong to the resource, and itself nowhere.
fn is_target_info(head: &Head) -> bool {
    match head.kind {
        Kind::Info => &*head.name == "target",
        Kind::Gauge | Kind::Unknown => &*head.name == "target_info",
        _ => false,
    }
}

/// Stands for the labels but for one.
fn hash(block: &str, without: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for label in Labels::unchecked(block).iter().filter(|label| label.name != without) {
        (label.name, label.value).hash(&mut hasher);
    }
    hasher.finish()
}
