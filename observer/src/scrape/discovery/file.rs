//! Lists of targets in files.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config>

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{Counters, LOOK, Sender};
use crate::{
    clock,
    config::{FileSd, Group, expand, read_groups},
};

/// The largest file, in bytes.
const LARGEST: u64 = 64 << 20;

/// The files of one entry of `file_sd_configs`, and what they had when they could last be read.
#[derive(Debug)]
pub(super) struct Files {
    config: FileSd,
    known: BTreeMap<PathBuf, File>,
    /// Patterns without a file, which have been told of.
    missing: Vec<PathBuf>,
    read_at: Option<Instant>,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    groups: Vec<Group>,
}

/// What changes with the content of a file: where it is, how long, and when it was written.
type Stamp = (u64, u64, u64, i64, i64);

/// What a look at the files came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The groups are others than before.
    pub(super) changed: bool,
    /// Files read.
    pub(super) read: u64,
    /// Files that could not be read, or have no meaning. Their groups stay.
    pub(super) failed: u64,
}

impl Files {
    pub(super) fn new(config: FileSd) -> Self {
        Self { config, known: BTreeMap::new(), missing: Vec::new(), read_at: None }
    }

    /// Reads the files that seem to have changed, and all once in the refresh interval.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let due = self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= self.config.refresh);
        if due {
            self.read_at = Some(now);
        }
        let mut look = Look::default();
        let mut paths = Vec::new();
        for pattern in &self.config.files {
            let found: Vec<PathBuf> = expand(pattern).into_iter().filter(|path| path.exists()).collect();
            let told = self.missing.iter().position(|missing| missing == pattern);
            match (found.is_empty(), told) {
                (true, None) => {
                    log::warn!("no file of targets at `{}`", pattern.display());
                    self.missing.push(pattern.clone());
                }
                (false, Some(at)) => drop(self.missing.swap_remove(at)),
                _ => {}
            }
            paths.extend(found);
        }
        let before = self.known.len();
        self.known.retain(|path, _| paths.contains(path));
        look.changed = self.known.len() < before;
        for path in paths {
            self.look_at(path, due, &mut look);
        }
        look
    }

    fn look_at(&mut self, path: PathBuf, due: bool, look: &mut Look) {
        let known = self.known.get(&path);
        let stamp = fs::metadata(&path).map(|metadata| stamp(&metadata)).unwrap_or_default();
        if !due && known.is_some_and(|file| file.stamp == stamp) {
            return;
        }
        let before = known.map(|file| &file.groups);
        let groups = match read(&path) {
            Ok(groups) => {
                look.read += 1;
                look.changed |= before != Some(&groups);
                groups
            }
            Err(message) => {
                look.failed += 1;
                log::warn!("targets stay as they were: {message}");
                before.cloned().unwrap_or_default()
            }
        };
        // A file that is broken is read again when it changes, not every second.
        self.known.insert(path, File { stamp, groups });
    }

    /// All groups, in the order of their paths.
    pub(super) fn groups(&self) -> Vec<Group> {
        self.known.values().flat_map(|file| &file.groups).cloned().collect()
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn read(path: &Path) -> Result<Vec<Group>, String> {
    let name = path.display().to_string();
    let failed = |error: io::Error| format!("cannot read `{name}`: {error}");
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > LARGEST {
        return Err(format!("`{name}` has {size} bytes, more than {LARGEST}"));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut groups = read_groups(&name, &text).map_err(|problem| problem.to_string())?;
    for group in &mut groups {
        group.set_label("__meta_filepath", &name);
    }
    Ok(groups)
}

/// Looks at the files for ever.
pub(super) async fn run(mut files: Files, sender: Sender, counters: Counters) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A file may be far away.
        let looking = spawn_blocking(move || {
            let look = files.look(clock::monotonic());
            (files, look)
        });
        let Ok((returned, look)) = looking.await else {
            log::error!("a reader of target files has ended; its targets stay as they are");
            return;
        };
        files = returned;
        counters.success.inc_by(look.read);
        counters.failure.inc_by(look.failed);
        if look.changed {
            sender.send(files.groups()).await;
        }
    }
}
