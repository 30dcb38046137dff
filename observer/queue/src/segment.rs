//! One file of records.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    Entry, Harm, Totals,
    door::File,
    record::{HEAD, Head, MARK, PREAMBLE, Preamble, preamble, read_preamble},
};

/// A file, and what is known about it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its number, which is its name.
    pub(crate) id: u64,
    pub(crate) file: Arc<dyn File>,
    /// Where the next record goes, and where reading ends.
    pub(crate) len: u64,
    /// Where the next unread record is.
    pub(crate) read_to: u64,
    /// What nobody took yet.
    pub(crate) unread: Totals,
    /// How many entries are in memory that are not done.
    pub(crate) held: u64,
    /// The ends of the oldest unread entry, or of one before it, and of the newest entry.
    pub(crate) oldest_end_ms: i64,
    pub(crate) newest_end_ms: i64,
    /// Whether bytes wait to be synced.
    pub(crate) unsynced: bool,
    /// The number of the oldest unread entry, or of one before it.
    pub(crate) oldest_seq: u64,
    /// The numbers of the first and of the last entry, as the file was found.
    pub(crate) found: Option<(u64, u64)>,
    /// The newest entry read.
    last_seq: u64,
    /// Entries that are not to be read: they were done when the file was opened, or in memory when they were written. In order.
    known: Vec<u64>,
}

/// What stands at a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record, after so many bytes that are none.
    Record { head: Head, at: u64, gap: u64 },
    /// Nothing any more, but so many bytes that are none.
    End { gap: u64 },
}

/// What a file turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    Segment(Segment),
    /// Written by another version.
    Unknown(u32),
}

const MAGIC: [u8; 8] = *b"obsqueue";
const VERSION: u32 = 1;

/// How much is searched at a time.
const CHUNK: usize = 64 << 10;

impl Segment {
    /// Begins a file, which is not linked to a directory durably before that is synced.
    pub(crate) fn create(id: u64, file: Arc<dyn File>) -> io::Result<Self> {
        file.cut(0)?;
        file.write(&preamble(MAGIC, VERSION), 0)?;
        Ok(Self::new(id, file, PREAMBLE as u64))
    }

    fn new(id: u64, file: Arc<dyn File>, len: u64) -> Self {
        Self {
            id,
            file,
            len,
            read_to: PREAMBLE as u64,
            unread: Totals::default(),
            held: 0,
            oldest_end_ms: i64::MAX,
            newest_end_ms: i64::MIN,
            unsynced: true,
            oldest_seq: u64::MAX,
            found: None,
            last_seq: 0,
            known: Vec::new(),
        }
    }

    /// Reads the heads of a file's records, and hands each that follows those before it to `wanted`. What was not written whole is cut
    /// off its end. What is not as it should be is told to `harmed`.
    pub(crate) fn open(
        id: u64,
        file: Arc<dyn File>,
        mut harmed: impl FnMut(Harm),
        mut wanted: impl FnMut(&Head) -> bool,
    ) -> io::Result<Opened> {
        let size = file.size()?;
        let mut segment = Self::new(id, file, size);
        let mut first = [0; PREAMBLE];
        if size >= PREAMBLE as u64 {
            segment.file.read(&mut first, 0)?;
            match read_preamble(first, MAGIC) {
                Preamble::Version(VERSION) => {}
                Preamble::Version(version) => return Ok(Opened::Unknown(version)),
                Preamble::Damaged => harmed(Harm::Gap { at: 0, bytes: PREAMBLE as u64 }),
            }
        }
        let (mut at, mut last_seq) = (PREAMBLE as u64, 0);
        let mut records = Vec::new();
        while let Found::Record { head, at: place, gap } = segment.find(at, last_seq)? {
            if gap > 0 {
                harmed(Harm::Gap { at, bytes: gap });
            }
            (at, last_seq) = (place + head.record_bytes(), head.seq);
            records.push((head, place));
        }
        // After a power failure the last records may have their length, but not all of their bytes.
        let mut torn = Vec::new();
        while let Some((head, place)) = records.last() {
            if segment.entry(head, *place)?.is_some() {
                break;
            }
            at = *place;
            torn.extend(records.pop());
        }
        segment.len = at.min(size);
        segment.found = records.first().zip(records.last()).map(|(first, last)| (first.0.seq, last.0.seq));
        for (head, _place) in &records {
            if wanted(head) {
                segment.add_unread(head);
            } else {
                segment.known.push(head.seq);
            }
        }
        let mut known = Totals::default();
        for (head, _place) in torn.iter().rev().filter(|(head, _place)| wanted(head)) {
            known += head.totals();
        }
        if at < size {
            harmed(Harm::Torn { at, bytes: size - at, known });
            // Whether that works does not matter: nothing is read or written there any more.
            _ = segment.file.cut(at);
        } else if size > 0 && size < PREAMBLE as u64 {
            harmed(Harm::Torn { at: 0, bytes: size, known });
        }
        Ok(Opened::Segment(segment))
    }

    /// Whether records can be put behind those that are there.
    pub(crate) fn is_writable(&self, bound: u64) -> bool {
        self.len >= PREAMBLE as u64 && self.len < bound
    }

    /// Writes a record at the end. When it fails, what is there of it is never read.
    pub(crate) fn append(&mut self, entry: &Entry) -> io::Result<Head> {
        let head = Head::of(entry);
        self.unsynced = true;
        let written = self
            .file
            .write(&head.write(), self.len)
            .and_then(|()| self.file.write(&entry.body, self.len + HEAD as u64));
        if let Err(error) = written {
            // The same: if a part stays, it has no checksum.
            _ = self.file.cut(self.len);
            return Err(error);
        }
        self.len += head.record_bytes();
        Ok(head)
    }

    /// An entry waits to be read.
    pub(crate) fn add_unread(&mut self, head: &Head) {
        if self.unread.entries == 0 {
            // Entries between the last one read and this one were never to be read.
            self.oldest_seq = head.seq;
            self.oldest_end_ms = head.end_ms;
        }
        self.unread += head.totals();
        self.oldest_end_ms = self.oldest_end_ms.min(head.end_ms);
        self.newest_end_ms = self.newest_end_ms.max(head.end_ms);
    }

    /// An entry is in memory already: it is not to be read.
    pub(crate) fn add_held(&mut self, head: &Head) {
        self.held += 1;
        self.known.push(head.seq);
        self.newest_end_ms = self.newest_end_ms.max(head.end_ms);
    }

    /// Whether a record is not to be read.
    pub(crate) fn is_known(&self, head: &Head) -> bool {
        self.known.binary_search(&head.seq).is_ok()
    }

    /// The next record. It stays the next until [`Segment::pass`].
    pub(crate) fn next(&self) -> io::Result<Found> {
        self.find(self.read_to, self.last_seq)
    }

    /// Goes on behind a record.
    pub(crate) fn pass(&mut self, head: &Head, at: u64) {
        self.read_to = at + head.record_bytes();
        self.last_seq = head.seq;
        self.oldest_end_ms = head.end_ms;
        self.oldest_seq = head.seq + 1;
    }

    /// The entry whose head stands there, or `None` if its body is damaged.
    pub(crate) fn entry(&self, head: &Head, at: u64) -> io::Result<Option<Entry>> {
        let mut body = vec![0; usize::try_from(head.len).unwrap_or(usize::MAX)];
        self.file.read(&mut body, at + HEAD as u64)?;
        Ok(head.entry(Bytes::from(body)))
    }

    /// The first record at or behind a place whose number is above `after`.
    fn find(&self, from: u64, after: u64) -> io::Result<Found> {
        let Some(room) = self.len.checked_sub(from + HEAD as u64) else {
            return Ok(Found::End { gap: self.len.saturating_sub(from) });
        };
        let fits = |head: &Head, at: u64| head.seq > after && at + head.record_bytes() <= self.len;
        let mut head = [0; HEAD];
        self.file.read(&mut head, from)?;
        if let Some(head) = Head::read(&head).filter(|head| fits(head, from)) {
            return Ok(Found::Record { head, at: from, gap: 0 });
        }
        let mut chunk = vec![0; CHUNK + HEAD];
        let mut skipped = 0;
        while skipped <= room {
            let some = usize::try_from(self.len - from - skipped).unwrap_or(usize::MAX).min(chunk.len());
            let bytes = &mut chunk[..some];
            self.file.read(bytes, from + skipped)?;
            let places =
                bytes.windows(HEAD).zip(from + skipped..).filter(|(bytes, _at)| bytes.starts_with(&MARK));
            let heads = places.filter_map(|(bytes, at)| Some((Head::read(bytes)?, at)));
            if let Some((head, at)) = heads.into_iter().find(|(head, at)| fits(head, *at)) {
                return Ok(Found::Record { head, at, gap: at - from });
            }
            skipped += CHUNK as u64 + 1;
        }
        Ok(Found::End { gap: self.len - from })
    }
}
