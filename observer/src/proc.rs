//! Files below `/proc`, kept open and read again and again.

use std::{
    borrow::Cow,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why there is nothing to say.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("cannot read `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot understand `{}`", path.display())]
    Malformed { path: PathBuf },
}

/// One file. Its handle and its buffer outlive the reading, so that a warm one neither opens nor allocates.
#[derive(Debug)]
pub(crate) struct ProcFile {
    paths: Vec<PathBuf>,
    open: Option<(File, usize)>,
    buffer: Vec<u8>,
}

impl ProcFile {
    pub(crate) fn new(root: &Path, path: &str) -> Self {
        Self { paths: vec![root.join(path)], open: None, buffer: vec![0; 4096] }
    }

    /// A file of the node's network namespace, which is that of process 1; the agent's own where that is hidden.
    pub(crate) fn network(root: &Path, path: &str) -> Self {
        let paths = vec![root.join("1/net").join(path), root.join("net").join(path)];
        Self { paths, open: None, buffer: vec![0; 4096] }
    }

    /// Hands the whole text to `parse`, which returns nothing when it does not understand it.
    pub(crate) fn read<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ReadError> {
        let length = self.fill().map_err(|source| {
            // The next reading opens it again: a handle of a namespace or a mount that is gone stays useless.
            self.open = None;
            ReadError::File { path: self.path(), source }
        })?;
        let text = match str::from_utf8(&self.buffer[..length]) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.buffer[..length]),
        };
        parse(&text).ok_or_else(|| ReadError::Malformed { path: self.path() })
    }

    /// Whether the file is there at all.
    pub(crate) fn exists(&self) -> bool {
        self.open.is_some() || self.paths.iter().any(|path| path.exists())
    }

    fn fill(&mut self) -> io::Result<usize> {
        let Self { paths, open, buffer } = self;
        let file = match open {
            Some((file, _)) => file,
            None => &mut open.insert(open_first(paths)?).0,
        };
        let mut length = 0;
        loop {
            // The kernel gives tables with many rows a page at a time, so only an empty read is the end.
            match file.read_at(&mut buffer[length..], length as u64)? {
                0 => return Ok(length),
                more => length += more,
            }
            if length == buffer.len() {
                buffer.resize(length * 2, 0);
            }
        }
    }

    fn path(&self) -> PathBuf {
        let opened = self.open.as_ref().map_or(self.paths.len() - 1, |&(_, index)| index);
        self.paths[opened].clone()
    }
}

fn open_first(paths: &[PathBuf]) -> io::Result<(File, usize)> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for (index, path) in paths.iter().enumerate() {
        result = File::open(path).map(|file| (file, index));
        if result.is_ok() {
            break;
        }
    }
    result
}
