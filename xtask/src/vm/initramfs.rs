//! The root of the virtual machine: an archive in the kernel's `newc` format.
//!
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Failure, Result},
    workspace,
};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Writes the archive: the agent, the script as process 1, and busybox for the script.
pub(super) fn write(agent: &Path, script: &str) -> Result<PathBuf> {
    let read =
        |file: &Path| fs::read(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())));
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "run", "sys", "tmp"] {
        archive.add(directory, DIRECTORY, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &read(Path::new("/bin/busybox"))?);
    archive.add("observer", PROGRAM, &read(agent)?);
    archive.add("init", PROGRAM, script.as_bytes());
    let path = workspace::tools().join("initramfs");
    fs::write(&path, archive.finish())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(path)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let (inode, size, name_size) = (self.entries, content.len(), name.len() + 1);
        // The rest: owner, group, time, four device numbers, checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Names and contents end at a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_110_bytes_and_contents_are_aligned() {
        let mut archive = Archive::default();
        archive.add("a", PROGRAM, b"xyz");
        assert_eq!(archive.bytes.len(), 110 + 2 + 4);
        assert_eq!(&archive.bytes[112..], b"xyz\0");
    }

    #[test]
    fn archives_end_with_a_trailer() {
        let bytes = Archive::default().finish();
        assert!(bytes.starts_with(b"070701") && bytes.windows(10).any(|window| window == b"TRAILER!!!"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
