//! The label text of a block: what stands there already is not written again.
//!
//! Every series of a target has the target's own labels, and most have names and values that another has too. So the text of a
//! series is a list of pieces, in turn new text and a copy of what stands earlier in its chunk. Copies are of the chunk's bytes
//! as they are, never of copies, so reading is a walk over a few pieces. Series of several families that have the same labels have
//! one text.
//!
//! All that is no text is ASCII, so a chunk is a string and every piece of it is one:
//!
//! ```text
//! length (1 byte), new text, length (1 byte), distance (2 bytes unless the length is 0), length, new text, …
//! ```
//!
//! up to as many bytes as the series has; nothing follows the last piece. The distance goes back from the copy's length.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
    sync::Arc,
};

/// Where series begin within a chunk: before this. No label block is this long.
pub const CHUNK: usize = 1 << 16;

/// How many chunks may be short because windows were reading those before them, until those are put together.
pub(super) const PIECES: usize = 32;

/// A chunk with less than this is short.
pub(super) const SHORT: usize = CHUNK / 8;

/// Shorter copies save little, and each is one more piece to be read.
const MATCH: usize = 24;

/// Bytes by which a copy is found.
const WORD: usize = 8;

/// The longest piece, and what a byte of a distance holds.
const MOST: usize = (1 << 7) - 1;

/// Copies reach less far back than this.
const REACH: usize = 1 << 14;

/// All text of a block. A copy shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug)]
struct Chunk {
    pieces: Arc<String>,
    /// Bytes of the text that the pieces say.
    says: usize,
    /// Some of it has a name in quotes, or looks so.
    has_quotes: bool,
}

/// Where text was put. Only hints: what stands there is looked at again.
#[derive(Debug)]
pub(super) struct Index {
    /// Where the last chunk has new text, by the hash of [`WORD`] bytes.
    words: Box<[u16; 1 << WORDS]>,
    /// Whole texts, by their hash.
    texts: Box<[[u32; 2]; 1 << TEXTS]>,
}

const WORDS: u32 = 12;
const TEXTS: u32 = 10;
const NO_WORD: u16 = u16::MAX;
const NO_TEXT: u32 = u32::MAX;

/// The label block of a series: without braces, values escaped as in the text formats.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    chunk: &'a str,
    at: usize,
    len: usize,
    may_be_quoted: bool,
}

impl Texts {
    /// The text of so many bytes that was put there.
    pub(super) fn get(&self, at: u32, len: usize) -> Text<'_> {
        let (chunk, at) = (at as usize / CHUNK, at as usize % CHUNK);
        let (chunk, may_be_quoted) =
            self.chunks.get(chunk).map_or(("", false), |chunk| (&**chunk.pieces, chunk.has_quotes));
        Text { chunk, at, len, may_be_quoted }
    }

    /// Says where text stands, and appends it if that is nowhere.
    pub(super) fn put(&mut self, text: &str, index: &mut Index) -> u32 {
        let places = index.places(text);
        for hint in &*places {
            if *hint != NO_TEXT && self.get(*hint, text.len()) == *text {
                if let Some(chunk) = self.chunks.get_mut(*hint as usize / CHUNK) {
                    chunk.says += text.len();
                }
                return *hint;
            }
        }
        let at = self.append(text, index);
        let [first, second] = index.places(text);
        (*first, *second) = (at, *first);
        at
    }

    fn append(&mut self, text: &str, index: &mut Index) -> u32 {
        // A chunk that a window is reading stays as it is; a copy for each window that sees a change would be most of the memory.
        let is_open = |chunk: &mut Chunk| {
            Arc::get_mut(&mut chunk.pieces).is_some_and(|pieces| pieces.len() + text.len() < CHUNK)
        };
        if !self.chunks.last_mut().is_some_and(is_open) {
            self.chunks.push(Chunk { pieces: Arc::default(), says: 0, has_quotes: false });
        }
        let nth = self.chunks.len() - 1;
        let chunk = &mut self.chunks[nth];
        chunk.says += text.len();
        // A name stands at the begin or behind a comma.
        chunk.has_quotes |= text.starts_with('"') || text.contains(",\"");
        let pieces = Arc::make_mut(&mut chunk.pieces);
        let at = pieces.len();
        put(pieces, text, index);
        u32::try_from(nth * CHUNK + at).unwrap_or(u32::MAX)
    }

    /// Gives back what a chunk that is not shared has reserved and does not need: the last chunk of each of many targets would
    /// keep as much again as it has.
    pub(super) fn trim(&mut self) {
        for pieces in self.chunks.iter_mut().filter_map(|chunk| Arc::get_mut(&mut chunk.pieces)) {
            if pieces.capacity() > pieces.len() + pieces.len() / 32 {
                // An allocator that is asked for less in the same place may leave all as it is.
                *pieces = pieces.as_str().to_owned();
            }
        }
    }

    /// Forgets the chunks from one on.
    pub(super) fn truncate(&mut self, from: usize) {
        self.chunks.truncate(from);
    }

    /// Whether the text put there is in that chunk or behind it.
    pub(super) const fn is_from(at: u32, chunk: usize) -> bool {
        at as usize / CHUNK >= chunk
    }

    /// Bytes of the text that the chunks from one on say.
    pub(super) fn says(&self, from: usize) -> usize {
        self.chunks[from..].iter().map(|chunk| chunk.says).sum()
    }

    /// Bytes of the chunks.
    pub(super) fn used(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.pieces.len()).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk.pieces.capacity());
        self.chunks.capacity() * size_of::<Chunk>() + chunks.sum::<usize>()
    }

    /// Whether many chunks are short.
    pub(super) fn is_in_pieces(&self) -> bool {
        self.chunks.len() - self.first_short() > PIECES
    }

    /// The chunk from which on all are short.
    pub(super) fn first_short(&self) -> usize {
        self.chunks.iter().rposition(|chunk| chunk.pieces.len() >= SHORT).map_or(0, |last| last + 1)
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

fn put(pieces: &mut String, text: &str, index: &mut Index) {
    let (mut done, mut at) = (0, 0);
    while at + MATCH <= text.len() {
        let back = pieces.len() + 1 + at - done;
        match index.find(pieces, &text[done..], at - done, back) {
            Some((from, len)) => {
                put_new(pieces, &text[done..at], index);
                put_copy(pieces, from, len);
                at += len;
                done = at;
            }
            None => at = text.ceil_char_boundary(at + 1),
        }
        // Longer pieces have no length.
        if at - done > MOST - 4 {
            put_new(pieces, &text[done..at], index);
            put_copy(pieces, 0, 0);
            done = at;
        }
    }
    let mut rest = &text[done..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(MOST));
        put_new(pieces, piece, index);
        if !behind.is_empty() {
            put_copy(pieces, 0, 0);
        }
        rest = behind;
    }
}

/// Makes room for so many bytes: not twice as much, for nobody may write more once a window reads it.
fn reserve(pieces: &mut String, bytes: usize) {
    if bytes > pieces.capacity() - pieces.len() {
        pieces.reserve_exact(bytes.max(pieces.capacity().min(SHORT)));
    }
}

fn put_byte(pieces: &mut String, byte: usize) {
    // Less than 128.
    pieces.push(char::from(byte as u8 & 0x7f));
}

fn put_new(pieces: &mut String, text: &str, index: &mut Index) {
    // With the copy behind it.
    reserve(pieces, text.len() + 4);
    put_byte(pieces, text.len());
    let from = pieces.len();
    pieces.push_str(text);
    index.learn(pieces, from);
}

fn put_copy(pieces: &mut String, from: usize, len: usize) {
    let distance = pieces.len() - from;
    put_byte(pieces, len);
    if len > 0 {
        put_byte(pieces, distance >> 7);
        put_byte(pieces, distance);
    }
}

impl Index {
    pub(super) const BYTES: usize = (2 << WORDS) + (8 << TEXTS);

    pub(super) fn new() -> Self {
        Self { words: Box::new([NO_WORD; 1 << WORDS]), texts: Box::new([[NO_TEXT; 2]; 1 << TEXTS]) }
    }

    fn word(word: &[u8]) -> Option<usize> {
        let word = u64::from_le_bytes(*word.first_chunk::<WORD>()?);
        Some((word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - WORDS)) as usize)
    }

    /// Where a text may be.
    fn places(&mut self, text: &str) -> &mut [u32; 2] {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        &mut self.texts[(hasher.finish() >> (64 - TEXTS)) as usize]
    }

    /// Notes what stands in the chunk from there on.
    fn learn(&mut self, pieces: &str, from: usize) {
        for (at, word) in (from..usize::from(NO_WORD)).zip(pieces.as_bytes()[from..].windows(WORD)) {
            if let Some(place) = Self::word(word) {
                self.words[place] = at as u16;
            }
        }
    }

    /// Where the chunk has the text from `at` on, and how much of it. `back` is where the copy's length will stand.
    fn find(&self, pieces: &str, text: &str, at: usize, back: usize) -> Option<(usize, usize)> {
        let from = usize::from(self.words[Self::word(&text.as_bytes()[at..])?]);
        let there = pieces.as_bytes().get(from..).filter(|_| back - from < REACH)?;
        let same = there.iter().zip(&text.as_bytes()[at..]).take_while(|(one, other)| one == other).count();
        let len = text.floor_char_boundary(at + same.min(MOST)) - at;
        (len >= MATCH).then_some((from, len))
    }
}

impl<'a> Text<'a> {
    /// Bytes of the text.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no label.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The text, put together in a buffer unless it stands somewhere as a whole.
    #[must_use]
    pub fn read<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        buffer.clear();
        for (new, copy) in self.pieces() {
            if new.len() == self.len {
                return new;
            }
            buffer.push_str(new);
            buffer.push_str(copy);
        }
        buffer
    }

    /// Appends the text.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.reserve(self.len);
        for (new, copy) in self.places() {
            out.extend_from_slice(&self.chunk.as_bytes()[new]);
            out.extend_from_slice(&self.chunk.as_bytes()[copy]);
        }
    }

    /// Whether the text has a name in quotes, or is with others that do.
    #[must_use]
    pub const fn may_be_quoted(&self) -> bool {
        self.may_be_quoted
    }

    /// New text and the copy behind it, either of which may be empty.
    fn pieces(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let chunk = self.chunk;
        self.places().map_while(|(new, copy)| Some((chunk.get(new)?, chunk.get(copy)?)))
    }

    /// Where they stand in the chunk.
    #[inline]
    fn places(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<'a> {
        let Self { chunk, mut at, len: mut left, .. } = *self;
        let bytes = chunk.as_bytes();
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let start = at + 1;
            let len = usize::from(*bytes.get(at)?);
            let back = start + len;
            left = left.checked_sub(len)?;
            if left == 0 {
                return (back <= bytes.len()).then_some((start..back, 0..0));
            }
            let [len, high, low] = *bytes.get(back..)?.first_chunk()?;
            if len == 0 {
                at = back + 1;
                return Some((start..back, 0..0));
            }
            let from = back.checked_sub(usize::from(high) << 7 | usize::from(low))?;
            let to = from + usize::from(len);
            left = left.checked_sub(usize::from(len)).filter(|_| to <= bytes.len())?;
            at = back + 3;
            Some((start..back, from..to))
        })
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces().try_for_each(|(new, copy)| {
            f.write_str(new)?;
            f.write_str(copy)
        })
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        let mut rest = other;
        self.len == other.len()
            && self.pieces().all(|(new, copy)| {
                rest.strip_prefix(new).and_then(|behind| behind.strip_prefix(copy)).is_some_and(|behind| {
                    rest = behind;
                    true
                })
            })
            && rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts texts one behind the other and reads them.
    #[track_caller]
    fn check(list: &[String]) -> Texts {
        let (mut texts, mut index) = (Texts::default(), Index::new());
        let places: Vec<u32> = list.iter().map(|text| texts.put(text, &mut index)).collect();
        let mut buffer = String::new();
        for (at, text) in places.into_iter().zip(list) {
            let got = texts.get(at, text.len());
            assert_eq!(got.read(&mut buffer), text);
            let mut out = b"before ".to_vec();
            got.append(&mut out);
            assert_eq!(out, [b"before ", text.as_bytes()].concat());
            assert!(got == **text && got.to_string() == *text);
            let other: String = text.chars().rev().collect();
            assert_eq!(got == *other, *text == other);
        }
        texts
    }

    #[test]
    fn text_reads_as_it_was_put() {
        let long = |n: usize| "0123456789".repeat(n);
        check(&["".into(), "a".into(), long(20), long(13), long(12) + "x", "".into()]);
        check(&[long(6553), long(6000), long(1000), "end".into()]);
        // Pieces end between characters.
        let wide = |first: &str| format!("{first}{}", "äöü€🦀".repeat(30));
        check(&[wide(""), wide("x"), wide("yy"), wide("€"), "🦀".repeat(64), "ä".repeat(64)]);
        // Text that looks like lengths and distances.
        let control = |n: u8| (0..200_u8).map(|at| char::from(at.wrapping_mul(n) & 0x7f)).collect::<String>();
        check(&(0..100).map(control).collect::<Vec<_>>());
    }

    #[test]
    fn what_series_have_in_common_is_there_once() {
        let series = |n: usize| {
            let (cpu, mode) = (n % 50, ["idle", "user", "system"][n / 50 % 3]);
            format!("cpu=\"{cpu}\",instance=\"127.64.0.1:20000\",job=\"load\",mode=\"{mode}\"")
        };
        let texts = check(&(0..3000).map(series).collect::<Vec<_>>());
        // Each of the 150 label blocks once, and each in some pieces.
        assert!(texts.used() < 150 * 20, "{}", texts.used());
        assert!(texts.says(0) > 3000 * 50);
    }

    #[test]
    fn quotes_about_names_are_noticed() {
        let (mut texts, mut index) = (Texts::default(), Index::new());
        let mut may_be = |text: &str| {
            let at = texts.put(text, &mut index);
            texts.get(at, text.len()).may_be_quoted()
        };
        assert!(!may_be("a=\"1\",b=\"2\""));
        assert!(may_be("a=\"1\",\"b.c\"=\"2\""));
        // With others that have some.
        assert!(may_be("a=\"3\""));
    }

    #[test]
    fn copies_reach_as_far_as_they_can_say() {
        let common: String = (0..200).map(|n| char::from(b'a' + (n * n / 7 % 26) as u8)).collect();
        let (mut state, mut list) = (1_u64, Vec::new());
        for n in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            list.push(format!("id=\"{state:016x}\",common=\"{}\",n=\"{n}\"", &common[..n % 200]));
        }
        let texts = check(&list);
        assert!(texts.chunks() > 1 && texts.used() < texts.says(0) / 2, "{} bytes", texts.used());
    }

    #[test]
    fn any_bytes_are_some_text() {
        let chunk: String = (0..255_u8).map(|n| char::from(n.wrapping_mul(73) & 0x7f)).collect();
        for at in 0..300 {
            for len in [0, 1, 7, 100, 1000] {
                let text = Text { chunk: &chunk, at, len, may_be_quoted: false };
                assert!(text.to_string().len() <= len);
                let mut out = Vec::new();
                text.append(&mut out);
                assert!(out.len() <= len);
                assert!(text.read(&mut String::new()).len() <= len);
            }
        }
    }
}
