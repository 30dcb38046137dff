//! Version 1 without its compression's search: what a request repeats is known before.
//!
//! A series' message differs from that of the series before it in a few bytes of a label, in its value, and in nothing else; and
//! the next request has the same messages. So the elements of snappy's format that copy the one out of the other are looked
//! for once, kept, and put into each request as they are. Only a value is new.
//!
//! Copies reach back over uncompressed bytes. The elements of a series are therefore good only where the two series before it in
//! the part come right before it in the request.

use super::{
    body::Body,
    build::Shared,
    output::up_to_value,
    store::{Entry, NATIVE, Part, SENT},
};

/// What follows a value: the tag of the time and its six bytes, in milliseconds from 2004 to 2109.
pub(crate) const TAIL: usize = 7;

/// A value.
const VALUE: usize = 8;

/// Copies of two bytes reach less far than this, and copies of three less than twice the square of 256.
const NEAR: usize = 1 << 11;
const FAR: usize = 1 << 16;

/// Shorter copies save nothing.
const MATCH: usize = 4;

/// The elements of the series of a part, in the order of their slots: for each their length, the length of what they stand for in
/// two bytes, and they. A length of 0: the series is written in full.
#[derive(Debug, Default)]
pub(crate) struct Template {
    elements: Vec<u8>,
}

/// Walks over a template.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'t> {
    rest: &'t [u8],
}

impl Template {
    /// That of a part.
    pub(crate) fn of(part: &Part, shared: &Shared) -> Self {
        let mut template = Self::default();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for entry in part.entries.iter().filter(|entry| is_chained(entry)) {
            // The time itself does not matter: it is copied from the tail before.
            new.clear();
            new.resize(TAIL + usize::from(entry.len) + 64, 0);
            let size = up_to_value(&mut new[TAIL..], shared, &part.bytes, entry);
            new.truncate(TAIL + size);
            template.push(&old, &new);
            std::mem::swap(&mut old, &mut new);
        }
        template.finish();
        template
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.elements.capacity()
    }

    /// Appends a series whose message up to the value is `new`, behind one where it is `old`. Both begin with the tail of the message
    /// before.
    fn push(&mut self, old: &[u8], new: &[u8]) {
        let header = self.elements.len();
        self.elements.extend([0; 3]);
        let (Ok(size), true) = (u16::try_from(new.len()), old.len() + new.len() + VALUE < FAR) else {
            return;
        };
        if old.len() < TAIL {
            return;
        }
        elements(old, new, &mut self.elements);
        match u8::try_from(self.elements.len() - header - 3) {
            Ok(len) => {
                let [low, high] = size.to_le_bytes();
                self.elements[header..header + 3].copy_from_slice(&[len, low, high]);
            }
            Err(_) => self.elements.truncate(header + 3),
        }
    }

    /// Gives back what is not needed.
    fn finish(&mut self) {
        // Elements are read a fixed number of bytes at once.
        self.elements.extend([0; 32]);
        self.elements.shrink_to_fit();
    }

    pub(crate) fn elements(&self) -> Elements<'_> {
        Elements { rest: &self.elements }
    }
}

impl<'t> Elements<'t> {
    /// The elements of the next series, behind which there are always some bytes more; how many they are, and the uncompressed
    /// bytes they stand for.
    #[inline]
    pub(crate) fn next(&mut self) -> (&'t [u8], usize, usize) {
        let [len, low, high, rest @ ..] = self.rest else { return (&[], 0, 0) };
        let len = usize::from(*len);
        self.rest = rest.get(len..).unwrap_or_default();
        (rest, len, usize::from(u16::from_le_bytes([*low, *high])))
    }
}

/// Whether a series has its place in the template of its part.
pub(crate) fn is_chained(entry: &Entry) -> bool {
    entry.flags & (SENT | NATIVE) == SENT
}

/// The elements that make `new`, which stands a value behind `old`.
fn elements(old: &[u8], new: &[u8], out: &mut Vec<u8>) {
    let distance = |from: usize, to: usize| old.len() + VALUE + to - from;
    // The tail has the time of the window, which only the tail before has too.
    let mut at = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    copy(out, distance(0, 0), at);
    let mut seen = [0_u16; 256];
    let slot = |bytes: &[u8]| {
        let word = bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        (word.wrapping_mul(0x9e37_79b1) >> 24) as usize
    };
    for from in TAIL..old.len().saturating_sub(MATCH - 1) {
        seen[slot(&old[from..])] = from as u16;
    }
    let mut literal = at;
    while at + MATCH <= new.len() {
        let from = usize::from(seen[slot(&new[at..])]);
        let same = match from {
            0 => 0,
            _ => old[from..].iter().zip(&new[at..]).take_while(|(old, new)| old == new).count(),
        };
        if same < MATCH {
            at += 1;
            continue;
        }
        put_literal(out, &new[literal..at]);
        copy(out, distance(from, at), same);
        at += same;
        literal = at;
    }
    put_literal(out, &new[literal..]);
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

/// Writes a series from its elements, up to and with its value. `size`: the bytes they stand for.
#[inline]
pub(crate) fn write(
    body: &mut Body,
    values: &mut Values,
    elements: &[u8],
    len: usize,
    size: usize,
    value: u64,
) {
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
