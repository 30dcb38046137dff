//! The two `bpf` system calls that aya does not offer: an iterator over the elements of one map.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::{maps::MapData, programs::ProgramFd};

/// `enum bpf_cmd` and `enum bpf_attach_type` of `include/uapi/linux/bpf.h`.
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// The `link_create` part of `union bpf_attr`, for an iterator.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    reserved: u32,
}

/// The `iter_create` part of `union bpf_attr`.
#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// An iterator over the sockets that have a value in a socket storage map.
pub(super) struct MapIterator {
    link: OwnedFd,
    /// Held so that the map lives as long as the link.
    _map: MapData,
}

impl MapIterator {
    pub(super) fn new(program: &ProgramFd, map: MapData) -> io::Result<Self> {
        // union bpf_iter_link_info { struct { __u32 map_fd; } map; … }
        let info = map.fd().as_fd().as_raw_fd().cast_unsigned();
        let attr = LinkCreate {
            prog_fd: program.as_fd().as_raw_fd().cast_unsigned(),
            target_fd: 0,
            attach_type: BPF_TRACE_ITER,
            flags: 0,
            iter_info: std::ptr::from_ref(&info) as u64,
            iter_info_len: 4,
            reserved: 0,
        };
        Ok(Self { link: bpf(BPF_LINK_CREATE, &attr)?, _map: map })
    }

    /// One pass over all sockets. What the program writes goes to `sink`, in pieces of at most the buffer's size that end
    /// where the program's writes end.
    pub(super) fn run(&self, buffer: &mut [u8], sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let attr = IterCreate { link_fd: self.link.as_raw_fd().cast_unsigned(), flags: 0 };
        let mut file = File::from(bpf(BPF_ITER_CREATE, &attr)?);
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => sink(&buffer[..n]),
                // The kernel pauses after a million sockets without output.
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is the part of `union bpf_attr` that the command reads, and the kernel takes the rest as zero.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    let fd = libc::c_int::try_from(fd).map_err(|_| io::Error::other("not a file descriptor"))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The `info` part of `union bpf_attr`.
#[repr(C)]
struct ObjectInfo {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// How often the kernel did not run a program because it was running on that CPU already (`recursion_misses`, since 5.12).
pub(super) fn misses(program: &ProgramFd) -> io::Result<u64> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    /// `struct bpf_prog_info` up to and with `recursion_misses`, in words of 8 bytes; its pointers stay null.
    const WORDS: usize = 27;
    let mut info = [0u64; WORDS];
    let attr = ObjectInfo {
        fd: program.as_fd().as_raw_fd().cast_unsigned(),
        info_len: 8 * WORDS as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: `attr` is the part of `union bpf_attr` that the command reads; it writes at most `info_len` bytes to `info`.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            std::ptr::from_ref(&attr),
            size_of::<ObjectInfo>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(info[WORDS - 1]) }
}

/// Hands freed memory back to the system. Loading parses the kernel's type information, tens of megabytes in small pieces that
/// are never needed again.
pub(super) fn release_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a size by value and has no precondition.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether a system call was refused for want of a capability, anywhere in the chain of causes.
pub(super) fn is_not_permitted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::PermissionDenied
        {
            return true;
        }
        cause = error.source();
    }
    false
}
