//! Requests under construction.

use observer_aggregate::native::Native;

use super::{
    Compression, Options, Version,
    body::{Body, Kept},
    build::Shared,
    exemplars::{self, With},
    histogram,
    store::Entry,
    template::{self, Element, TAIL, Values},
    wire::{VARINT, put, put_varint},
};
use crate::{
    Batch, Protocol,
    wire::{self, bytes_len},
};

/// Receives batches.
pub(crate) type Out<'o> = dyn FnMut(Batch<'_>) + 'o;

/// What a sample's message has behind its value: its times.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    bytes: [u8; 24],
    len: usize,
    time_ms: i64,
    start_ms: i64,
}

impl Stamp {
    /// `start_ms`: when the series began to count, 0 if nobody knows.
    pub(crate) fn new(time_ms: i64, start_ms: i64) -> Self {
        let mut bytes = [0; 24];
        let mut len = 0;
        for (tag, time) in [(0x10, time_ms), (0x18, start_ms)] {
            if time != 0 {
                bytes[len] = tag;
                len = put_varint(&mut bytes, len + 1, time.cast_unsigned());
            }
        }
        Self { bytes, len, time_ms, start_ms }
    }
}

/// Where a request belongs, and what its series refer to.
pub(crate) struct Target<'t> {
    pub(crate) lane: u16,
    pub(crate) shared: &'t Shared,
    pub(crate) symbols: &'t mut Option<Kept>,
}

/// A body that is finished and waits for the next, to know whether it is the last.
struct Ready {
    lane: u16,
    start: usize,
    end: usize,
    counts: Counts,
}

/// What is in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) samples: u32,
    pub(crate) histograms: u32,
    pub(crate) exemplars: u32,
    pub(crate) metadata: u32,
}

/// Makes requests out of series and hands them out.
pub(crate) struct Output {
    version: Version,
    compression: Compression,
    max_samples: usize,
    max_bytes: usize,
    /// That, or more if the symbols leave too little of it.
    limit: usize,
    body: Body,
    counts: Counts,
    open: bool,
    buffer: Vec<u8>,
    ready: Option<Ready>,
    message: Vec<u8>,
    exemplars: exemplars::Writer,
    /// The times of samples without one of their own.
    stamp: Stamp,
    /// The last series still lacks what follows its value.
    pending: bool,
    /// So many series of one part stand one behind the other at the end of the request.
    chain: usize,
    values: Values,
    end_ms: i64,
    serial: u64,
}

impl Output {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            version: options.version,
            compression: options.compression(),
            max_samples: options.max_samples.max(1),
            max_bytes: options.max_bytes,
            limit: options.max_bytes,
            body: Body::new(options.compression()),
            counts: Counts::default(),
            open: false,
            buffer: Vec::new(),
            ready: None,
            message: Vec::new(),
            exemplars: exemplars::Writer::new(options.utf8_names),
            stamp: Stamp::new(0, 0),
            pending: false,
            chain: 0,
            values: Values::default(),
            end_ms: 0,
            serial: 0,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.body.memory_bytes()
            + self.buffer.capacity()
            + self.message.capacity()
            + self.exemplars.memory_bytes()
    }

    /// What follows belongs to that window.
    pub(crate) fn window(&mut self, end_ms: i64, serial: u64) {
        (self.end_ms, self.serial, self.stamp) = (end_ms, serial, Stamp::new(end_ms, 0));
    }

    /// Whether the times of the window are as long as templates take them to be.
    pub(crate) fn takes_templates(&self) -> bool {
        self.stamp.len == TAIL
    }

    /// What comes next is not the series behind the last one of its part.
    #[inline]
    pub(crate) fn break_chain(&mut self) {
        self.chain = 0;
    }

    /// Completes the last series.
    #[inline]
    fn settle(&mut self) {
        if self.pending {
            self.pending = false;
            let Stamp { bytes, len, .. } = self.stamp;
            self.body.put(&bytes[..len]);
        }
    }

    /// Makes sure that a request is open which takes a series of that size.
    #[inline]
    fn open(&mut self, target: &mut Target<'_>, size: usize, out: &mut Out<'_>) {
        let Counts { samples, histograms, exemplars: _, metadata } = self.counts;
        let count = (samples + histograms + metadata) as usize;
        if self.open && (count >= self.max_samples || (count > 0 && self.body.len() + size > self.limit)) {
            self.finish(target.lane, out);
        }
        if !self.open {
            self.begin(target);
        }
    }

    #[cold]
    fn begin(&mut self, target: &mut Target<'_>) {
        self.body.begin();
        self.open = true;
        self.chain = 0;
        self.values.clear();
        self.exemplars.begin();
        if self.version == Version::V2 {
            self.body.put_kept(target.symbols.get_or_insert_with(Kept::new), target.shared.strings.bytes());
            // Rather a larger request than one for each series, all with the same symbols.
            self.limit = self.max_bytes.max(self.body.len() + self.max_bytes / 2);
        }
    }

    /// A series of version 1 with the time of the window, behind the last one of its part unless the chain is broken.
    #[inline(always)]
    pub(crate) fn chained(
        &mut self,
        target: &mut Target<'_>,
        records: &[u8],
        entry: &Entry,
        value: u64,
        element: &Element<'_>,
        out: &mut Out<'_>,
    ) {
        let most = usize::from(entry.len) + 128;
        self.open(target, most, out);
        if self.chain >= element.needs {
            template::write(&mut self.body, &mut self.values, element, value);
        } else {
            self.settle();
            let start = self.body.len();
            let room = self.body.room(most);
            let at = up_to_value(room, target.shared, records, entry);
            room[at..at + 8].copy_from_slice(&value.to_le_bytes());
            self.body.advance(at + 8);
            self.values.note(start + at, value);
        }
        self.pending = true;
        self.chain += 1;
        self.counts.samples += 1;
    }

    /// A series with one sample. `records`: those of its part.
    #[inline]
    pub(crate) fn sample<const V2: bool>(
        &mut self,
        target: &mut Target<'_>,
        records: &[u8],
        entry: &Entry,
        value: u64,
        stamp: &Stamp,
        out: &mut Out<'_>,
    ) {
        let size = usize::from(entry.len) + 128;
        self.open(target, size, out);
        self.settle();
        self.chain = 0;
        let room = self.body.room(size);
        let sample = 9 + stamp.len;
        let mut at = head::<V2>(room, target.shared, records, entry, 2 + sample);
        room[at..at + 3].copy_from_slice(&[0x12, sample as u8, 0x09]);
        room[at + 3..at + 11].copy_from_slice(&value.to_le_bytes());
        room[at + 11..at + 35].copy_from_slice(&stamp.bytes);
        at += 11 + stamp.len;
        if V2 {
            at = metadata(room, at, target.shared, entry);
        }
        self.body.advance(at);
        self.counts.samples += 1;
    }

    /// As [`Self::sample`], with exemplars.
    #[expect(clippy::too_many_arguments, reason = "those of a sample, and what goes with it")]
    pub(crate) fn exemplified<const V2: bool>(
        &mut self,
        target: &mut Target<'_>,
        records: &[u8],
        entry: &Entry,
        value: u64,
        stamp: &Stamp,
        with: With<'_>,
        out: &mut Out<'_>,
    ) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        wire::fixed64(&mut message, 1, value);
        message.extend_from_slice(&stamp.bytes[..stamp.len]);
        self.series::<V2>(target, records, entry, (2, &message), Some((with, stamp)), out);
        self.counts.samples += 1;
        self.message = message;
    }

    /// A series with one native histogram, or with its end, and with exemplars if there are any.
    #[expect(clippy::too_many_arguments, reason = "those of a sample, and what goes with it")]
    pub(crate) fn histogram<const V2: bool>(
        &mut self,
        target: &mut Target<'_>,
        records: &[u8],
        entry: &Entry,
        native: Result<&Native, f64>,
        stamp: &Stamp,
        with: Option<With<'_>>,
        out: &mut Out<'_>,
    ) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        match native {
            Ok(native) => histogram::write(&mut message, native, stamp.time_ms, stamp.start_ms),
            Err(stale) => histogram::write_stale(&mut message, stale, stamp.time_ms),
        }
        let field = if V2 { 3 } else { 4 };
        self.series::<V2>(target, records, entry, (field, &message), with.map(|with| (with, stamp)), out);
        self.counts.histograms += 1;
        self.message = message;
    }

    /// A series with a message in that field, and exemplars behind it.
    fn series<const V2: bool>(
        &mut self,
        target: &mut Target<'_>,
        records: &[u8],
        entry: &Entry,
        (number, message): (u8, &[u8]),
        with: Option<(With<'_>, &Stamp)>,
        out: &mut Out<'_>,
    ) {
        let size = usize::from(entry.len) + message.len() + 128;
        self.open(target, size + with.map_or(0, |(with, _)| with.bytes()), out);
        self.settle();
        self.chain = 0;
        let mut exemplars: &[u8] = &[];
        if let Some((with, stamp)) = with {
            let Self { exemplars: writer, body, counts, .. } = self;
            counts.exemplars += writer.write::<V2>(with, stamp.time_ms, target.shared, body);
            exemplars = &writer.fields;
        }
        let room = self.body.room(size + exemplars.len());
        let field = bytes_len(message.len()) + exemplars.len();
        let mut at = head::<V2>(room, target.shared, records, entry, field);
        room[at] = number << 3 | 2;
        at = put_varint(room, at + 1, message.len() as u64);
        at = put(room, at, message);
        at = put(room, at, exemplars);
        if V2 {
            at = metadata(room, at, target.shared, entry);
        }
        self.body.advance(at);
    }

    /// A field of the request that is not a series: metadata of version 1.
    pub(crate) fn metadata(&mut self, target: &mut Target<'_>, field: &[u8], out: &mut Out<'_>) {
        self.open(target, field.len(), out);
        self.settle();
        self.chain = 0;
        self.body.put(field);
        self.counts.metadata += 1;
    }

    /// Ends the request.
    pub(crate) fn finish(&mut self, lane: u16, out: &mut Out<'_>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.settle();
        self.hand_out(false, out);
        let (start, end) = self.body.finish(&mut self.buffer);
        self.ready = Some(Ready { lane, start, end, counts: std::mem::take(&mut self.counts) });
    }

    /// Hands out the request that is ready.
    pub(crate) fn hand_out(&mut self, last: bool, out: &mut Out<'_>) {
        let Some(Ready { lane, start, end, counts }) = self.ready.take() else { return };
        let protocol = match (self.version, self.compression) {
            (Version::V1, Compression::Snappy) => Protocol::RemoteWrite1,
            (Version::V1, Compression::Zstd) => Protocol::RemoteWrite1Zstd,
            (Version::V2, _) => Protocol::RemoteWrite2,
        };
        out(Batch {
            protocol,
            lane,
            end_ms: self.end_ms,
            serial: self.serial,
            last,
            samples: counts.samples,
            histograms: counts.histograms,
            exemplars: counts.exemplars,
            body: &self.buffer[start..end],
        });
    }
}

/// A series of version 1 up to its value, if its time is as long as [`TAIL`] says.
#[inline]
pub(crate) fn up_to_value(room: &mut [u8], shared: &Shared, records: &[u8], entry: &Entry) -> usize {
    let at = head::<false>(room, shared, records, entry, 2 + 9 + TAIL);
    room[at..at + 3].copy_from_slice(&[0x12, 9 + TAIL as u8, 0x09]);
    at + 3
}

/// The head of a series' message and its labels. `rest`: the bytes that follow, without the metadata of version 2.
#[inline(always)]
fn head<const V2: bool>(
    room: &mut [u8],
    shared: &Shared,
    records: &[u8],
    entry: &Entry,
    rest: usize,
) -> usize {
    let Entry { at: record, extra, len, .. } = *entry;
    let record = record as usize;
    if V2 {
        let metadata = 2 + usize::from(shared.metadata.bytes()[extra as usize + 1]);
        room[0] = 0x2a;
        let at = put_varint(room, 1, (usize::from(len) + rest + metadata) as u64);
        return put_short(room, at, &records[record..], len.into());
    }
    room[0] = 0x0a;
    let mut at = put_varint(room, 1, (usize::from(len) + rest) as u64);
    let strings = shared.strings.bytes();
    let (references, _) = records[record..record + 4 * extra as usize].as_chunks();
    for reference in references {
        let string = &strings[u32::from_le_bytes(*reference) as usize..];
        let size = usize::from(u16::from_le_bytes([string[0], string[1]]));
        at = put_short(room, at, &string[2..], size);
    }
    at
}

#[inline(always)]
fn metadata(room: &mut [u8], at: usize, shared: &Shared, entry: &Entry) -> usize {
    let field = &shared.metadata.bytes()[entry.extra as usize..];
    put_short(room, at, field, 2 + usize::from(field[1]))
}

/// Copies the first `size` bytes. Most strings are short, and a copy of a fixed size costs no call.
#[inline(always)]
fn put_short(room: &mut [u8], at: usize, from: &[u8], size: usize) -> usize {
    const SHORT: usize = 32;
    match (from.first_chunk::<SHORT>(), room[at..].first_chunk_mut::<SHORT>()) {
        (Some(from), Some(to)) if size <= SHORT => {
            *to = *from;
            at + size
        }
        _ => put(room, at, &from[..size]),
    }
}

const _: () = assert!(VARINT + 9 + 24 + 24 + 32 < 128, "the room of a sample's fixed parts");
