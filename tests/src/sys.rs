//! System calls that the standard library lacks, each behind a safe signature.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Turns the C convention (-1 and `errno`) into a result.
pub(crate) fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// As [`check`], for calls that return a length.
pub(crate) fn check_len(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// As [`check`], for raw system calls that return a file descriptor.
pub(crate) fn check_fd(returned: libc::c_long) -> io::Result<OwnedFd> {
    let fd = libc::c_int::try_from(returned).unwrap_or(-1);
    check(fd)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Moves the calling thread into new namespaces.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes flags by value.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Moves the calling thread into an existing namespace.
pub(crate) fn setns(namespace: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open while it is borrowed.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) }).map(drop)
}

/// Kills the calling process when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes values only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

/// Names the calling thread; for a process's first thread this is the process's name.
pub(crate) fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads at most 16 bytes, up to the terminating zero.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
}

/// Sends a signal to one process.
pub(crate) fn kill(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes values only.
    check(unsafe { libc::kill(pid.cast_signed(), signal) }).map(drop)
}

/// Mounts a filesystem that needs no device.
pub(crate) fn mount(kind: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: all strings end in zero; the data argument may be null.
    check(unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) })
        .map(drop)
}

/// Keeps later mounts of this mount namespace to itself.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: a change of propagation ignores source, type and data, which may be null.
    check(unsafe { libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
        .map(drop)
}

/// What [`fork`] returned to whom.
pub(crate) enum Fork {
    /// We are the new process.
    Child,
    /// We are the old one; this is the new one's PID.
    Parent(libc::pid_t),
}

/// Duplicates the calling process, which must have one thread only.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the caller has one thread, so no lock is held by a thread that the child lacks.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the calling process without running anything else.
pub(crate) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: takes a value and does not return.
    unsafe { libc::_exit(code) }
}

/// Waits for a child; true if it exited with 0.
pub(crate) fn wait_child(pid: libc::pid_t) -> io::Result<bool> {
    let mut status = 0;
    // SAFETY: `status` is a writable integer.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// Lets SIGALRM interrupt the next blocking call after `milliseconds`; the call is not restarted.
pub(crate) fn interrupt_after(milliseconds: u32) -> io::Result<()> {
    // SAFETY: an all-zero `sigaction` is valid: no flags (so no restart), an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = ignore;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: `action` is initialised and the handler does nothing.
    check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) })?;
    let once = libc::timeval { tv_sec: 0, tv_usec: libc::suseconds_t::from(milliseconds) * 1000 };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: once };
    // SAFETY: `timer` is initialised; the old value is not wanted.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }).map(drop)
}
