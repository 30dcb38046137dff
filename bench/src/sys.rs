//! System calls that neither the standard library nor aya has a wrapper for.
#![expect(unsafe_code, reason = "raw `bpf` commands, a namespace, signals, clocks of others")]

mod instructions;

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command},
};

pub(crate) use self::instructions::Instructions;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_ITER_CREATE: libc::c_long = 33;

/// What `BPF_PROG_LOAD` reads of `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u64; 2],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    btf: [u64; 4],
    line_info_cnt: u32,
    attach_btf_id: u32,
}

const _: () = assert!(size_of::<ProgLoad>() == 112);

/// Loads `return 0` for a BTF tracepoint.
pub(crate) fn load_empty(name: &str, attach_btf_id: u32) -> io::Result<OwnedFd> {
    const BPF_PROG_TYPE_TRACING: u32 = 26;
    const BPF_TRACE_RAW_TP: u32 = 23;
    // `r0 = 0; exit`
    let program: [u64; 2] = [0xb7, 0x95];
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: 2,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id,
        ..ProgLoad::default()
    };
    for (to, from) in attr.prog_name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    descriptor(BPF_PROG_LOAD, &mut attr)
}

/// Hangs a loaded BTF tracepoint program on its hook, until the result is dropped.
pub(crate) fn attach(program: &OwnedFd) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Open {
        name: u64,
        prog_fd: i32,
        padding: u32,
    }
    descriptor(BPF_RAW_TRACEPOINT_OPEN, &mut Open { name: 0, prog_fd: program.as_raw_fd(), padding: 0 })
}

/// The link of a loaded program, whoever holds it.
pub(crate) fn open_link(id: u32) -> io::Result<OwnedFd> {
    descriptor(BPF_LINK_GET_FD_BY_ID, &mut [id, 0, 0])
}

/// Starts an iterator.
pub(crate) fn iterate(link: &OwnedFd) -> io::Result<File> {
    descriptor(BPF_ITER_CREATE, &mut [link.as_raw_fd(), 0]).map(File::from)
}

fn descriptor<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is the part of `union bpf_attr` that the command reads and writes, and what it points to lives here.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Moves this process, and the ones it starts from now on, into a network namespace of their own. It ends with them.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: no precondition.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Gives this process, and the ones it starts from now on, a tracefs of their own, which many tools need.
pub(crate) fn mount_tracefs() -> io::Result<()> {
    if Path::new("/sys/kernel/tracing/events").exists() {
        return Ok(());
    }
    // SAFETY: no precondition.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let none = c"none".as_ptr();
    // SAFETY: strings of ours that end with a zero, and no data.
    check(unsafe {
        libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null())
    })?;
    let (kind, place) = (c"tracefs".as_ptr(), c"/sys/kernel/tracing".as_ptr());
    // SAFETY: as above.
    check(unsafe { libc::mount(none, place, kind, 0, std::ptr::null()) })
}

/// Allows as many open files as may be had without asking anybody.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one `rlimit` of ours.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Asks a child of ours to end.
pub(crate) fn interrupt(child: &Child) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: no precondition; the child is ours and not reaped yet.
    check(unsafe { libc::kill(pid, libc::SIGINT) })
}

/// Ends a child of ours the moment the thread that starts it ends, however that comes.
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    let arrange = || {
        // SAFETY: takes numbers, and may be called between fork and exec.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
    };
    // SAFETY: the closure makes one system call and allocates nothing unless that fails.
    unsafe { command.pre_exec(arrange) }
}

/// CPU seconds of all threads that a process has or had, to the nanosecond, by the scheduler's account.
pub(crate) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock = 0;
    // SAFETY: a clock's number of ours.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a `timespec` of ours.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Lets a socket take nothing that does not come by the loopback device.
pub(crate) fn only_loopback(socket: &impl AsRawFd) -> io::Result<()> {
    let device = c"lo";
    let len = libc::socklen_t::try_from(device.count_bytes()).map_err(io::Error::other)?;
    // SAFETY: as many bytes as it says.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            device.as_ptr().cast(),
            len,
        )
    })
}

/// Lets as many connections wait to be accepted as the kernel allows.
pub(crate) fn listen_to_many(listener: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: takes numbers; a socket that listens already takes the new length.
    check(unsafe { libc::listen(listener.as_raw_fd(), libc::c_int::MAX) })
}

/// CPU seconds of the children that have ended and were waited for.
pub(crate) fn ended_children_cpu_seconds() -> io::Result<f64> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: one `rusage` of ours.
    check(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) })?;
    // SAFETY: zeros are a valid one, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Records as the kernel writes them.
pub(crate) trait Written {}

impl Written for observer_abi::record::Connect {}
impl Written for observer_abi::record::Activity {}

/// The bytes of a record.
pub(crate) fn bytes_of<T: Written>(record: &T) -> &[u8] {
    // SAFETY: the value is as long as its type and lives as long as the slice; `observer_abi::record` rules out padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
}
