//! One connect through io_uring, with raw system calls.
//!
//! Layouts and offsets: `include/uapi/linux/io_uring.h`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    socket::Address,
    sys::{check, check_fd},
};

const IORING_OP_CONNECT: u8 = 16;
const IOSQE_ASYNC: u8 = 1 << 4;
const IORING_OFF_SQ_RING: i64 = 0;
const IORING_OFF_SQES: i64 = 0x1000_0000;
const IORING_FEAT_SINGLE_MMAP: u32 = 1;
const IORING_ENTER_GETEVENTS: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct SubmissionOffsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: u32,
    user: u64,
}

#[repr(C)]
#[derive(Default)]
struct CompletionOffsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    overflow: u32,
    entries_start: u32,
    flags: u32,
    reserved: u32,
    user: u64,
}

#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    sq: SubmissionOffsets,
    cq: CompletionOffsets,
}

#[repr(C)]
#[derive(Default)]
struct Submission {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    op_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// Connects; `asynchronously` hands the work to a kernel worker thread of this process.
pub(crate) fn connect(socket: BorrowedFd<'_>, to: &Address, asynchronously: bool) -> io::Result<()> {
    let mut params = Params::default();
    // SAFETY: `params` is writable and of the layout the kernel expects.
    let ring = check_fd(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) })?;
    if params.features & IORING_FEAT_SINGLE_MMAP == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // A completion is 16 bytes; the submission ring's array has one u32 an entry.
    let rings =
        (params.cq.entries_start + params.cq_entries * 16).max(params.sq.array + params.sq_entries * 4);
    let rings = Mapping::new(ring.as_fd(), IORING_OFF_SQ_RING, rings as usize)?;
    let entries = Mapping::new(ring.as_fd(), IORING_OFF_SQES, size_of::<Submission>())?;
    let submission = Submission {
        opcode: IORING_OP_CONNECT,
        flags: if asynchronously { IOSQE_ASYNC } else { 0 },
        fd: socket.as_raw_fd(),
        offset: to.len().into(),
        address: to.as_ptr().addr() as u64,
        ..Submission::default()
    };
    // SAFETY: the mapping is as large as one submission and page-aligned, and the ring is still ours alone.
    unsafe { entries.start.cast::<Submission>().write(submission) };
    rings.word(params.sq.array).store(0, Ordering::Relaxed);
    rings.word(params.sq.tail).store(1, Ordering::Release);
    let none = ptr::null::<libc::c_void>();
    // SAFETY: submits the one entry above, whose address outlives the call, and waits for its completion.
    let entered = unsafe {
        libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 1, 1, IORING_ENTER_GETEVENTS, none, 0)
    };
    check(i32::try_from(entered).unwrap_or(-1))?;
    if rings.word(params.cq.tail).load(Ordering::Acquire) == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // A completion is `user_data: u64, res: i32, flags: u32`.
    match rings.word(params.cq.entries_start + 8).load(Ordering::Relaxed).cast_signed() {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn new(ring: BorrowedFd<'_>, offset: i64, length: usize) -> io::Result<Self> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping at a place of the kernel's choosing.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, ring.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start, length }) }
    }

    /// The 32-bit word at `offset`, which the kernel may write at any time.
    #[track_caller]
    fn word(&self, offset: u32) -> &AtomicU32 {
        let offset = offset as usize;
        assert!(
            offset.is_multiple_of(4) && offset + 4 <= self.length,
            "the kernel's offsets lie in its mapping"
        );
        // SAFETY: inside the mapping (asserted).
        let place = unsafe { self.start.byte_add(offset) };
        // SAFETY: aligned (asserted), alive as long as `self`, and shared with the kernel, so atomic.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
