//! Version 1 without its compression's search: what a request repeats is known before.
//!
//! A series' message differs from one of those before it in a few bytes of a label, in its value, and in nothing else; and
//! the next request has the same messages. So the elements of snappy's format that copy the one out of the other are looked
//! for once, kept, and put into each request as they are. Only a value is new.
//!
//! Copies reach back over uncompressed bytes. The elements of a series are therefore good only where the series they copy from, and
//! all between, stand right before it in the request.

use super::{
    body::Body,
    build::Shared,
    output::up_to_value,
    store::{NATIVE, Part, SENT},
};

/// What follows a value: the tag of the time and its six bytes, in milliseconds from 1971 to 2109.
pub(crate) const TAIL: usize = 7;

/// A value.
const VALUE: usize = 8;

/// Copies of two bytes reach less far than this, and copies of three less than [`FAR`].
const NEAR: usize = 1 << 11;
const FAR: usize = 1 << 16;

/// Shorter copies save nothing.
const MATCH: usize = 4;

/// The elements of a part, slot by slot. Each has its [`HEADER`]: how many bytes they are (0 if the series is written in full), how many they stand for, and how many series have to stand before it.
#[derive(Debug, Default)]
pub(crate) struct Template {
    elements: Vec<u8>,
    /// Where they end; what follows is there to be read and to mean nothing.
    end: usize,
}

const HEADER: usize = 5;

/// Walks over a template.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'t> {
    bytes: &'t [u8],
    at: usize,
    end: usize,
}

/// The elements of one series.
#[derive(Clone, Copy)]
pub(crate) struct Element<'t> {
    /// They, and some bytes more.
    bytes: &'t [u8],
    len: usize,
    /// The uncompressed bytes they stand for.
    size: usize,
    /// So many series have to stand before it.
    pub(crate) needs: usize,
}

impl Template {
    /// That of a part.
    pub(crate) fn of(part: &Part, shared: &Shared) -> Self {
        let mut search = Search::new();
        let mut elements = Vec::new();
        for entry in &part.entries {
            if entry.flags & (SENT | NATIVE) != SENT {
                elements.extend([0; HEADER]);
                continue;
            }
            let at = search.text.len();
            // The time itself does not matter: it is copied from another series.
            search.text.resize(at + TAIL + usize::from(entry.len) + 64, 0);
            let size = TAIL + up_to_value(&mut search.text[at + TAIL..], shared, &part.bytes, entry);
            search.text.truncate(at + size);
            let header = elements.len();
            elements.extend([0; HEADER]);
            let needs = search.series(at, &mut elements);
            let len = u8::try_from(elements.len() - header - HEADER);
            match (len, u16::try_from(size), u16::try_from(needs)) {
                (Ok(len), Ok(size), Ok(needs)) => {
                    elements[header] = len;
                    elements[header + 1..header + 3].copy_from_slice(&size.to_le_bytes());
                    elements[header + 3..header + HEADER].copy_from_slice(&needs.to_le_bytes());
                }
                _ => elements.truncate(header + HEADER),
            }
            search.text.extend([0; VALUE]);
        }
        // Elements are read a fixed number of bytes at once.
        let end = elements.len();
        elements.extend([0; 32]);
        elements.shrink_to_fit();
        Self { elements, end }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.elements.capacity()
    }

    pub(crate) fn elements(&self) -> Elements<'_> {
        Elements { bytes: &self.elements, at: 0, end: self.end }
    }
}

impl<'t> Iterator for Elements<'t> {
    type Item = Element<'t>;

    /// Ends behind the slots that there were when the template was made.
    #[inline]
    fn next(&mut self) -> Option<Element<'t>> {
        if self.at == self.end {
            return None;
        }
        let [len, low, high, few, many, bytes @ ..] = &self.bytes[self.at..] else { return None };
        let len = usize::from(*len);
        self.at += HEADER + len;
        let number = |low: &u8, high: &u8| usize::from(u16::from_le_bytes([*low, *high]));
        // A series without elements is never far enough behind others.
        let needs = if len == 0 { usize::MAX } else { number(few, many) };
        Some(Element { bytes, len, size: number(low, high), needs })
    }
}

impl Element<'static> {
    /// That of a series which the template does not know.
    pub(crate) const NONE: Self = Self { bytes: &[], len: 0, size: 0, needs: usize::MAX };
}

/// Looks for what a series repeats of those before it in its part.
struct Search {
    /// The series up to their values, each with the tail of the one before, and room for the values.
    text: Vec<u8>,
    /// Where each series begins.
    starts: Vec<usize>,
    /// Where four bytes stood last, by their hash.
    seen: Vec<u32>,
}

impl Search {
    fn new() -> Self {
        Self { text: Vec::new(), starts: Vec::new(), seen: vec![u32::MAX; 1 << 12] }
    }

    fn slot(&self, at: usize) -> usize {
        let word = self.text[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        (word.wrapping_mul(0x9e37_79b1) >> 20) as usize
    }

    /// The elements of the series that is the end of the text. Says how many series have to stand before it.
    fn series(&mut self, start: usize, out: &mut Vec<u8>) -> usize {
        let before = self.starts.len();
        self.starts.push(start);
        let end = self.text.len();
        let mut needs = usize::MAX;
        if before >= 2 && start - self.starts[before - 1] < FAR {
            let (from, same) = self.beginning(start);
            copy(out, start - from, same);
            // The tail belongs to the series before the one that is copied from.
            needs = before - self.number(from) + 1;
            let mut at = start + same;
            let mut literal = at;
            while at + MATCH <= end {
                match self.found(at, start) {
                    Some((from, same)) => {
                        put_literal(out, &self.text[literal..at]);
                        copy(out, at - from, same);
                        needs = needs.max(before - self.number(from));
                        at += same;
                        literal = at;
                    }
                    None => at += 1,
                }
            }
            put_literal(out, &self.text[literal..]);
        }
        // Another tail has the same time only as a whole, so nothing is copied out of one.
        for at in start + TAIL..end.saturating_sub(MATCH - 1) {
            let slot = self.slot(at);
            self.seen[slot] = at as u32;
        }
        needs
    }

    /// Where a series is that begins as this one, its tail included, and how far they are the same.
    fn beginning(&self, start: usize) -> (usize, usize) {
        let last = self.starts[self.starts.len() - 2];
        let other = self.seen[self.slot(start + TAIL)] as usize;
        let other = other.checked_sub(TAIL).filter(|other| {
            (1..start).contains(other) && start - other < FAR && self.starts.binary_search(other).is_ok()
        });
        let candidates = [Some(last), other].into_iter().flatten();
        let found = candidates.map(|from| (from, self.same(from, start)));
        found.max_by_key(|(_, same)| *same).unwrap_or((last, TAIL))
    }

    /// Bytes before `start` that are the same as those at `at`.
    fn found(&self, at: usize, start: usize) -> Option<(usize, usize)> {
        let from = self.seen[self.slot(at)] as usize;
        if from >= start || at - from >= FAR {
            return None;
        }
        let same = self.same(from, at);
        (same >= MATCH).then_some((from, same))
    }

    /// How many bytes are the same, up to the value of the earlier series.
    fn same(&self, from: usize, at: usize) -> usize {
        let end = self.starts.get(self.number(from) + 1).map_or(at, |next| next - VALUE);
        self.text[from..end].iter().zip(&self.text[at..]).take_while(|(old, new)| old == new).count()
    }

    /// The series in which a place is.
    fn number(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at) - 1
    }
}

fn put_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    for bytes in bytes.chunks(60) {
        out.push((bytes.len() as u8 - 1) << 2);
        out.extend_from_slice(bytes);
    }
}

fn copy(out: &mut Vec<u8>, distance: usize, mut size: usize) {
    while size > 0 {
        // A rest of less than four bytes would not fit the short form.
        let part = if size > 64 && size < 64 + MATCH { size - MATCH } else { size.min(64) };
        let mut bytes = [0; 3];
        let used = put_copy(&mut bytes, 0, distance, part);
        out.extend_from_slice(&bytes[..used]);
        size -= part;
    }
}

/// A copy of 4 to 64 bytes, or in its longer form of fewer. Says where it ends.
#[inline]
fn put_copy(out: &mut [u8], at: usize, distance: usize, size: usize) -> usize {
    if distance < NEAR && (4..12).contains(&size) {
        out[at] = 1 | ((size - 4) << 2) as u8 | ((distance >> 8) << 5) as u8;
        out[at + 1] = distance as u8;
        return at + 2;
    }
    out[at] = 2 | ((size - 1) << 2) as u8;
    out[at + 1] = distance as u8;
    out[at + 2] = (distance >> 8) as u8;
    at + 3
}

/// What is known of the values written so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Values {
    last: u64,
    /// Where bytes that are 0 begin, and how many.
    zeros: usize,
    zero_bytes: usize,
}

impl Values {
    /// Forgets everything: a request begins.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A value stands at this place, however it was written.
    #[inline]
    pub(crate) fn note(&mut self, at: usize, value: u64) {
        self.last = value;
        let zeros = zero_bytes(value);
        if zeros >= 6 {
            (self.zeros, self.zero_bytes) = (at, zeros);
        }
    }
}

/// How many bytes of a value are 0 before the first that is not.
#[inline]
fn zero_bytes(value: u64) -> usize {
    value.trailing_zeros() as usize / 8
}

/// Writes a series from its elements, up to and with its value.
#[inline(always)]
pub(crate) fn write(body: &mut Body, values: &mut Values, element: &Element<'_>, value: u64) {
    let Element { bytes: elements, len, size, needs: _ } = *element;
    let start = body.len() + size;
    let room = body.packed_room(len + 64);
    let mut at = match (elements.first_chunk::<32>(), room.first_chunk_mut::<32>()) {
        (Some(from), Some(to)) if len <= 32 => {
            *to = *from;
            len
        }
        _ => {
            room[..len].copy_from_slice(&elements[..len]);
            len
        }
    };
    let zeros = zero_bytes(value);
    let back = start - values.zeros;
    let bytes = value.to_le_bytes();
    if value == values.last {
        at = put_copy(room, at, size + VALUE, VALUE);
    } else if zeros >= MATCH && values.zero_bytes > 0 && back < FAR {
        let zeros = zeros.min(values.zero_bytes);
        at = put_copy(room, at, back, zeros);
        let rest = VALUE - zeros;
        if rest > 0 {
            room[at] = (rest as u8 - 1) << 2;
            // All eight from there, of which the last are written over.
            let shifted = if zeros == 8 { 0 } else { value >> (8 * zeros) };
            room[at + 1..at + 9].copy_from_slice(&shifted.to_le_bytes());
            at += 1 + rest;
        }
    } else {
        room[at] = (VALUE as u8 - 1) << 2;
        room[at + 1..at + 9].copy_from_slice(&bytes);
        at += 9;
    }
    body.advance_packed(at, size + VALUE);
    values.note(start, value);
}
