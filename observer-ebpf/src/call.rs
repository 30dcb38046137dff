//! What connect and accept return: errors that are raised before a socket changes state, and the time a connection waits to be
//! accepted. Optional: they need either BPF trampolines on the stack's own functions, which sees io_uring too, or the perf
//! tracepoints of the system calls.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::LruHashMap,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::btf_map,
};
use observer_abi::{
    class::Outcome,
    record::{Connect, FLAG_OWNER, Identity, RecordKind, Role},
};

use crate::{
    emit, filter,
    kernel::{Sk, Untrusted, now_ns, read_kernel, read_owner},
    listen,
    words::add,
};

/// A connect system call under way.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Call {
    start_ns: u64,
    /// The `struct sockaddr`.
    address: u64,
    /// The socket's address in the kernel, to be compared only.
    sk: u64,
    netns: u32,
    local_port: u16,
    family: u16,
    /// The attempt reached SYN_SENT in this call: a state change tells its outcome.
    sent: u32,
    /// It then ended within the call, without an error on the socket: the call's own result tells.
    failed: u32,
    /// Whether the address is in kernel memory.
    copied: u32,
    reserved: u32,
}

/// 0.0.0.0, as an IPv4-mapped address: a socket that has no local address yet.
const MAPPED_ANY: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// By thread. The least recently used go first; a call that is pushed out loses its errno, not its outcome.
#[btf_map]
static CALLS: LruHashMap<u64, Call, 16_384> = LruHashMap::new();

/// How an attempt ended without an error on its socket.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum InCall {
    /// Not within its own connect.
    No,
    /// Within its own connect, whose result nobody will tell.
    Silent,
    /// Within its own connect; [`exit`] tells.
    Told,
}

impl InCall {
    #[inline(always)]
    pub(crate) fn is_in_call(self) -> bool {
        self != Self::No
    }
    #[inline(always)]
    pub(crate) fn exit_tells(self) -> bool {
        self == Self::Told
    }
}

#[inline(always)]
fn thread() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_current_pid_tgid() }
}

#[inline(always)]
fn current() -> Option<&'static mut Call> {
    if emit::control().is_none_or(|c| c.connect_exit == 0) {
        return None;
    }
    // SAFETY: the entry belongs to the current thread, which is in this program now.
    CALLS.get_ptr_mut(thread()).and_then(|p| unsafe { p.as_mut() })
}

/// A socket goes to SYN_SENT, in the context of the connecting task.
#[inline(always)]
pub(crate) fn connecting(sk: Sk) {
    if let Some(call) = current()
        && call.sk == sk.address()
    {
        call.sent = 1;
    }
}

/// A socket goes from SYN_SENT to CLOSE: is that its own connect's doing?
#[inline(always)]
pub(crate) fn fails_in_call(sk: Sk, started: u64, now: u64, error: u16, shutdown: u8) -> InCall {
    if error != 0 || shutdown != 0 {
        return InCall::No;
    }
    if let Some(call) = current()
        && call.sk == sk.address()
    {
        call.failed = 1;
        return InCall::Told;
    }
    // Without the call: a local failure comes about a microsecond after the start, in the same thread.
    if now.saturating_sub(started) < 1_000_000 { InCall::Silent } else { InCall::No }
}

/// The system call `connect` is entered.
#[inline(always)]
pub(crate) fn enter(fd: u64, address: u64) {
    begin(Untrusted::socket_of_fd(fd as u32), address, 0);
}

/// The stack's own `inet_stream_connect` is entered, with the address copied from the user.
#[inline(always)]
pub(crate) fn enter_socket(socket: u64, address: u64) {
    begin(Untrusted::socket(socket), address, 1);
}

/// A call on a socket that is connecting already asks for the result of an earlier one.
#[inline(always)]
fn begin(socket: Option<(Untrusted, u32)>, address: u64, copied: u32) {
    const SS_UNCONNECTED: u32 = 1;
    let Some((sk, state)) = socket else { return };
    if state != SS_UNCONNECTED {
        return;
    }
    let Some((netns, local_port, family)) = tcp(sk) else { return };
    let call = Call {
        start_ns: now_ns(),
        address,
        sk: sk.address(),
        netns,
        local_port,
        family,
        copied,
        ..Call::default()
    };
    // Without an entry the call loses its errno: its outcome then is the state change's.
    let _lost = CALLS.insert(thread(), call, 0);
}

#[inline(always)]
fn tcp(sk: Untrusted) -> Option<(u32, u16, u16)> {
    const IPPROTO_TCP: u16 = 6;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    let (protocol, family, local_port, netns) = sk.ends()?;
    (protocol == IPPROTO_TCP && matches!(family, AF_INET | AF_INET6)).then_some((netns, local_port, family))
}

/// `connect` returns.
#[inline(always)]
pub(crate) fn exit(result: i64) {
    let thread = thread();
    let Some(call) = CALLS.get_ptr(thread) else { return };
    // SAFETY: the entry belongs to the current thread, which is in this program now.
    let call = unsafe { *call };
    let _gone = CALLS.remove(thread);
    // A call that reached SYN_SENT and did not fail within has its outcome from a state change; one that is interrupted, or
    // finds the socket connected or connecting, made no attempt.
    let attempted = call.sent == 0 || call.failed != 0;
    if !attempted || result >= 0 || matches!(-result, 4 | 106 | 114 | 115 | 512..) {
        return;
    }
    let mut id = Identity {
        start_ns: call.start_ns,
        netns: call.netns,
        local_port: call.local_port,
        family: call.family,
        role: Role::Client as u8,
        flags: FLAG_OWNER,
        ..Identity::default()
    };
    if !read_destination(&call, &mut id) {
        return;
    }
    read_owner(&mut id);
    local_error(&id, (-result) as u16);
}

#[inline(always)]
fn local_error(id: &Identity, error: u16) {
    let now = now_ns();
    if let Some(totals) = emit::totals() {
        add(&mut totals.connects[Outcome::LocalError as usize], 1);
    }
    let latency_ns = now.saturating_sub(id.start_ns);
    if !filter::watches(id) || !filter::wants(Outcome::LocalError as u32, latency_ns) {
        return;
    }
    emit::emit::<Connect>(RecordKind::Connect, |r| {
        *r = Connect {
            kind: RecordKind::Connect as u8,
            outcome: Outcome::LocalError as u8,
            error,
            syn_retransmits: 0,
            time_ns: now,
            latency_ns,
            id: *id,
        };
    });
}

/// Reads the `struct sockaddr`. False for one that cannot be read, or that asks to disconnect (`AF_UNSPEC`).
#[inline(always)]
fn read_destination(call: &Call, id: &mut Identity) -> bool {
    const AF_UNSPEC: u16 = 0;
    const AF_INET6: u16 = 10;
    #[derive(Default)]
    #[repr(C)]
    struct V4 {
        family: u16,
        port: u16,
        address: [u8; 4],
    }
    let mut v4 = V4::default();
    if !read_address(call, 0, &mut v4) || v4.family == AF_UNSPEC {
        return false;
    }
    id.peer_port = u16::from_be(v4.port);
    if v4.family == AF_INET6 {
        // struct sockaddr_in6: family, port, flow information, address.
        return read_address(call, 8, &mut id.peer);
    }
    id.local = MAPPED_ANY;
    let [a, b, c, d] = v4.address;
    id.peer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
    true
}

#[inline(always)]
fn read_address<T>(call: &Call, offset: u64, into: &mut T) -> bool {
    let address = call.address + offset;
    if call.copied != 0 {
        return read_kernel(into, address);
    }
    // SAFETY: `into` is valid for its size, and the helper checks the source.
    unsafe {
        bpf_probe_read_user(core::ptr::from_mut(into).cast(), size_of::<T>() as u32, address as *const c_void)
            == 0
    }
}

/// `accept` returns a connection: it has waited since it was established.
#[inline(always)]
pub(crate) fn accepted(fd: i64) {
    if fd < 0 {
        return;
    }
    if let Some((sk, _)) = Untrusted::socket_of_fd(fd as u32) {
        taken(sk);
    }
}

/// The stack's own `inet_csk_accept` returns a connection.
#[inline(always)]
pub(crate) fn accepted_socket(sk: u64) {
    if let Some(sk) = Untrusted::new(sk) {
        taken(sk);
    }
}

#[inline(always)]
fn taken(sk: Untrusted) {
    let Some((netns, local_port, _)) = tcp(sk) else { return };
    if let Some(established) = sk.established_ns()
        && let Some(waited) = now_ns().checked_sub(established)
    {
        listen::accepted(netns, local_port, waited);
    }
}
