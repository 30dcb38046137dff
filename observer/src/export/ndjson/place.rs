//! Where lines go.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::PathBuf,
};

use super::Failed;

/// A place that takes windows of whole lines.
pub(super) trait Sink: fmt::Debug + Send {
    /// A window that ended then comes next.
    fn begin(&mut self, end_ms: i64) -> Result<(), Failed>;

    /// Takes lines of the window.
    fn write(&mut self, lines: &[u8]) -> Result<(), Failed>;

    /// Takes back what of the window is there, as far as that can be: a part of it could not be written.
    fn undo(&mut self) {}
}

/// A file of lines, which knows whether the last one is whole.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    cut: bool,
}

impl Lines {
    pub(super) const fn new(file: File) -> Self {
        Self { file, cut: false }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Ends a line that could not be written whole, so that it is the only one that cannot be read.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.cut { self.write(b"\n") } else { Ok(()) }
    }

    pub(super) fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            match self.file.write(lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(some) => {
                    let (written, rest) = lines.split_at(some);
                    self.cut = !written.ends_with(b"\n");
                    lines = rest;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes back what is behind that length. Only a regular file can forget what it was given.
    pub(super) fn shorten(&mut self, len: u64) {
        if self.file.metadata().is_ok_and(|metadata| metadata.is_file()) && self.file.set_len(len).is_ok() {
            self.cut = false;
        }
    }
}

/// The standard output. The library's own would keep what it could not write, and write it later.
#[derive(Debug, Default)]
pub(super) struct Stdout(Option<Lines>);

impl Stdout {
    fn lines(&mut self) -> io::Result<&mut Lines> {
        match &mut self.0 {
            Some(lines) => Ok(lines),
            none => Ok(none.insert(Lines::new(io::stdout().as_fd().try_clone_to_owned()?.into()))),
        }
    }
}

impl Sink for Stdout {
    fn begin(&mut self, _: i64) -> Result<(), Failed> {
        self.lines().and_then(Lines::begin).map_err(Failed::writing)
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
        self.lines().and_then(|out| out.write(lines)).map_err(Failed::writing)
    }
}

/// A Unix socket that a reader listens on.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl Socket {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, stream: None }
    }
}

impl Sink for Socket {
    fn begin(&mut self, _: i64) -> Result<(), Failed> {
        if self.stream.is_none() {
            let stream = UnixStream::connect(&self.path);
            self.stream = Some(stream.map_err(|source| Failed { cause: "no_reader", source })?);
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.write_all(lines).map_err(Failed::writing)
    }

    /// The line that was cut is the last of its connection.
    fn undo(&mut self) {
        self.stream = None;
    }
}

impl Failed {
    pub(super) fn writing(source: io::Error) -> Self {
        let cause = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "no_reader",
            _ => "write_error",
        };
        Self { cause, source }
    }
}
