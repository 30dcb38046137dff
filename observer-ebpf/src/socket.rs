//! Per-socket state and its life.
//!
//! Two values a socket. [`Socket`] says whose it is and lives as long as the socket. [`Exchanges`] accumulates what happens on
//! it, is made at the first exchange and given back when the socket is idle, so that the sweep visits active sockets only.

use aya_ebpf::macros::btf_map;
use aya_log_ebpf::debug;
use observer_abi::{
    class::{Retransmit, TCP_CLOSE, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT},
    record::{FLAG_ADOPTED, FLAG_ESTABLISHED, FLAG_OWNER, FLAG_WATCHED, Identity, Role, SLOTS, Slot},
};

use crate::{
    emit, filter,
    kernel::{CLONED, PLAIN, Sk, SocketStorage, now_ns, read_owner},
    listen, place,
    words::{add, clear},
};

/// Whose the socket is, and what was reported of it. A connection made by a listening socket starts with a copy of the
/// listener's, and so knows its owner before any process has touched it.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Socket {
    pub id: Identity,
    /// Payload bytes before the figures start: not 0 for an adopted socket.
    pub base_sent: u64,
    pub base_received: u64,
    /// Payload bytes reported so far, `base_*` included.
    pub reported_sent: u64,
    pub reported_received: u64,
    /// Slowest exchange so far, nanoseconds.
    pub slowest_ns: u64,
    /// Not reported yet, by kind.
    pub retransmits: [u32; Retransmit::COUNT],
    /// Not reported yet: sent, received.
    pub resets: [u32; 2],
    /// Segments sent again before the figures start.
    pub base_retransmits: u32,
    /// The TCP state whose beginning was told last; 0 for none.
    pub state: u32,
    /// 0: never had accumulators.
    pub is_active: u32,
}

/// What happens on the socket, between two reports.
///
/// The parts are laid out by who writes them, a cache line each: the softirq, the task. Histograms follow, of which neighbouring
/// buckets share a line.
#[repr(C)]
pub(crate) struct Exchanges {
    /// Whose these are, of a place in [`crate::place`]; 0 in a socket's own storage.
    pub key: u64,
    /// When data reached the socket, the first since the program last read.
    pub ready_ns: u64,
    /// `copied_seq` at that time.
    pub ready_seq: u32,
    /// 0: not in use yet.
    pub role: u8,
    /// 1: a process that uses the socket was seen, and is the owner.
    pub owned: u8,
    /// Sweeps without any change.
    pub idle: u8,
    _pad: u8,
    /// When the sweep came last.
    pub visited_ns: u64,
    _softirq_line: [u64; 4],
    /// Client: the last send that is not answered yet; 0 for none.
    pub sent_ns: u64,
    /// Server: the first receive that is not answered yet; 0 for none.
    pub asked_ns: u64,
    /// The last receive.
    pub read_ns: u64,
    /// The `ready_ns` the last receive has taken.
    pub ready_taken_ns: u64,
    pub turn: Sums,
    pub wait: Sums,
    pub turn_slots: [Slot; SLOTS],
    pub wait_slots: [Slot; SLOTS],
}

/// The part of a histogram that every observation writes.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Sums {
    pub sum_ns: u64,
    pub max_ns: u64,
}

#[btf_map]
pub(crate) static SOCKETS: SocketStorage<Socket, CLONED> = SocketStorage::new();

#[btf_map]
pub(crate) static EXCHANGES: SocketStorage<Exchanges, PLAIN> = SocketStorage::new();

/// The socket's state, made if there was none; a socket without memory for it is counted.
#[inline(always)]
pub(crate) fn make(sk: Sk) -> Option<&'static mut Socket> {
    let socket = sk.storage_or_new(&SOCKETS);
    if socket.is_none() {
        not_stored();
    }
    socket
}

#[inline(always)]
fn not_stored() {
    if let Some(totals) = emit::totals() {
        add(&mut totals.storage_failed, 1);
    }
}

impl Socket {
    /// Starts the state anew: of a socket that connects (again), or of a copy of a listener's.
    #[inline(always)]
    pub(crate) fn begin(&mut self, sk: Sk, role: Role, now: u64) {
        let Self {
            id,
            base_sent,
            base_received,
            reported_sent,
            reported_received,
            slowest_ns,
            retransmits,
            resets,
            base_retransmits,
            state: _,
            is_active,
        } = self;
        id.cookie = sk.cookie();
        id.start_ns = now;
        id.netns = sk.netns();
        id.role = role as u8;
        id.flags = 0;
        for bytes in [base_sent, base_received, reported_sent, reported_received, slowest_ns] {
            clear(bytes);
        }
        clear(retransmits);
        clear(resets);
        (*base_retransmits, *is_active) = (0, 0);
    }

    /// Takes the current task for the owner.
    #[inline(always)]
    pub(crate) fn own(&mut self) {
        read_owner(&mut self.id);
        self.id.flags |= FLAG_OWNER;
    }

    /// Decides whether a trace looks at this socket, by what is known now.
    #[inline(always)]
    pub(crate) fn watch(&mut self) {
        self.id.flags &= !FLAG_WATCHED;
        if filter::watches(&self.id) {
            self.id.flags |= FLAG_WATCHED;
        }
    }

    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.id.flags & FLAG_WATCHED != 0
    }

    #[inline(always)]
    pub(crate) fn is_established(&self) -> bool {
        self.id.flags & FLAG_ESTABLISHED != 0
    }

    #[inline(always)]
    pub(crate) fn is(&self, role: Role) -> bool {
        self.id.role == role as u8
    }
}

/// The accumulators, for a send or receive: in the context of the process that uses the socket.
#[inline(always)]
pub(crate) fn exchanges(sk: Sk) -> Option<&'static mut Exchanges> {
    // Only an owner's are in a place.
    match place::find(sk) {
        Some(x) => Some(x),
        None => displaced(sk),
    }
}

/// The accumulators of a socket that has no place, or not yet.
#[inline(never)]
fn displaced(sk: Sk) -> Option<&'static mut Exchanges> {
    match sk.storage(&EXCHANGES) {
        Some(x) if x.owned != 0 => Some(x),
        _ => adopt(sk),
    }
}

/// The slow path: finds out whose the socket is, and makes its accumulators. Data that arrived first may have made them, but
/// not in the context of a process.
#[inline(always)]
fn adopt(sk: Sk) -> Option<&'static mut Exchanges> {
    if !sk.is_tcp() || matches!(sk.state(), TCP_CLOSE | TCP_LISTEN | TCP_SYN_SENT | TCP_SYN_RECV) {
        return None;
    }
    let socket = make(sk)?;
    if !socket.is_established() {
        pick_up(sk, socket);
    }
    // What was inherited from the listener names the process that listens, which may have handed the connection on.
    if socket.id.flags & FLAG_OWNER == 0 {
        socket.own();
        socket.watch();
    }
    let exchanges = accumulators(sk, socket)?;
    let taken = place::take(sk.cookie(), exchanges);
    if taken.is_none() {
        not_stored();
    }
    taken
}

/// The accumulators of a socket whose state is there. In any context.
#[inline(always)]
pub(crate) fn accumulators(sk: Sk, socket: &mut Socket) -> Option<&'static mut Exchanges> {
    if !socket.is_watched() {
        return None;
    }
    socket.is_active = 1;
    let exchanges = sk.storage_or_new(&EXCHANGES);
    match exchanges {
        Some(exchanges) => {
            exchanges.role = socket.id.role;
            Some(exchanges)
        }
        None => {
            not_stored();
            None
        }
    }
}

/// A connection that is older than the programs: its figures start now.
#[inline(always)]
pub(crate) fn pick_up(sk: Sk, socket: &mut Socket) {
    let role = if listen::listens(sk.netns(), sk.local_port()) { Role::Server } else { Role::Client };
    socket.begin(sk, role, now_ns());
    socket.id.flags = FLAG_ADOPTED | FLAG_ESTABLISHED;
    sk.read_ends(&mut socket.id);
    debug!(sk, "picked up socket {} of port {}", socket.id.cookie, socket.id.local_port);
    if let Some(tcp) = sk.tcp() {
        socket.base_sent = tcp.sent();
        socket.base_received = tcp.received(sk);
        socket.base_retransmits = tcp.total_retrans();
        socket.reported_sent = socket.base_sent;
        socket.reported_received = socket.base_received;
    }
    socket.watch();
}
