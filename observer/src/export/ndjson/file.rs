//! A file that begins anew when it is large or old.

use std::{
    ffi::OsString,
    fs::{self, Metadata, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{
    Failed,
    place::{Lines, Sink},
};
use crate::config::Rotation;

/// A file and those it was before: `PATH`, `PATH.1`, `PATH.2`.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    lines: Lines,
    /// Its length before the window.
    base: u64,
    /// When its first window ended.
    since_ms: i64,
}

impl Rotating {
    pub(super) const fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self { path, rotation, open: None }
    }

    fn reach(&mut self, end_ms: i64) -> io::Result<()> {
        // Somebody else may have taken the file away, or put another in its place.
        let there = fs::metadata(&self.path);
        let mine = self.open.as_ref().map(|open| open.lines.file().metadata()).transpose()?;
        if !matches!((&there, &mine), (Ok(there), Some(mine)) if is_same(there, mine)) {
            self.open = None;
        }
        let full = self.open.as_mut().is_some_and(|open| {
            open.base = mine.map_or(0, |mine| mine.len());
            open.base > 0 && self.rotation.is_due(open.base, end_ms.saturating_sub(open.since_ms))
        });
        if full {
            // As long as that fails the file that is full stays open, and takes nothing.
            self.shift()?;
            self.open = None;
        }
        if self.open.is_none() {
            let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            let metadata = file.metadata()?;
            let since_ms = if metadata.len() > 0 { made_ms(&metadata).unwrap_or(end_ms) } else { end_ms };
            self.open = Some(Open { lines: Lines::new(file), base: metadata.len(), since_ms });
        }
        Ok(())
    }

    /// Gives each file the next number; the last one goes.
    fn shift(&self) -> io::Result<()> {
        let missing_is_fine = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let files = self.rotation.files;
        if files == 0 {
            return missing_is_fine(fs::remove_file(&self.path));
        }
        for number in (1..files).rev() {
            missing_is_fine(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        missing_is_fine(fs::rename(&self.path, numbered(&self.path, 1)))
    }
}

impl Sink for Rotating {
    fn begin(&mut self, end_ms: i64) -> Result<(), Failed> {
        let reached = self.reach(end_ms);
        let begun = reached.and_then(|()| self.open.as_mut().map_or(Ok(()), |open| open.lines.begin()));
        begun.map_err(Failed::writing)
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.lines.write(lines).map_err(Failed::writing)
    }

    fn undo(&mut self) {
        if let Some(Open { lines, base, .. }) = &mut self.open {
            lines.shorten(*base);
        }
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// When the file was made, in milliseconds since the Unix epoch; not every file system knows.
fn made_ms(metadata: &Metadata) -> Option<i64> {
    let made = metadata.created().or_else(|_| metadata.modified()).ok()?;
    i64::try_from(made.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
