//! The files of a queue.

mod recover;
mod sync;

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    Cause, Entry, Fsync, Harm, Options, Totals, damage,
    done::{self, Done},
    door::{Door, File},
    record::{HEAD, PREAMBLE},
    segment::{Found, Segment},
};

pub(crate) use self::sync::{Due, Synced};

/// A call that the disk has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) doing: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The files, oldest first, and the state beside them.
#[derive(Debug)]
pub(crate) struct Store {
    door: Arc<dyn Door>,
    max_bytes: u64,
    fsync: Fsync,
    retry_after: Duration,
    segments: VecDeque<Segment>,
    /// The number of the next file.
    next_file: u64,
    /// Whether the last file may be written to.
    writable: bool,
    unread: Totals,
    file_bytes: u64,
    /// One above the number of the newest entry written, and of the newest one that is synced with all before it.
    written: u64,
    synced: u64,
    /// Entries whose sync has failed: they may be gone after a power failure, whatever a later sync says.
    suspect: Option<(u64, u64)>,
    /// Whether names wait to be synced.
    names_unsynced: bool,
    synced_at: Duration,
    /// Whether something was written since the last look for what can be removed.
    busy: bool,
    /// Which entries were done when the queue was opened.
    found_done: Done,
    done: State,
    failing: Option<Failing>,
    /// Where the disk did not let us read, and until when it is left alone.
    unreadable: Option<(u64, u64, Duration)>,
    pub(crate) counts: Counts,
    /// The places of files that are not as they should be, that stay so, and that were told.
    told: Vec<(u64, u64)>,
    /// What was not as it should be in the files.
    pub(crate) found: damage::Found,
}

/// What the store has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written_bytes: u64,
    pub(crate) fsyncs: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: [Totals; Cause::ALL.len()],
}

/// The file that says which entries are done.
#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn File>>,
    generation: u64,
    written: Done,
    unsynced: bool,
}

#[derive(Debug)]
struct Failing {
    says: String,
    retry_at: Duration,
}

/// How long a file becomes: a 32nd of the bound, so that little is dropped at a time, but not more than 8 MiB, so that room comes
/// back soon, but not less than a 256th of the bound, for each file is kept open.
const fn file_bytes(max_bytes: u64) -> u64 {
    const MOST: u64 = 8 << 20;
    let part = max_bytes / 32;
    if part < MOST {
        part
    } else if max_bytes / 256 > MOST {
        max_bytes / 256
    } else {
        MOST
    }
}

/// A file that is written to see whether the disk works again.
#[derive(Debug)]
pub(crate) struct Probe(Arc<dyn Door>);

impl Probe {
    /// Waits for the disk.
    pub(crate) fn run(&self) -> io::Result<()> {
        self.0.prepare()?;
        let file = self.0.open(PROBE)?;
        file.write(&PROBE_BYTES, 0)?;
        file.sync()?;
        self.0.remove(PROBE)
    }
}

const PROBE: &str = "probe";
const PROBE_BYTES: [u8; 4096] = [0x5a; 4096];

impl Store {
    fn new(door: Arc<dyn Door>, options: &Options) -> Self {
        Self {
            door,
            max_bytes: options.max_bytes,
            fsync: options.fsync,
            retry_after: options.retry_after,
            segments: VecDeque::new(),
            next_file: 1,
            writable: false,
            unread: Totals::default(),
            file_bytes: 0,
            written: 0,
            synced: 0,
            suspect: None,
            names_unsynced: false,
            synced_at: options.clock.monotonic(),
            busy: false,
            found_done: Done::default(),
            done: State::default(),
            failing: None,
            unreadable: None,
            counts: Counts::default(),
            told: Vec::new(),
            found: damage::Found::default(),
        }
    }

    /// Whether a body of that length fits under the bound, alone.
    pub(crate) const fn fits(bytes: u64, max_bytes: u64) -> bool {
        bytes.saturating_add((PREAMBLE + HEAD) as u64) <= max_bytes
    }

    /// Whether the disk is worth a try.
    pub(crate) const fn works(&self) -> bool {
        self.failing.is_none()
    }

    /// What the disk said last, while it is failing.
    pub(crate) fn says(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.says.as_str())
    }

    /// What nobody took yet.
    pub(crate) const fn unread(&self) -> Totals {
        self.unread
    }

    /// The bytes of all files.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The end of the oldest unread entry, or of one before it.
    pub(crate) fn oldest_end_ms(&self) -> Option<i64> {
        self.segments.iter().find(|segment| segment.unread.entries > 0).map(|segment| segment.oldest_end_ms)
    }

    /// The number of the oldest unread entry, or of one before it that is done.
    pub(crate) fn oldest_seq(&self) -> Option<u64> {
        self.segments.iter().find(|segment| segment.unread.entries > 0).map(|segment| segment.oldest_seq)
    }

    /// Whether so many entries fit under the bound, in as many files as they may take.
    pub(crate) fn has_room(&self, more: Totals) -> bool {
        let heads = more.entries.saturating_mul(HEAD as u64);
        let files = more.bytes.saturating_add(heads) / file_bytes(self.max_bytes).max(1) + 1;
        let preambles = files.saturating_mul(PREAMBLE as u64);
        let more = more.bytes.saturating_add(heads).saturating_add(preambles);
        self.file_bytes.saturating_add(more) <= self.max_bytes
    }

    /// The oldest file's number, if there has to be one less before a body of that length fits.
    pub(crate) fn in_the_way(&self, bytes: u64) -> Option<u64> {
        let room = self.max_bytes.checked_sub(self.file_bytes + bytes + (PREAMBLE + HEAD) as u64);
        self.segments.front().filter(|_oldest| room.is_none()).map(|oldest| oldest.id)
    }

    /// Writes an entry behind all others, and gives its file's number. It is unread, unless it is `held` in memory.
    pub(crate) fn append(&mut self, entry: &Entry, held: bool, now: Duration) -> Result<u64, Failure> {
        let bound = file_bytes(self.max_bytes);
        let last = self.segments.back_mut().filter(|last| self.writable && last.is_writable(bound));
        let last = match last {
            Some(last) => last,
            None => self.begin(now)?,
        };
        let (id, before) = (last.id, last.len);
        match last.append(entry) {
            Ok(head) => {
                if held {
                    last.add_held(&head);
                } else {
                    last.add_unread(&head);
                }
                let bytes = last.len - before;
                if !held {
                    self.unread += head.totals();
                }
                self.file_bytes += bytes;
                self.counts.written_bytes += bytes;
                self.written = entry.seq + 1;
                self.busy = true;
                if self.fsync == Fsync::Never {
                    self.synced = self.written;
                }
                Ok(id)
            }
            Err(source) => {
                let path = self.path(id);
                self.writable = false;
                self.remove_if_done(id);
                Err(self.fail(Failure { doing: "write to", path, source }, now))
            }
        }
    }

    fn begin(&mut self, now: Duration) -> Result<&mut Segment, Failure> {
        // On a full disk there has to be room for what is done.
        self.done_file().map_err(|source| {
            let path = self.door.path(done::NAME);
            self.fail(Failure { doing: "write to", path, source }, now)
        })?;
        let id = self.next_file;
        self.next_file += 1;
        self.writable = false;
        let segment = self.door.open(&name(id)).and_then(|file| Segment::create(id, file));
        let segment = segment.map_err(|source| {
            // An empty file is as good as none.
            _ = self.door.remove(&name(id));
            self.fail(Failure { doing: "create", path: self.path(id), source }, now)
        })?;
        self.file_bytes += segment.len;
        self.counts.written_bytes += segment.len;
        self.names_unsynced = true;
        self.writable = true;
        Ok(self.segments.push_back_mut(segment))
    }

    /// Reads the oldest unread entry that ends at `oldest_ms` or later, and gives its file's number with it. It is held then.
    pub(crate) fn read(&mut self, oldest_ms: i64, now: Duration) -> Option<(Entry, u64)> {
        loop {
            let segment = self.segments.iter_mut().find(|segment| segment.unread.entries > 0)?;
            let id = segment.id;
            if self.unreadable.is_some_and(|(_file, _at, until)| now < until) {
                return None;
            }
            let (head, at) = match segment.next() {
                Ok(Found::Record { head, at, gap: _ }) => (head, at),
                Ok(Found::End { gap }) => {
                    // It was not so when it was found.
                    let (at, known) = (segment.len - gap, segment.unread);
                    self.found.note(self.path(id), Harm::Torn { at, bytes: gap, known });
                    self.drop_unread(id, Cause::Damaged);
                    continue;
                }
                Err(source) => {
                    if self.unreadable_again(id, 0, source, now) {
                        self.drop_unread(id, Cause::Unreadable);
                    }
                    continue;
                }
            };
            if segment.is_known(&head) {
                segment.pass(&head, at);
                continue;
            }
            let old = head.end_ms < oldest_ms;
            let entry = if old { Ok(None) } else { segment.entry(&head, at) };
            let (entry, cause) = match entry {
                Ok(entry) => (entry, if old { Cause::Age } else { Cause::Damaged }),
                Err(source) => match self.unreadable_again(id, at, source, now) {
                    true => (None, Cause::Unreadable),
                    false => continue,
                },
            };
            self.unreadable = None;
            let segment = self.segments.iter_mut().find(|segment| segment.id == id)?;
            segment.pass(&head, at);
            segment.unread -= head.totals();
            self.unread -= head.totals();
            if let Some(entry) = entry {
                segment.held += 1;
                return Some((entry, id));
            }
            self.counts.dropped[cause as usize] += head.totals();
            if cause == Cause::Damaged {
                let harm = Harm::Body { at, bytes: head.record_bytes(), known: head.totals() };
                self.found.note(self.path(id), harm);
            }
            self.remove_if_done(id);
        }
    }

    /// Notes that a place could not be read, and says whether it was tried before.
    fn unreadable_again(&mut self, file: u64, at: u64, source: io::Error, now: Duration) -> bool {
        let again = self.unreadable.is_some_and(|(seen, place, _until)| (seen, place) == (file, at));
        self.unreadable = (!again).then_some((file, at, now + self.retry_after));
        self.fail(Failure { doing: "read", path: self.path(file), source }, now);
        again
    }

    /// An entry of that file is done.
    pub(crate) fn release(&mut self, file: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == file) {
            segment.held -= 1;
            self.remove_if_done(file);
        }
    }

    /// Drops files whose unread entries are all too old.
    pub(crate) fn drop_older(&mut self, oldest_ms: i64) {
        while let Some(oldest) = self.segments.iter().find(|segment| segment.unread.entries > 0)
            && oldest.newest_end_ms < oldest_ms
        {
            self.drop_unread(oldest.id, Cause::Age);
        }
    }

    /// Drops a file, whatever it holds.
    pub(crate) fn drop_file(&mut self, file: u64) {
        self.drop_unread(file, Cause::DiskFull);
        if let Some(at) = self.segments.iter().position(|segment| segment.id == file) {
            self.remove(at);
        }
    }

    fn drop_unread(&mut self, file: u64, cause: Cause) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == file) {
            let unread = std::mem::take(&mut segment.unread);
            segment.read_to = segment.len;
            self.unread -= unread;
            self.counts.dropped[cause as usize] += unread;
            self.remove_if_done(file);
        }
    }

    /// Removes the last file too, if nothing in it is needed and nothing is written. Notices if somebody else has removed it.
    pub(crate) fn tidy(&mut self, now: Duration) {
        let busy = std::mem::take(&mut self.busy);
        let Some(last) = self.segments.back() else { return };
        let id = last.id;
        if !busy && last.unread.entries + last.held == 0 {
            self.writable = false;
            self.remove_if_done(id);
        } else if self.writable {
            // The failure is remembered.
            self.check_linked(id, now).unwrap_or_default();
        }
    }

    /// A file without a name takes bytes as ever, and is gone with the process.
    fn check_linked(&mut self, file: u64, now: Duration) -> Result<(), Failure> {
        let Some(segment) = self.segments.iter().find(|segment| segment.id == file) else { return Ok(()) };
        let source = match segment.file.is_linked() {
            Ok(true) => return Ok(()),
            Ok(false) => io::Error::new(io::ErrorKind::NotFound, "somebody has removed it"),
            Err(source) => source,
        };
        let path = self.path(file);
        self.distrust(self.written);
        Err(self.fail(Failure { doing: "write to", path, source }, now))
    }

    fn remove_if_done(&mut self, file: u64) {
        let done = |segment: &Segment| segment.id == file && segment.unread.entries == 0 && segment.held == 0;
        if let Some(at) = self.segments.iter().position(done)
            && !(self.writable && at + 1 == self.segments.len())
        {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        self.writable &= at + 1 != self.segments.len();
        if let Some(segment) = self.segments.remove(at) {
            self.file_bytes -= segment.len;
            // If it stays, its entries are known to be done, or come once more after a restart.
            if self.door.remove(&name(segment.id)).is_err() {
                self.counts.errors += 1;
            }
        }
    }

    pub(crate) fn has_files(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Which entries are done, if those in memory that are not are these. All unread ones follow the first of them.
    pub(crate) fn done(&self, in_memory: impl Iterator<Item = u64>, newest_end_ms: Option<i64>) -> Done {
        let unread = self.oldest_seq().unwrap_or(u64::MAX);
        let found = &self.found_done;
        let high = if unread < found.high { found.high } else { unread.min(self.written) };
        let mut open: Vec<u64> = in_memory.filter(|seq| *seq < high).collect();
        open.extend(found.open.iter().copied().filter(|seq| *seq >= unread));
        open.sort_unstable();
        open.dedup();
        // Behind the first file nothing is between two.
        let first = self.segments.front().map_or(u64::MAX, |segment| segment.id);
        let told = self.told.iter().copied().filter(|(file, _at)| *file >= first).collect();
        Done { high, open, newest_end_ms, told }
    }

    /// Writes down what is done.
    pub(crate) fn note_done(&mut self, done: Done, now: Duration) -> Result<(), Failure> {
        if done == self.done.written {
            return Ok(());
        }
        let generation = self.done.generation + 1;
        let bytes = done.write(generation);
        let at = (generation % 2) * done::SLOT as u64;
        match self.done_file().and_then(|file| file.write(&bytes, at)) {
            Ok(()) => {
                self.done.generation = generation;
                self.done.written = done;
                self.done.unsynced = true;
                self.counts.written_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                let path = self.door.path(done::NAME);
                Err(self.fail(Failure { doing: "write to", path, source }, now))
            }
        }
    }

    /// The file that says what is done, at its full length.
    fn done_file(&mut self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &self.done.file {
            return Ok(Arc::clone(file));
        }
        let file = self.door.open(done::NAME)?;
        let size = file.size()?;
        if let Some(missing) = (2 * done::SLOT as u64).checked_sub(size).filter(|missing| *missing > 0) {
            file.write(&vec![0; usize::try_from(missing).unwrap_or_default()], size)?;
            self.counts.written_bytes += missing;
            self.names_unsynced = true;
        }
        self.done.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// What says whether a failing disk works again, if that is due or `now_or_never`.
    pub(crate) fn trial(&mut self, now: Duration, now_or_never: bool) -> Option<Probe> {
        let failing = self.failing.as_ref()?;
        (now_or_never || now >= failing.retry_at).then(|| Probe(Arc::clone(&self.door)))
    }

    /// Takes in what it said.
    pub(crate) fn probed(&mut self, result: io::Result<()>, now: Duration) {
        self.writable = false;
        match result {
            Ok(()) => {
                self.failing = None;
                self.unreadable = self.unreadable.map(|(file, at, _until)| (file, at, now));
                // It may be another directory by now.
                self.done.file = None;
                self.done.written = Done::default();
            }
            Err(source) => {
                let path = self.door.path(PROBE);
                self.fail(Failure { doing: "write to", path, source }, now);
            }
        }
    }

    /// Notes that the disk is failing.
    fn fail(&mut self, failure: Failure, now: Duration) -> Failure {
        self.counts.errors += 1;
        self.writable = false;
        let soon = self.failing.as_ref().map(|failing| failing.retry_at).filter(|at| now < *at);
        let retry_at = soon.unwrap_or(now + self.retry_after);
        self.failing = Some(Failing { says: failure.to_string(), retry_at });
        failure
    }

    fn path(&self, file: u64) -> PathBuf {
        self.door.path(&name(file))
    }
}

/// What a file is called.
fn name(file: u64) -> String {
    format!("{file:020}.queue")
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".queue").filter(|digits| digits.len() == 20)?;
    digits.parse().ok()
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { doing, path, source } = self;
        write!(f, "cannot {doing} `{}`: {source}", path.display())
    }
}
