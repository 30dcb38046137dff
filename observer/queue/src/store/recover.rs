//! What an earlier process has left.

use std::{io, path::PathBuf, sync::Arc};

use super::{Failure, Store, name, number};
use crate::{
    Cause, Fsync, Harm, Options, Recovered,
    done::{self, Done, SLOT, Slot},
    door::Door,
    segment::{Opened, Segment},
};

impl Store {
    /// Takes a directory and reads what is in it.
    pub(crate) fn open(door: &Arc<dyn Door>, options: &Options) -> Result<(Self, Recovered), Failure> {
        let failure = |doing, name: &str, source| Failure { doing, path: door.path(name), source };
        door.prepare().map_err(|source| failure("take", "", source))?;
        let names = door.list().map_err(|source| failure("list", "", source))?;
        let mut recovered = Recovered::default();
        let mut store = Self::new(Arc::clone(door), options);
        if names.iter().any(|name| name == done::NAME) {
            store.find_done().map_err(|source| failure("read", done::NAME, source))?;
        }
        let mut files: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        files.sort_unstable();
        store.next_file = files.last().map_or(1, |last| last.saturating_add(1));
        let mut before = None;
        for id in files {
            let found =
                store.find(id, &mut recovered).map_err(|source| failure("read", &name(id), source))?;
            store.note_missing(before, id, found);
            let last = found.map(|(_first, last)| last).or(before.and_then(|(_id, last)| last));
            before = Some((id, last));
        }
        recovered.damage = store.found.damage;
        recovered.totals = store.unread;
        recovered.newest_end_ms = recovered.newest_end_ms.max(store.found_done.newest_end_ms);
        store.written = store.written.max(store.found_done.high);
        if options.fsync == Fsync::Never {
            store.synced = store.written;
        }
        store.writable = store.has_files();
        // The process that has made them may not have lived to sync that.
        store.names_unsynced = store.has_files();
        Ok((store, recovered))
    }

    /// One above the number of the newest entry that is known of.
    pub(crate) const fn next(&self) -> u64 {
        self.written
    }

    /// Puts everything aside that is on disk: its numbers are those of other entries.
    pub(crate) fn set_all_aside(mut self) -> Result<Vec<PathBuf>, Failure> {
        let mut names: Vec<String> = self.segments.drain(..).map(|segment| name(segment.id)).collect();
        names.extend(self.done.file.take().map(|_file| done::NAME.to_owned()));
        let aside = names.iter().map(|name| {
            self.set_aside(name).map_err(|source| Failure {
                doing: "rename",
                path: self.door.path(name),
                source,
            })
        });
        aside.collect()
    }

    /// Takes in a file, and gives the numbers of its first and of its last entry.
    fn find(&mut self, id: u64, recovered: &mut Recovered) -> io::Result<Option<(u64, u64)>> {
        let file = self.door.open(&name(id))?;
        let path = self.path(id);
        let Self { found_done: done, found: harms, counts, told, .. } = self;
        let (mut written, mut newest) = (self.written, recovered.newest_end_ms);
        let harmed = |harm| {
            if let Harm::Torn { known, .. } = harm {
                counts.dropped[Cause::Damaged as usize] += known;
            }
            match harm {
                Harm::Gap { at, .. } if !is_new(id, at, done, told) => {}
                _ => harms.note(path.clone(), harm),
            }
        };
        let opened = Segment::open(id, file, harmed, |head| {
            // A record may be there twice, if the disk has failed and written it all the same.
            let wanted = head.seq >= written && !done.contains(head.seq);
            written = written.max(head.seq.saturating_add(1));
            newest = newest.max(Some(head.end_ms));
            wanted
        })?;
        match opened {
            Opened::Segment(segment) => {
                self.written = written;
                recovered.newest_end_ms = newest;
                self.unread += segment.unread;
                self.file_bytes += segment.len;
                let found = segment.found;
                self.segments.push_back(segment);
                self.remove_if_done(id);
                Ok(found)
            }
            Opened::Unknown(version) => {
                let aside = self.set_aside(&name(id))?;
                self.found.note(aside, Harm::Foreign { version: Some(version) });
                Ok(None)
            }
        }
    }

    /// Tells of the files between two that follow each other, if there were entries in them that are not known to be done.
    fn note_missing(&mut self, before: Option<(u64, Option<u64>)>, id: u64, found: Option<(u64, u64)>) {
        let (Some((id_before, last)), Some((first, _last))) = (before, found) else { return };
        let after = last.unwrap_or(0);
        let Done { high, open, .. } = &self.found_done;
        if *high >= first && !open.iter().any(|seq| (after + 1..first).contains(seq)) {
            return;
        }
        for missing in id_before + 1..id {
            if is_new(missing, 0, &self.found_done, &mut self.told) {
                self.found.note(self.door.path(&name(missing)), Harm::Missing);
            }
        }
    }

    fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let names = self.door.list()?;
        let free = (1_u32..).map(|number| format!("aside-{number}-{name}")).find(|to| !names.contains(to));
        let to = free.unwrap_or_default();
        self.door.rename(name, &to)?;
        Ok(self.door.path(&to))
    }

    fn find_done(&mut self) -> io::Result<()> {
        let file = self.door.open(done::NAME)?;
        let size = file.size()?;
        for at in [0, SLOT as u64] {
            let some = usize::try_from(size.saturating_sub(at)).unwrap_or(SLOT).min(SLOT);
            let mut bytes = vec![0; some];
            if some > 0 {
                file.read(&mut bytes, at)?;
            }
            match done::read(&bytes) {
                Slot::State { generation, done } if generation > self.done.generation => {
                    self.done.generation = generation;
                    self.found_done = done;
                }
                Slot::State { .. } | Slot::Empty => {}
                Slot::Damaged => self.found.note(self.door.path(done::NAME), Harm::State { at }),
                Slot::Unknown(version) => {
                    self.found_done = Done::default();
                    let aside = self.set_aside(done::NAME)?;
                    self.found.note(aside, Harm::Foreign { version: Some(version) });
                    return Ok(());
                }
            }
        }
        self.done.file = Some(file);
        Ok(())
    }
}

/// Whether a place that stays as it is was not told by an earlier process. It is remembered from now on.
fn is_new(file: u64, at: u64, done: &Done, told: &mut Vec<(u64, u64)>) -> bool {
    told.push((file, at));
    !done.told.contains(&(file, at))
}
