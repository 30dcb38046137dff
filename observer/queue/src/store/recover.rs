//! What an earlier process has left.

use std::{io, path::PathBuf, sync::Arc};

use super::{Failure, Store, name, number};
use crate::{
    Fsync, Options, Recovered,
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
            store.find_done(&mut recovered).map_err(|source| failure("read", done::NAME, source))?;
        }
        let mut files: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        files.sort_unstable();
        store.next_file = files.last().map_or(1, |last| last.saturating_add(1));
        for id in files {
            store.find(id, &mut recovered).map_err(|source| failure("read", &name(id), source))?;
        }
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
    pub(crate) fn set_all_aside(mut self) -> Result<Vec<(PathBuf, String)>, Failure> {
        let mut names: Vec<String> = self.segments.drain(..).map(|segment| name(segment.id)).collect();
        names.extend(self.done.file.take().map(|_file| done::NAME.to_owned()));
        let aside = names.iter().map(|name| {
            let to = self.set_aside(name).map_err(|source| Failure {
                doing: "rename",
                path: self.door.path(name),
                source,
            })?;
            Ok((to, "has numbers that are in use, for the clock went back".to_owned()))
        });
        aside.collect()
    }

    fn find(&mut self, id: u64, recovered: &mut Recovered) -> io::Result<()> {
        let file = self.door.open(&name(id))?;
        let (done, mut written, mut newest) = (&self.found_done, self.written, recovered.newest_end_ms);
        let opened = Segment::open(id, file, &mut recovered.damage, |head| {
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
                self.segments.push_back(segment);
                self.remove_if_done(id);
                Ok(())
            }
            Opened::Unknown(version) => {
                recovered.set_aside.push((self.set_aside(&name(id))?, unknown(version)));
                Ok(())
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

    fn find_done(&mut self, recovered: &mut Recovered) -> io::Result<()> {
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
                Slot::Damaged => recovered.damage.states += 1,
                Slot::Unknown(version) => {
                    self.found_done = Done::default();
                    recovered.set_aside.push((self.set_aside(done::NAME)?, unknown(version)));
                    return Ok(());
                }
            }
        }
        self.done.file = Some(file);
        Ok(())
    }
}

fn unknown(version: u32) -> String {
    format!("has version {version}, which is not known here")
}
