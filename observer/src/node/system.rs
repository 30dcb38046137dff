//! The node as a whole: its clock, file handles, its name and its kernel.

use std::path::Path;

use super::Collect;
use crate::{
    proc::{ProcFile, ReadError},
    readings::{Readings, push_label},
};

/// The time of the window: the only reading that needs no file.
pub(super) struct Time;

pub(super) struct FileHandles {
    file_nr: ProcFile,
}

pub(super) struct Uname {
    files: [(&'static str, ProcFile); 5],
    labels: String,
}

impl FileHandles {
    pub(super) fn new(root: &Path) -> Self {
        Self { file_nr: ProcFile::new(root, "sys/fs/file-nr") }
    }
}

impl Uname {
    pub(super) fn new(root: &Path) -> Self {
        let files = [
            ("sysname", "sys/kernel/ostype"),
            ("release", "sys/kernel/osrelease"),
            ("version", "sys/kernel/version"),
            ("nodename", "sys/kernel/hostname"),
            ("domainname", "sys/kernel/domainname"),
        ];
        Self { files: files.map(|(label, path)| (label, ProcFile::new(root, path))), labels: String::new() }
    }
}

impl Collect for Time {
    fn collect(&mut self, now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        out.put_one("node_time_seconds", now_ms as f64 / 1e3);
        Ok(())
    }
}

impl Collect for FileHandles {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        self.file_nr.read(|text| {
            let mut fields = text.split_ascii_whitespace();
            let allocated = fields.next()?.parse().ok()?;
            let _unused = fields.next()?;
            out.put_one("node_filefd_allocated", allocated);
            out.put_one("node_filefd_maximum", fields.next()?.parse().ok()?);
            Some(())
        })
    }
}

impl Collect for Uname {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { files, labels } = self;
        labels.clear();
        for (label, file) in files {
            file.read(|text| {
                push_label(labels, label, text.trim_ascii());
                Some(())
            })?;
        }
        // `sys/kernel/arch` is younger than the kernels supported; what runs here was built for the machine.
        push_label(labels, "machine", std::env::consts::ARCH);
        if let Some(family) = out.find("node_uname") {
            out.put(family, labels, 1.0);
        }
        Ok(())
    }
}
