//! The body of a request, compressed while it grows, or at its end.

use snap::raw::{Encoder, max_compress_len};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

use super::{
    Compression,
    wire::{VARINT, put_varint},
};
use crate::wire::varint_len;

/// Snappy's own block: no copy reaches back behind its start.
/// <https://github.com/google/snappy/blob/main/format_description.txt>
const BLOCK: usize = 1 << 16;

/// What is left of a block that was filled beyond its end has to be moved, so this is short.
const MARGIN: usize = 1 << 13;

/// More than this costs more time than bytes that are left out are worth to one second.
const LEVEL: i32 = 1;

/// A body. With snappy it has the block format, and each block is compressed as soon as it is full, while its bytes are still in the
/// cache, so that the memory of a request is that of its compressed form. With zstd it is one frame, made of the whole.
pub(crate) struct Body {
    raw: Vec<u8>,
    at: usize,
    /// Uncompressed bytes that stand in `packed`.
    taken: usize,
    packed: Packed,
    snappy: Encoder,
    /// Keeps its memory from one frame to the next.
    zstd: Option<CCtx<'static>>,
}

/// Compressed blocks one behind the other, and room for the length before them.
struct Packed {
    bytes: Vec<u8>,
    end: usize,
}

/// The compressed form of bytes that only grow.
pub(crate) struct Kept {
    packed: Packed,
    raw: usize,
    pieces: usize,
}

/// A body of its own.
pub(crate) fn compress(raw: &[u8], compression: Compression) -> Vec<u8> {
    let packed = match compression {
        // Only bodies of 4 GiB and more are refused.
        Compression::Snappy => Encoder::new().compress_vec(raw).ok(),
        Compression::Zstd => zstd::bulk::compress(raw, LEVEL).ok(),
    };
    packed.unwrap_or_default()
}

/// So many pieces compressed by themselves are compressed anew together.
const PIECES: usize = 16;

impl Kept {
    pub(crate) fn new() -> Self {
        Self { packed: Packed::new(), raw: 0, pieces: 0 }
    }

    fn update(&mut self, snappy: &mut Encoder, raw: &[u8]) {
        if self.raw == raw.len() {
            return;
        }
        if self.pieces == PIECES {
            *self = Self::new();
        }
        self.packed.compress(snappy, &raw[self.raw..]);
        self.packed.shrink();
        self.raw = raw.len();
        self.pieces += 1;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.packed.bytes.capacity()
    }
}

impl Body {
    pub(crate) fn new(compression: Compression) -> Self {
        let zstd = || {
            let mut zstd = CCtx::create();
            // It is a level that there is.
            let _always = zstd.set_parameter(CParameter::CompressionLevel(LEVEL));
            zstd
        };
        Self {
            raw: vec![0; BLOCK + MARGIN],
            at: 0,
            taken: 0,
            packed: Packed::new(),
            snappy: Encoder::new(),
            zstd: (compression == Compression::Zstd).then(zstd),
        }
    }

    /// Forgets what was written.
    pub(crate) fn begin(&mut self) {
        (self.at, self.taken) = (0, 0);
        self.packed.clear();
    }

    /// Uncompressed bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.taken + self.at
    }

    /// Room for at least `size` bytes.
    #[inline]
    pub(crate) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.raw.len() - self.at < size {
            self.drain(size);
        }
        &mut self.raw[self.at..]
    }

    /// So many bytes of the room have been written.
    #[inline]
    pub(crate) fn advance(&mut self, size: usize) {
        self.at += size;
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    /// Takes what has been compressed before, and first compresses what has come to it since. Only with snappy.
    pub(crate) fn put_kept(&mut self, kept: &mut Kept, raw: &[u8]) {
        if self.at > 0 {
            self.pack();
        }
        kept.update(&mut self.snappy, raw);
        self.taken += raw.len();
        self.packed.append(kept.packed.bytes());
    }

    /// Room for so many bytes that are compressed already. What is not is compressed first. Only with snappy.
    #[inline(always)]
    pub(crate) fn packed_room(&mut self, size: usize) -> &mut [u8] {
        if self.at > 0 {
            self.pack();
        }
        if self.packed.bytes.len() - self.packed.end < size {
            self.packed.reserve(size.max(BLOCK));
        }
        &mut self.packed.bytes[self.packed.end..]
    }

    /// So many bytes of that room have been written, which stand for so many uncompressed ones.
    #[inline]
    pub(crate) fn advance_packed(&mut self, packed: usize, raw: usize) {
        self.packed.end += packed;
        self.taken += raw;
    }

    fn pack(&mut self) {
        self.packed.compress(&mut self.snappy, &self.raw[..self.at]);
        self.taken += std::mem::take(&mut self.at);
    }

    #[cold]
    fn drain(&mut self, size: usize) {
        let full = if self.zstd.is_some() { 0 } else { self.at / BLOCK * BLOCK };
        if full > 0 {
            self.packed.compress(&mut self.snappy, &self.raw[..full]);
            self.raw.copy_within(full..self.at, 0);
            self.taken += full;
            self.at -= full;
        }
        if self.raw.len() - self.at < size {
            let grown = if self.zstd.is_some() { self.raw.len() * 2 } else { 0 };
            self.raw.resize(grown.max(self.at + size), 0);
        }
    }

    /// Ends the body and hands it out in exchange for another buffer; it begins and ends there.
    pub(crate) fn finish(&mut self, buffer: &mut Vec<u8>) -> (usize, usize) {
        if let Some(zstd) = &mut self.zstd {
            let most = compress_bound(self.at);
            if buffer.len() < most {
                buffer.resize(most, 0);
            }
            // Only for want of memory: then the receiver refuses an empty body, which is counted.
            let end = zstd.compress2(&mut buffer[..], &self.raw[..self.at]).unwrap_or(0);
            return (0, end);
        }
        if self.at > 0 {
            self.pack();
        }
        let start = VARINT - varint_len(self.taken as u64);
        put_varint(&mut self.packed.bytes, start, self.taken as u64);
        std::mem::swap(&mut self.packed.bytes, buffer);
        (start, self.packed.end)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let zstd = self.zstd.as_ref().map_or(0, CCtx::sizeof);
        self.raw.capacity() + self.packed.bytes.capacity() + zstd
    }
}

impl Packed {
    fn new() -> Self {
        Self { bytes: Vec::new(), end: VARINT }
    }

    fn clear(&mut self) {
        self.end = VARINT;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[VARINT.min(self.bytes.len())..self.end.min(self.bytes.len())]
    }

    fn shrink(&mut self) {
        self.bytes.truncate(self.end);
        self.bytes.shrink_to_fit();
    }

    fn reserve(&mut self, size: usize) {
        if self.bytes.len() < self.end + size {
            self.bytes.resize(self.end + size, 0);
        }
    }

    fn append(&mut self, packed: &[u8]) {
        self.reserve(packed.len());
        self.bytes[self.end..self.end + packed.len()].copy_from_slice(packed);
        self.end += packed.len();
    }

    /// Appends the blocks of `raw`.
    fn compress(&mut self, snappy: &mut Encoder, raw: &[u8]) {
        self.reserve(max_compress_len(raw.len()));
        // The encoder writes the length first. It is in the way: the length of the whole comes before everything else.
        let header = varint_len(raw.len() as u64);
        let start = self.end - header;
        let mut kept = [0; VARINT];
        kept[..header].copy_from_slice(&self.bytes[start..self.end]);
        let size = snappy.compress(raw, &mut self.bytes[start..]).unwrap_or(header);
        self.bytes[start..self.end].copy_from_slice(&kept[..header]);
        self.end = start + size;
    }
}
