//! Exemplars of a block's series: examples of what a counter or a bucket has counted, often with the identifier of a trace.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars>

use std::ops::Range;

use crate::series::NO_TIME;

/// Label text of exemplars that are gone may take this much before the rest is put together.
const DEAD: usize = 1 << 10;

/// An exemplar. Its labels stand in the text of its [`Exemplars`].
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    /// Whose value it is an example of.
    pub slot: u32,
    /// Higher than of every exemplar that the block had before: who remembers the highest knows which are new.
    pub serial: u64,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch, or [`NO_TIME`] if the source did not say when.
    pub time_ms: i64,
    at: u32,
    len: u32,
    /// It is in the reading that is being taken.
    seen: bool,
}

/// The exemplars of a block: each counter and bucket has one at most, a native histogram several.
#[derive(Debug, Default)]
pub struct Exemplars {
    /// Slots rising.
    list: Vec<Exemplar>,
    /// Label blocks without braces, values escaped as in OpenMetrics.
    text: String,
    /// Bytes of text that no exemplar has.
    dead: usize,
    newest: u64,
    /// Rises with every change.
    changes: u64,
    /// Behind the exemplar that was found last: readings come in the order of slots, mostly.
    hint: usize,
    /// Memory for the text when it is put together.
    spare: String,
}

impl Exemplars {
    /// A list without an exemplar.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: Vec::new(),
            text: String::new(),
            dead: 0,
            newest: 0,
            changes: 0,
            hint: 0,
            spare: String::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The highest serial there was. 0 before the first exemplar.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The exemplars of a slot.
    #[must_use]
    pub fn of(&self, slot: u32) -> &[Exemplar] {
        if self.list.is_empty() {
            return &[];
        }
        let rest = &self.list[self.list.partition_point(|exemplar| exemplar.slot < slot)..];
        &rest[..rest.partition_point(|exemplar| exemplar.slot == slot)]
    }

    /// The exemplars of each of the slots that has one with a serial above `than`, slots rising.
    pub fn newer(&self, than: u64, slots: Range<u32>) -> impl Iterator<Item = &[Exemplar]> {
        let list = match self.newest > than {
            true => &self.list[self.list.partition_point(|exemplar| exemplar.slot < slots.start)..],
            false => &[],
        };
        let list = &list[..list.partition_point(|exemplar| exemplar.slot < slots.end)];
        list.chunk_by(|a, b| a.slot == b.slot)
            .filter(move |of| of.iter().any(|exemplar| exemplar.serial > than))
    }

    /// The label block of an exemplar.
    #[must_use]
    pub fn labels(&self, exemplar: &Exemplar) -> &str {
        let from = exemplar.at as usize;
        &self.text[from..from + exemplar.len as usize]
    }

    /// Heap memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Exemplar>() + self.text.capacity() + self.spare.capacity()
    }

    /// Becomes the same as the other one, of the same block.
    pub(crate) fn copy(&mut self, from: &Self) {
        let Self { list, text, dead, newest, changes, hint: _, spare: _ } = from;
        if self.changes == *changes {
            return;
        }
        // As much as there may be before the text is put together again, so that it grows here no more often than there.
        self.list.clear();
        self.list.reserve(list.capacity());
        self.list.extend_from_slice(list);
        self.text.clear();
        self.text.reserve(text.capacity());
        self.text.push_str(text);
        (self.dead, self.newest, self.changes) = (*dead, *newest, *changes);
    }

    /// Where the exemplars of a slot are, or would be.
    fn find(&mut self, slot: u32) -> Range<usize> {
        let is_at = |at: usize| {
            (at == 0 || self.list[at - 1].slot < slot)
                && self.list.get(at).is_none_or(|next| next.slot >= slot)
        };
        let first = match self.hint.min(self.list.len()) {
            at if is_at(at) => at,
            _ => self.list.partition_point(|exemplar| exemplar.slot < slot),
        };
        let same = self.list[first..].iter().take_while(|exemplar| exemplar.slot == slot).count();
        self.hint = first + same;
        first..first + same
    }

    /// Whether a slot has one.
    pub(crate) fn has(&mut self, slot: u32) -> bool {
        !self.find(slot).is_empty()
    }

    /// Gives a slot this exemplar and no other. One that it has already stays as it is, with its serial.
    pub(crate) fn set(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) {
        let found = self.find(slot);
        let time_ms = time_ms.unwrap_or(NO_TIME);
        match found.len() {
            0 => self.insert(found.start, slot, labels, value, time_ms),
            1 => self.replace(found.start, labels, value, time_ms),
            _ => {
                self.cut(found.start + 1..found.end);
                self.replace(found.start, labels, value, time_ms);
            }
        }
    }

    /// Begins a reading of all exemplars of a slot: [`Self::keep`] or [`Self::add`] for each, then [`Self::finish`].
    pub(crate) fn begin(&mut self, slot: u32) {
        let found = self.find(slot);
        self.list[found].iter_mut().for_each(|exemplar| exemplar.seen = false);
    }

    /// Keeps the exemplar of a slot that is the same. False if there is none.
    pub(crate) fn keep(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) -> bool {
        let time_ms = time_ms.unwrap_or(NO_TIME);
        let known = self.find(slot).find(|at| self.is_same(*at, labels, value, time_ms));
        if let Some(at) = known {
            self.list[at].seen = true;
        }
        known.is_some()
    }

    /// One more exemplar of a slot, behind those of an earlier time.
    pub(crate) fn add(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) {
        let (found, time_ms) = (self.find(slot), time_ms.unwrap_or(NO_TIME));
        let earlier = self.list[found.clone()].partition_point(|exemplar| exemplar.time_ms <= time_ms);
        self.insert(found.start + earlier, slot, labels, value, time_ms);
    }

    /// Ends the exemplars of a slot that did not come since [`Self::begin`].
    pub(crate) fn finish(&mut self, slot: u32) {
        let mut found = self.find(slot);
        while let Some(at) = found.clone().find(|at| !self.list[*at].seen) {
            self.cut(at..at + 1);
            found.end -= 1;
        }
    }

    /// Ends all exemplars of a slot.
    pub(crate) fn end(&mut self, slot: u32) {
        if !self.list.is_empty() {
            let found = self.find(slot);
            self.cut(found);
        }
    }

    /// Ends all exemplars.
    pub(crate) fn clear(&mut self) {
        self.cut(0..self.list.len());
    }

    fn is_same(&self, at: usize, labels: &str, value: f64, time_ms: i64) -> bool {
        let exemplar = &self.list[at];
        exemplar.value.to_bits() == value.to_bits()
            && exemplar.time_ms == time_ms
            && self.labels(exemplar) == labels
    }

    fn insert(&mut self, at: usize, slot: u32, labels: &str, value: f64, time_ms: i64) {
        let Some((from, len)) = self.put(labels) else { return };
        self.newest += 1;
        self.changes += 1;
        let serial = self.newest;
        self.list.insert(at, Exemplar { slot, serial, value, time_ms, at: from, len, seen: true });
        self.hint = at + 1;
    }

    fn replace(&mut self, at: usize, labels: &str, value: f64, time_ms: i64) {
        if self.is_same(at, labels, value, time_ms) {
            return;
        }
        if self.labels(&self.list[at]) != labels {
            let Some((from, len)) = self.put(labels) else { return };
            self.dead += self.list[at].len as usize;
            (self.list[at].at, self.list[at].len) = (from, len);
        }
        self.newest += 1;
        self.changes += 1;
        let exemplar = &mut self.list[at];
        (exemplar.value, exemplar.time_ms, exemplar.serial) = (value, time_ms, self.newest);
        self.settle();
    }

    fn cut(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.hint = range.start;
        self.changes += 1;
        self.dead += self.list.drain(range).map(|exemplar| exemplar.len as usize).sum::<usize>();
        self.settle();
    }

    /// Appends text. Nothing if there is more than offsets can tell, which no limit allows.
    fn put(&mut self, text: &str) -> Option<(u32, u32)> {
        let place = (u32::try_from(self.text.len()).ok()?, u32::try_from(text.len()).ok()?);
        self.text.push_str(text);
        Some(place)
    }

    /// Puts the text together once most of it is in use by nobody.
    fn settle(&mut self) {
        if self.dead < DEAD || 2 * self.dead < self.text.len() {
            return;
        }
        let Self { list, text, spare, .. } = self;
        spare.clear();
        spare.reserve(text.capacity());
        for exemplar in list {
            let from = exemplar.at as usize;
            exemplar.at = u32::try_from(spare.len()).unwrap_or(u32::MAX);
            spare.push_str(&text[from..from + exemplar.len as usize]);
        }
        std::mem::swap(text, spare);
        self.dead = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list says, and what of it is newer than a serial.
    fn said(exemplars: &Exemplars, than: u64) -> (Vec<String>, Vec<u32>) {
        let all = exemplars.list.iter().map(|e| format!("{}{{{}}} {}", e.slot, exemplars.labels(e), e.value));
        (all.collect(), exemplars.newer(than, 0..u32::MAX).map(|of| of[0].slot).collect())
    }

    #[track_caller]
    fn check(exemplars: &Exemplars, than: u64, all: &[&str], newer: &[u32]) {
        let (said, new) = said(exemplars, than);
        assert_eq!((said.iter().map(String::as_str).collect::<Vec<_>>(), &*new), (all.to_vec(), newer));
    }

    #[test]
    fn an_exemplar_is_new_until_it_stays() {
        let mut exemplars = Exemplars::new();
        exemplars.set(7, "t=\"a\"", 1.0, Some(5));
        exemplars.set(3, "t=\"b\"", 2.0, None);
        check(&exemplars, 0, &["3{t=\"b\"} 2", "7{t=\"a\"} 1"], &[3, 7]);
        let told = exemplars.newest();
        exemplars.set(7, "t=\"a\"", 1.0, Some(5));
        check(&exemplars, told, &["3{t=\"b\"} 2", "7{t=\"a\"} 1"], &[]);
        exemplars.set(7, "t=\"a\"", 1.0, Some(6));
        check(&exemplars, told, &["3{t=\"b\"} 2", "7{t=\"a\"} 1"], &[7]);
        assert_eq!(exemplars.of(7)[0].time_ms, 6);
        exemplars.end(3);
        exemplars.end(4);
        check(&exemplars, told, &["7{t=\"a\"} 1"], &[7]);
        assert!(exemplars.of(3).is_empty() && !exemplars.has(3) && exemplars.has(7));
        // A slot that comes again is new, also with the exemplar of before.
        let told = exemplars.newest();
        exemplars.end(7);
        exemplars.set(7, "t=\"a\"", 1.0, Some(6));
        check(&exemplars, told, &["7{t=\"a\"} 1"], &[7]);
        exemplars.clear();
        check(&exemplars, 0, &[], &[]);
    }

    #[test]
    fn of_several_those_that_stay_are_not_new() {
        let mut exemplars = Exemplars::new();
        let mut read = |of: &[(&str, f64)]| {
            let told = exemplars.newest();
            exemplars.begin(2);
            for (labels, value) in of {
                if !exemplars.keep(2, labels, *value, Some(1)) {
                    exemplars.add(2, labels, *value, Some(1));
                }
            }
            exemplars.finish(2);
            let new = exemplars.newer(told, 2..3).flatten().filter(|e| e.serial > told).count();
            (said(&exemplars, 0).0, new)
        };
        let two = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(read(&[("a", 1.0), ("b", 2.0)]), (two("2{a} 1", "2{b} 2"), 2));
        assert_eq!(read(&[("b", 2.0), ("a", 1.0)]), (two("2{a} 1", "2{b} 2"), 0));
        assert_eq!(read(&[("c", 2.0), ("b", 2.0)]), (two("2{b} 2", "2{c} 2"), 1));
        assert_eq!(read(&[]), (vec![], 0));
        exemplars.add(2, "a", 1.0, Some(2));
        exemplars.add(2, "b", 1.0, Some(1));
        check(&exemplars, 0, &["2{b} 1", "2{a} 1"], &[2]);
        exemplars.set(2, "c", 1.0, None);
        check(&exemplars, 0, &["2{c} 1"], &[2]);
    }

    #[test]
    fn a_range_of_slots_has_its_own() {
        let mut exemplars = Exemplars::new();
        (0..10).for_each(|slot| exemplars.set(slot * 2, "", 0.0, None));
        let slots = |range| exemplars.newer(4, range).map(|of| of[0].slot).collect::<Vec<_>>();
        assert_eq!(slots(0..100), [8, 10, 12, 14, 16, 18]);
        assert_eq!(slots(9..15), [10, 12, 14]);
        assert_eq!(slots(0..8), [0; 0]);
    }

    #[test]
    fn text_of_exemplars_that_are_gone_is_let_go() {
        let (mut exemplars, mut copy) = (Exemplars::new(), Exemplars::new());
        for round in 0..10_000 {
            let slot = round % 20;
            exemplars.set(slot, &format!("trace_id=\"{round:032}\",n=\"{round}\""), 1.0, None);
            copy.copy(&exemplars);
            assert_eq!(copy.labels(&copy.of(slot)[0]), exemplars.labels(&exemplars.of(slot)[0]));
        }
        assert!(exemplars.memory_bytes() < 16 * DEAD, "{}", exemplars.memory_bytes());
        for slot in 0..20 {
            let labels = exemplars.labels(&exemplars.of(slot)[0]).to_owned();
            assert!(labels.ends_with(&format!(",n=\"{}\"", 9980 + slot)), "{labels}");
        }
    }
}
