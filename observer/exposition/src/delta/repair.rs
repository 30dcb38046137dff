//! What happens when a line is not where it was: the full parser reads on, and what it finds is put together to the
//! layout to compare the next body with.

use super::{
    Delta, Dialect, FamilyInfo, Sink, Stats,
    layout::{Index, Layout, NO_SLOT, Record, rule},
};
use crate::{Error, Event, Kind, Sample, bytes, hash::Hash, openmetrics};

impl Delta {
    /// Reads a body whose samples up to number `reported` are reported.
    pub(super) fn repair<S: Sink>(
        &mut self,
        body: &[u8],
        reported: usize,
        sink: &mut S,
        stats: &mut Stats,
    ) -> Result<(), Error> {
        let lines = bytes::count(body, b'\n') + 1;
        let mut repair = Repair {
            hash: self.hash,
            old: &self.layout,
            new: Layout::with_lines(lines),
            old_index: None,
            new_index: None,
            next: 0,
            taken: vec![false; self.layout.records()],
            lost: Vec::new(),
            asked: 0,
        };
        let orphans = self.orphans.len();
        match self.dialect {
            Dialect::Text => repair.splice(body, reported, sink, &mut self.orphans, stats)?,
            Dialect::OpenMetrics => repair.all(body, reported, sink, &mut self.orphans, stats)?,
        }
        let Repair { mut new, taken, mut lost, asked, .. } = repair;
        // The body is sound: what was asked for it has its line.
        self.orphans.truncate(orphans);
        self.orphans.shrink_to_fit();
        new.finish(body);
        let old = &self.layout;
        stats.layout_changed = asked > 0 || !old.known;
        for (record, _) in taken.iter().enumerate().filter(|(_, taken)| !**taken) {
            if old.rules[record] & rule::DUPLICATE == 0 {
                stats.layout_changed = true;
                lost.push(old.slots[record]);
            }
        }
        stats.samples = new.records() as u64;
        stats.duplicates = new.duplicates;
        self.layout = new;
        self.settle(&lost, stats);
        Ok(())
    }

    /// Finds out which of the slots that lost their line have no other.
    pub(super) fn settle(&mut self, lost: &[u32], stats: &mut Stats) {
        if lost.is_empty() && self.orphans.is_empty() {
            return;
        }
        self.gone.extend_from_slice(lost);
        self.gone.append(&mut self.orphans);
        self.gone.sort_unstable();
        self.gone.dedup();
        let mut there = vec![false; self.gone.len()];
        for slot in &self.layout.slots {
            if let Ok(at) = self.gone.binary_search(slot) {
                there[at] = true;
            }
        }
        let mut there = there.into_iter();
        self.gone.retain(|&slot| !there.next().unwrap_or(false) && slot != NO_SLOT);
        stats.layout_changed |= !self.gone.is_empty();
    }
}

/// A body that is read against a layout, and the layout that it makes.
pub(super) struct Repair<'o> {
    pub(super) hash: Hash,
    pub(super) old: &'o Layout,
    pub(super) new: Layout,
    /// All records of the old layout, once one had to be looked for.
    old_index: Option<Index>,
    /// The records of the new layout that the old one does not have.
    new_index: Option<Index>,
    /// The old record behind the one found last.
    pub(super) next: usize,
    /// The old records that the body has.
    pub(super) taken: Vec<bool>,
    /// Slots of lines that are still there but were asked for again.
    lost: Vec<u32>,
    /// How often the sink was asked.
    asked: usize,
}

/// Whether a series is known.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// By this record of the old layout.
    Old(usize),
    /// No.
    New,
    /// From a line before in the same body.
    Twice,
}

impl Repair<'_> {
    /// Reads a whole body by the full parser, because any line decides what the others may be.
    fn all<S: Sink>(
        &mut self,
        body: &[u8],
        reported: usize,
        sink: &mut S,
        given: &mut Vec<u32>,
        stats: &mut Stats,
    ) -> Result<(), Error> {
        let mut events = openmetrics::OpenMetrics::new(body);
        while let Some(event) = events.next() {
            let Event::Sample(sample) = event? else { continue };
            let family = events.family(&sample.name);
            let mut record = record(body, &sample, events.offset());
            record.rule |= family_rule(&family);
            record.family = family_hash(self.hash, &family);
            let known = self.find(body, sample.series.as_bytes(), &mut record.hash);
            self.give_slot(known, &mut record, &family, &sample, sink, given);
            if self.new.records() >= reported {
                stats.repaired += 1;
                if let Some(slot) = record.slot {
                    sink.value(slot, sample.value, sample.timestamp_ms);
                    let had =
                        matches!(known, Known::Old(old) if self.old.rules[old] & rule::EXEMPLIFIED != 0);
                    if had || sample.exemplar.is_some() {
                        sink.exemplar(slot, sample.exemplar.as_ref());
                    }
                }
            }
            self.new.push(&record);
        }
        Ok(())
    }

    /// Gives a record of a known family its slot; `given` gets it if the sink was asked.
    pub(super) fn give_slot<S: Sink>(
        &mut self,
        known: Known,
        record: &mut Record,
        family: &FamilyInfo<'_>,
        sample: &Sample<'_>,
        sink: &mut S,
        given: &mut Vec<u32>,
    ) {
        match known {
            Known::Twice => {
                record.rule |= rule::DUPLICATE;
                return;
            }
            Known::Old(old) if self.old.families[old] == record.family => {
                record.slot = Some(self.old.slots[old]).filter(|&slot| slot != NO_SLOT);
            }
            known => {
                if let Known::Old(old) = known {
                    self.lost.push(self.old.slots[old]);
                }
                self.asked += 1;
                record.slot = sink.resolve(family, sample).filter(|&slot| slot != NO_SLOT);
                given.extend(record.slot);
            }
        }
        if record.slot.is_none() {
            record.rule |= rule::REFUSED;
        }
    }

    /// Looks a series up, and notes that the body has it.
    pub(super) fn find(&mut self, body: &[u8], series: &[u8], hash: &mut u32) -> Known {
        let Self { old, new, next, taken, .. } = self;
        let is_old = |record: usize| old.series(&old.text, record) == series;
        if *next < old.records() && !taken[*next] && old.rules[*next] & rule::DUPLICATE == 0 && is_old(*next)
        {
            let found = *next;
            *hash = old.hashes[found];
            taken[found] = true;
            *next += 1;
            return Known::Old(found);
        }
        *hash = self.hash.of(series) as u32;
        let index = self.old_index.get_or_insert_with(|| Index::of(old));
        if let Some(found) = index.find(*hash, |record| old.hashes[record] == *hash && is_old(record)) {
            *next = found + 1;
            let before = std::mem::replace(&mut taken[found], true);
            return if before { Known::Twice } else { Known::Old(found) };
        }
        let index = self.new_index.get_or_insert_with(|| Index::with_records(new.ends.capacity()));
        let is_new = |record: usize| new.hashes[record] == *hash && new.series(body, record) == series;
        if index.find(*hash, is_new).is_some() {
            return Known::Twice;
        }
        index.insert(*hash, new.records());
        Known::New
    }
}

/// The record of a sample whose line ends before `end`, without what is to be found out.
pub(super) fn record(body: &[u8], sample: &Sample<'_>, end: usize) -> Record {
    let series = sample.series.as_bytes();
    let timed = if sample.timestamp_ms.is_some() { rule::TIMED } else { 0 };
    let exemplified = if sample.exemplar.is_some() { rule::EXEMPLIFIED } else { 0 };
    Record {
        // A line feed is added behind the last line.
        end: if body[end - 1] == b'\n' { end } else { end + 1 },
        tail: series.as_ptr().addr() - body.as_ptr().addr() + series.len(),
        slot: None,
        value: sample.value,
        rule: timed | exemplified,
        hash: 0,
        family: 0,
    }
}

/// What a later line of the same series has to keep to in OpenMetrics.
fn family_rule(family: &FamilyInfo<'_>) -> u8 {
    let values = match (family.kind, family.suffix) {
        (Kind::Info, _) => rule::ONE,
        (Kind::StateSet, _) => rule::ZERO_OR_ONE,
        (_, "_total" | "_bucket" | "_count" | "_gcount") => rule::NOT_NEGATIVE,
        _ => 0,
    };
    let exemplar = matches!(
        (family.kind, family.suffix),
        (Kind::Counter, "_total") | (Kind::Histogram | Kind::GaugeHistogram, "_bucket")
    );
    values | if exemplar { rule::EXEMPLAR } else { 0 }
}

/// Everything that decides where the samples of a family go.
pub(super) fn family_hash(hash: Hash, family: &FamilyInfo<'_>) -> u64 {
    let FamilyInfo { name, kind, help, unit, suffix: _ } = family;
    let parts = [name.as_bytes(), help.as_bytes(), unit.as_bytes()];
    parts.iter().fold(*kind as u64, |state, part| hash.and(state, part))
}
