//! Where lines go.

use std::{
    fmt,
    io::{self, Write as _},
    os::unix::net::UnixStream,
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

/// The standard output.
#[derive(Debug)]
pub(super) struct Stdout;

impl Sink for Stdout {
    fn begin(&mut self, _: i64) -> Result<(), Failed> {
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        out.write_all(lines).and_then(|()| out.flush()).map_err(Failed::writing)
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
