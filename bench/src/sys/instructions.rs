//! The processor's own count of instructions, where it and the hypervisor have one.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{FromRawFd as _, OwnedFd},
};

/// The first version of `struct perf_event_attr`, which every kernel takes.
/// <https://man7.org/linux/man-pages/man2/perf_event_open.2.html>
#[derive(Default)]
#[repr(C)]
struct Attr {
    type_: u32,
    size: u32,
    config: u64,
    sample: [u64; 2],
    read_format: u64,
    flags: u64,
    rest: [u64; 2],
}

const _: () = assert!(size_of::<Attr>() == 64);

/// Instructions of this thread in user space.
pub(crate) struct Instructions(File);

impl Instructions {
    /// Starts to count.
    pub(crate) fn open() -> io::Result<Self> {
        const PERF_TYPE_HARDWARE: u32 = 0;
        const PERF_COUNT_HW_INSTRUCTIONS: u64 = 1;
        const EXCLUDE_KERNEL: u64 = 1 << 5;
        const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
        let attr = Attr {
            type_: PERF_TYPE_HARDWARE,
            size: u32::try_from(size_of::<Attr>()).unwrap_or_default(),
            config: PERF_COUNT_HW_INSTRUCTIONS,
            flags: EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
            ..Attr::default()
        };
        // SAFETY: the structure is as long as it says; this thread, any processor, no group, no flags.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, 0, -1, -1, 0) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// How many so far.
    pub(crate) fn read(&self) -> Option<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count).ok()?;
        Some(u64::from_ne_bytes(count))
    }
}
