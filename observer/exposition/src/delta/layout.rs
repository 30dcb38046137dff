//! What is remembered of a body: its text, and a record for each sample line.

use crate::bytes;

/// No slot: the line is not kept.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// The lines of a body. A record is a sample line and the comments and blank lines before it; what follows the last
/// sample belongs to none.
///
/// Arrays side by side rather than one of structs, because the walk over an unchanged body only reads `ends`, and hands
/// `slots` and `values` on as they are.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Whether there was a body at all.
    pub(super) known: bool,
    /// The body. What stands behind a series is replaced in place if there is room for it, and is [`FILL`] otherwise.
    pub(super) text: Vec<u8>,
    /// Where each record ends in `text`, behind its line feed.
    pub(super) ends: Vec<u32>,
    /// Where the part behind the series starts.
    pub(super) tails: Vec<u32>,
    /// Where the sample goes, or [`NO_SLOT`].
    pub(super) slots: Vec<u32>,
    pub(super) values: Vec<f64>,
    /// [`rule`]s.
    pub(super) rules: Vec<u8>,
    /// Hashes of the series.
    pub(super) hashes: Vec<u32>,
    /// Hashes of what was known of the family.
    pub(super) families: Vec<u64>,
    /// Records that are duplicates.
    pub(super) duplicates: u64,
    /// Every record has a slot, and no timestamp.
    pub(super) plain: bool,
}

/// A byte that no text has, so that nothing equals a value whose text is not kept.
pub(super) const FILL: u8 = 0xFF;

/// What holds for one sample line.
pub(super) mod rule {
    /// Which values its type allows.
    pub(in crate::delta) const VALUES: u8 = 0b11;
    pub(in crate::delta) const NOT_NEGATIVE: u8 = 1;
    pub(in crate::delta) const ONE: u8 = 2;
    pub(in crate::delta) const ZERO_OR_ONE: u8 = 3;
    /// It may have an exemplar.
    pub(in crate::delta) const EXEMPLAR: u8 = 1 << 2;
    /// It had a timestamp when last seen.
    pub(in crate::delta) const TIMED: u8 = 1 << 3;
    /// Its series stands in a line before.
    pub(in crate::delta) const DUPLICATE: u8 = 1 << 4;
    /// It is not kept.
    pub(in crate::delta) const REFUSED: u8 = 1 << 5;
    /// It had an exemplar when last seen.
    pub(in crate::delta) const EXEMPLIFIED: u8 = 1 << 6;
    /// It is not a plain value for a slot.
    pub(in crate::delta) const SPECIAL: u8 = TIMED | DUPLICATE | REFUSED;
}

/// A record to be.
pub(super) struct Record {
    pub(super) end: usize,
    pub(super) tail: usize,
    pub(super) slot: Option<u32>,
    pub(super) value: f64,
    pub(super) rule: u8,
    pub(super) hash: u32,
    pub(super) family: u64,
}

impl Layout {
    /// Room for a body of so many lines.
    pub(super) fn with_lines(lines: usize) -> Self {
        Self {
            known: true,
            text: Vec::new(),
            ends: Vec::with_capacity(lines),
            tails: Vec::with_capacity(lines),
            slots: Vec::with_capacity(lines),
            values: Vec::with_capacity(lines),
            rules: Vec::with_capacity(lines),
            hashes: Vec::with_capacity(lines),
            families: Vec::with_capacity(lines),
            duplicates: 0,
            plain: true,
        }
    }

    pub(super) const fn records(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn push(&mut self, record: &Record) {
        let Record { end, tail, slot, value, rule, hash, family } = *record;
        let offset = |at| u32::try_from(at).expect("bodies of 4 GiB are refused before");
        self.ends.push(offset(end));
        self.tails.push(offset(tail));
        self.slots.push(slot.unwrap_or(NO_SLOT));
        self.values.push(value);
        self.rules.push(rule);
        self.hashes.push(hash);
        self.families.push(family);
        self.duplicates += u64::from(rule & rule::DUPLICATE != 0);
        self.plain &= rule & rule::SPECIAL == 0;
    }

    /// Takes the text that the records point into, and gives back what it does not need.
    pub(super) fn finish(&mut self, body: &[u8]) {
        let records_end = self.ends.last().map_or(0, |&end| end as usize);
        self.text = Vec::with_capacity(body.len().max(records_end));
        self.text.extend_from_slice(body);
        // The last line may lack its line feed, and its record has one like all others.
        if self.text.len() < records_end {
            self.text.push(b'\n');
        }
        let Self {
            known: _,
            text: _,
            ends,
            tails,
            slots,
            values,
            rules,
            hashes,
            families,
            duplicates: _,
            plain: _,
        } = self;
        fit(ends);
        fit(tails);
        fit(slots);
        fit(values);
        fit(rules);
        fit(hashes);
        fit(families);
    }

    /// Where a record starts in the text.
    pub(super) fn start(&self, record: usize) -> usize {
        record.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// The series of a record, whose line starts behind the last line feed before it. `text` is the layout's, or the
    /// body that is to become it.
    pub(super) fn series<'t>(&self, text: &'t [u8], record: usize) -> &'t [u8] {
        let key = &text[self.start(record)..self.tails[record] as usize];
        if !has_comment(key) {
            return key;
        }
        let line = bytes::rfind(key, b'\n').map_or(0, |at| at + 1);
        key[line..].trim_ascii_start()
    }

    pub(super) const fn memory_bytes(&self) -> usize {
        let Self {
            known: _,
            text,
            ends,
            tails,
            slots,
            values,
            rules,
            hashes,
            families,
            duplicates: _,
            plain: _,
        } = self;
        text.capacity()
            + rules.capacity()
            + 4 * (ends.capacity() + tails.capacity() + slots.capacity() + hashes.capacity())
            + 8 * (values.capacity() + families.capacity())
    }
}

/// Gives back what a list does not need. An allocator that is asked for less in the same place may leave all as it is.
fn fit<T: Copy>(list: &mut Vec<T>) {
    if list.len() < list.capacity() {
        *list = list.as_slice().to_vec();
    }
}

/// Whether a record has lines before its sample's, or blanks.
pub(super) fn has_comment(record: &[u8]) -> bool {
    matches!(record.first(), Some(b'#' | b' ' | b'\t' | b'\n'))
}

/// Finds records by their series; made for one body and thrown away.
#[derive(Debug)]
pub(super) struct Index {
    /// Record numbers by hash, each in the first free place from its own.
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl Index {
    /// Room for so many records.
    pub(super) fn with_records(records: usize) -> Self {
        Self { places: vec![FREE; (records * 2).next_power_of_two().max(16)] }
    }

    /// All records of a layout that are no duplicates.
    pub(super) fn of(layout: &Layout) -> Self {
        let mut index = Self::with_records(layout.records());
        for (record, (&hash, rule)) in layout.hashes.iter().zip(&layout.rules).enumerate() {
            if rule & rule::DUPLICATE == 0 {
                index.insert(hash, record);
            }
        }
        index
    }

    pub(super) fn insert(&mut self, hash: u32, record: usize) {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at] != FREE {
            at = (at + 1) & mask;
        }
        self.places[at] = record as u32;
    }

    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at] != FREE {
            let record = self.places[at] as usize;
            if is_it(record) {
                return Some(record);
            }
            at = (at + 1) & mask;
        }
        None
    }
}
