//! How entries look in a file. All numbers are little-endian.
//!
//! A file begins with a [preamble](PREAMBLE) that no version changes: what it is, its version, and a checksum of both. Records
//! follow without a gap, each a head and a body with a checksum each: a body that is damaged is passed over by its length, and
//! behind a head that is damaged the next one is found by its mark and its checksum.
//!
//! | bytes of a head | |
//! |---|---|
//! | 0..4 | mark |
//! | 4..8 | length of the body |
//! | 8..16 | number |
//! | 16..24 | end of the newest window, ms |
//! | 24, 25, 26..28 | kind, flags (1: last of its window), lane |
//! | 28..32, 32..36, 36..40 | samples, histograms, exemplars |
//! | 40..44 | CRC-32 of the body |
//! | 44..48 | CRC-32 of the head up to here |

use bytes::Bytes;

use crate::{Entry, Totals};

/// The length of what a file begins with.
pub(crate) const PREAMBLE: usize = 16;

/// The length of a record's head.
pub(crate) const HEAD: usize = 48;

/// The longest body.
pub(crate) const BODY: usize = 64 << 20;

/// What a head begins with.
pub(crate) const MARK: [u8; 4] = [0xf5, b'q', 0x0e, 0xc1];

const LAST: u8 = 1;

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: u32,
    pub(crate) seq: u64,
    pub(crate) end_ms: i64,
    kind: u8,
    pub(crate) last: bool,
    lane: u16,
    samples: u32,
    histograms: u32,
    exemplars: u32,
    crc: u32,
}

/// What a file's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// It is one of ours, of that version.
    Version(u32),
    /// Nothing that can be believed.
    Damaged,
}

/// The first bytes of a file.
pub(crate) fn preamble(magic: [u8; 8], version: u32) -> [u8; PREAMBLE] {
    let mut bytes = [0; PREAMBLE];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the first bytes of a file.
pub(crate) fn read_preamble(bytes: [u8; PREAMBLE], magic: [u8; 8]) -> Preamble {
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if bytes == preamble(magic, version) { Preamble::Version(version) } else { Preamble::Damaged }
}

impl Head {
    /// The head of an entry whose body is not longer than [`BODY`].
    pub(crate) fn of(entry: &Entry) -> Self {
        let Entry { seq, kind, lane, end_ms, last, samples, histograms, exemplars, ref body } = *entry;
        let (len, crc) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32fast::hash(body));
        Self { len, seq, end_ms, kind, last, lane, samples, histograms, exemplars, crc }
    }

    pub(crate) fn write(self) -> [u8; HEAD] {
        let Self { len, seq, end_ms, kind, last, lane, samples, histograms, exemplars, crc } = self;
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MARK);
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        bytes[8..16].copy_from_slice(&seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&end_ms.to_le_bytes());
        bytes[24] = kind;
        bytes[25] = if last { LAST } else { 0 };
        bytes[26..28].copy_from_slice(&lane.to_le_bytes());
        bytes[28..32].copy_from_slice(&samples.to_le_bytes());
        bytes[32..36].copy_from_slice(&histograms.to_le_bytes());
        bytes[36..40].copy_from_slice(&exemplars.to_le_bytes());
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a head, if that is one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<44>()?;
        let (crc, rest) = rest.split_first_chunk()?;
        if !rest.is_empty() || u32::from_le_bytes(*crc) != crc32fast::hash(head) {
            return None;
        }
        let (mark, rest) = head.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (end_ms, rest) = rest.split_first_chunk()?;
        let ([kind, flags], rest) = rest.split_first_chunk()?;
        let (lane, rest) = rest.split_first_chunk()?;
        let (samples, rest) = rest.split_first_chunk()?;
        let (histograms, rest) = rest.split_first_chunk()?;
        let (exemplars, rest) = rest.split_first_chunk()?;
        let (crc, _rest) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len);
        (*mark == MARK && usize::try_from(len).is_ok_and(|len| len <= BODY)).then(|| Self {
            len,
            seq: u64::from_le_bytes(*seq),
            end_ms: i64::from_le_bytes(*end_ms),
            kind: *kind,
            last: flags & LAST != 0,
            lane: u16::from_le_bytes(*lane),
            samples: u32::from_le_bytes(*samples),
            histograms: u32::from_le_bytes(*histograms),
            exemplars: u32::from_le_bytes(*exemplars),
            crc: u32::from_le_bytes(*crc),
        })
    }

    /// The record's length in its file.
    pub(crate) fn record_bytes(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            entries: 1,
            bytes: self.len.into(),
            samples: self.samples.into(),
            histograms: self.histograms.into(),
            exemplars: self.exemplars.into(),
        }
    }

    /// The entry, if that is its body.
    pub(crate) fn entry(&self, body: Bytes) -> Option<Entry> {
        let Self { len: _, seq, end_ms, kind, last, lane, samples, histograms, exemplars, crc } = *self;
        (crc32fast::hash(&body) == crc).then(|| Entry {
            seq,
            kind,
            lane,
            end_ms,
            last,
            samples,
            histograms,
            exemplars,
            body,
        })
    }
}
