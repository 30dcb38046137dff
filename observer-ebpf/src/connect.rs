//! Outcomes: how connect attempts, passive openings and connections end, from `inet_sock_set_state`.

use aya_ebpf::{
    btf_maps::{PerCpuArray, ProgramArray},
    macros::btf_map,
    programs::BtfTracePointContext,
};
use observer_abi::{
    class::{self, Outcome, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_STATES, TCP_SYN_RECV, TCP_SYN_SENT},
    record::{Accept, Close, Connect, FLAG_COUNTED, FLAG_ESTABLISHED, RecordKind, Role},
};

use crate::{
    call, emit, exchange, filter,
    kernel::{Sk, TcpSk, now_ns},
    listen,
    socket::{self, SOCKETS, Socket},
    words::{add, clear},
};

/// Which change this CPU has told last: of none while it is telling.
#[repr(C)]
struct Told {
    sk: u64,
    state: u64,
}

#[btf_map]
static TOLD: PerCpuArray<Told, 1> = PerCpuArray::new();

/// The first of the two programs on the hook, for the second to go on with.
#[btf_map]
static FIRST: ProgramArray<1> = ProgramArray::new();

#[inline(always)]
fn told() -> Option<&'static mut Told> {
    // SAFETY: the value belongs to this CPU. Who interrupts a program leaves another change than that program's.
    TOLD.get_ptr_mut(0).and_then(|p| unsafe { p.as_mut() })
}

/// A TCP socket goes from one state to another.
#[inline(always)]
pub(crate) fn state_changed(sk: Sk, old: u8, new: u8) {
    if let Some(told) = told() {
        told.sk = 0;
    }
    if sk.is_tcp() {
        tell(sk, old, new);
    }
    if let Some(told) = told() {
        told.state = u64::from(new);
        told.sk = sk.address();
    }
}

/// The second program on the hook.
///
/// The kernel does not run a program inside itself: a timer that ends an attempt while its CPU is in the middle of another change
/// finds the first program busy. The second one is then free, as softirqs do not interrupt each other, and goes on with the first's
/// code.
#[inline(always)]
pub(crate) fn state_changed_nested(ctx: &BtfTracePointContext, sk: Sk, old: u8, new: u8) {
    if told().is_some_and(|told| told.sk == sk.address() && told.state == u64::from(new)) || !sk.is_tcp() {
        return;
    }
    // Something else may have been told since: the socket itself knows.
    let is_told = match sk.storage(&SOCKETS) {
        Some(socket) => socket.state == u32::from(new),
        None => !begins(old, new) && !establishes(old, new),
    };
    if !is_told {
        // SAFETY: nothing here waits to be dropped. The slot has a program before this one is attached.
        unsafe { FIRST.tail_call(ctx, 0) };
    }
}

#[inline(always)]
fn begins(old: u8, new: u8) -> bool {
    matches!((old, new), (TCP_CLOSE, TCP_SYN_SENT | TCP_LISTEN) | (TCP_LISTEN, TCP_SYN_RECV))
}

#[inline(always)]
fn establishes(old: u8, new: u8) -> bool {
    matches!((old, new), (TCP_SYN_SENT | TCP_SYN_RECV, TCP_ESTABLISHED))
}

#[inline(always)]
fn tell(sk: Sk, old: u8, new: u8) {
    let begins = begins(old, new);
    let socket = if begins || establishes(old, new) { socket::make(sk) } else { sk.storage(&SOCKETS) };
    let Some(socket) = socket else { return };
    // The socket is locked: nobody else changes its state meanwhile.
    socket.state = u32::from(new);
    // A socket that was there before the programs and was not found at their start is in no count, and so leaves none.
    if begins || socket.id.role != 0 {
        count_state(begins, old, new);
    }
    match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => begin(sk, socket),
        (TCP_CLOSE, TCP_LISTEN) => listen::begin(sk, socket, true),
        // A new socket, made by a listener: its state is a copy of the listener's.
        (TCP_LISTEN, TCP_SYN_RECV) => socket.begin(sk, Role::Server, now_ns()),
        (TCP_LISTEN, _) => listen::end(sk),
        (TCP_SYN_SENT | TCP_SYN_RECV, TCP_ESTABLISHED) => established(sk, socket),
        (_, TCP_CLOSE) => closed(sk, socket, old),
        _ => {}
    }
}

/// Keeps the number of sockets in each state.
#[inline(always)]
fn count_state(begins: bool, old: u8, new: u8) {
    let Some(totals) = emit::totals() else { return };
    if !begins && (old as usize) < TCP_STATES {
        add(&mut totals.states[old as usize], u64::MAX);
    }
    if new != TCP_CLOSE && (new as usize) < TCP_STATES {
        add(&mut totals.states[new as usize], 1);
    }
}

/// A connect begins, in the context of the task that calls it.
#[inline(always)]
fn begin(sk: Sk, socket: &mut Socket) {
    socket.begin(sk, Role::Client, now_ns());
    socket.own();
    sk.read_ends(&mut socket.id);
    socket.watch();
    call::connecting(sk);
}

#[inline(always)]
fn established(sk: Sk, socket: &mut Socket) {
    let now = now_ns();
    // A server's connection that was born before the programs were attached begins here.
    if !socket.is(Role::Client) && !socket.is(Role::Server) {
        socket.begin(sk, Role::Server, now);
    }
    // On older kernels (6.1) a listener's child loses the cookie it was given at its first change (`inet_csk_clone_lock`).
    socket.id.cookie = sk.cookie();
    // A client's source address and port are known only now.
    sk.read_ends(&mut socket.id);
    socket.watch();
    if socket.is(Role::Client) {
        attempted(sk, socket, Outcome::Success, 0, now);
    } else {
        accepted(socket, Outcome::Success, 0, now);
    }
    socket.id.flags |= FLAG_ESTABLISHED;
    socket.id.start_ns = now;
    // The outcome has told how often the SYN was sent again.
    clear(&mut socket.retransmits);
}

#[inline(always)]
fn closed(sk: Sk, socket: &mut Socket, old: u8) {
    let error = sk.error();
    let now = now_ns();
    if socket.is_established() {
        exchange::finish(sk, socket, now);
        ended(sk, socket, error, now);
    } else if matches!(old, TCP_SYN_SENT | TCP_SYN_RECV) && socket.is(Role::Client) {
        sk.read_ends(&mut socket.id);
        let local = call::fails_in_call(sk, socket.id.start_ns, now, error, sk.shutdown());
        let outcome = class::connect_failure(error, sk.shutdown(), local.is_in_call());
        if !local.exit_tells() {
            attempted(sk, socket, outcome, error, now);
        }
    } else if old == TCP_SYN_RECV && socket.is(Role::Server) && socket.id.flags & FLAG_COUNTED == 0 {
        sk.read_ends(&mut socket.id);
        socket.watch();
        accepted(socket, Outcome::Reset, error, now);
    }
    // What the program still reads from here on belongs to no connection.
    socket.id.flags = 0;
    socket.id.role = 0;
}

/// A connect attempt ended.
#[inline(always)]
fn attempted(sk: Sk, socket: &Socket, outcome: Outcome, error: u16, now: u64) {
    if let Some(totals) = emit::totals() {
        add(&mut totals.connects[outcome as usize], 1);
    }
    // Clocks of two CPUs may disagree by a little: no time rather than a huge one.
    let latency_ns = now.saturating_sub(socket.id.start_ns);
    if !socket.is_watched() || !filter::wants(outcome as u32, latency_ns) {
        return;
    }
    let syn_retransmits = sk.tcp().map_or(0, TcpSk::total_retrans);
    emit::emit::<Connect>(RecordKind::Connect, |r| {
        *r = Connect {
            kind: RecordKind::Connect as u8,
            outcome: outcome as u8,
            error,
            syn_retransmits,
            time_ns: now,
            latency_ns,
            id: socket.id,
        };
    });
}

/// A passive opening ended, well or not.
#[inline(always)]
fn accepted(socket: &mut Socket, outcome: Outcome, error: u16, now: u64) {
    socket.id.flags |= FLAG_COUNTED;
    if let Some(totals) = emit::totals() {
        add(&mut totals.accepts, 1);
    }
    if !socket.is_watched() || !filter::wants(outcome as u32, 0) {
        return;
    }
    emit::emit::<Accept>(RecordKind::Accept, |r| {
        *r = Accept {
            kind: RecordKind::Accept as u8,
            outcome: outcome as u8,
            error,
            reserved: 0,
            time_ns: now,
            id: socket.id,
        };
    });
}

/// A connection ended.
#[inline(always)]
fn ended(sk: Sk, socket: &Socket, error: u16, now: u64) {
    let outcome = class::close_outcome(error);
    if let Some(totals) = emit::totals() {
        add(&mut totals.closes[outcome as usize], 1);
    }
    if !socket.is_watched() || !filter::wants(16 + outcome as u32, socket.slowest_ns) {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let (sent, received) = (tcp.sent(), tcp.received(sk));
    emit::emit::<Close>(RecordKind::Close, |r| {
        *r = Close {
            kind: RecordKind::Close as u8,
            outcome: outcome as u8,
            error,
            retransmits: tcp.total_retrans().saturating_sub(socket.base_retransmits),
            time_ns: now,
            duration_ns: now.saturating_sub(socket.id.start_ns),
            sent_bytes: sent.saturating_sub(socket.base_sent),
            received_bytes: received.saturating_sub(socket.base_received),
            srtt_us: tcp.srtt_us(),
            min_rtt_us: tcp.min_rtt_us(),
            id: socket.id,
        };
    });
}
