//! Listening sockets: their queue at each sweep, which local ports they serve, and how long connections wait there.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, seq_file},
    btf_maps::{HashMap, PerCpuArray},
    macros::btf_map,
};
use observer_abi::{
    bucket::bucket_of,
    class::{TCP_CLOSE, TCP_LISTEN, TCP_STATES, TCP_SYN_RECV, TCP_SYN_SENT},
    record::{Listen, PORT_BUCKETS, Port, RecordKind, Role},
};

use crate::{
    emit,
    kernel::{PLAIN, Sk, SocketStorage, Task, now_ns, write_report},
    socket::{self, SOCKETS, Socket},
    words::{add, add32, halves, put_16, unknown},
};

/// Marks a listening socket for the sweep over them.
#[repr(C)]
pub(crate) struct Listener {
    port: u64,
}

#[btf_map]
pub(crate) static LISTENERS: SocketStorage<Listener, PLAIN> = SocketStorage::new();

/// Ports that are listened on, by network namespace and port (`netns << 16 | port`). They tell the two sides of a connection
/// apart that is older than the programs.
#[btf_map]
static PORTS: HashMap<u64, Port, 65_536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Room to build a [`Port`] in, which is larger than a program's stack.
#[btf_map]
static NEW_PORT: PerCpuArray<Port, 1> = PerCpuArray::new();

#[inline(always)]
fn key(netns: u32, port: u16) -> u64 {
    u64::from(netns) << 16 | u64::from(port)
}

#[inline(always)]
fn port(key: u64) -> Option<&'static mut Port> {
    // SAFETY: the value lives while the program runs; what two CPUs write in it goes through `add`.
    PORTS.get_ptr_mut(key).and_then(|p| unsafe { p.as_mut() })
}

/// Whether anybody listens on the port.
#[inline(always)]
pub(crate) fn listens(netns: u32, local_port: u16) -> bool {
    port(key(netns, local_port)).is_some_and(|p| p.listeners != 0)
}

/// A socket begins to listen, in the context of its owner; or is found listening.
#[inline(always)]
pub(crate) fn begin(sk: Sk, socket: &mut Socket, owned: bool) {
    socket.begin(sk, Role::Listener, now_ns());
    if owned {
        socket.own();
    }
    sk.read_ends(&mut socket.id);
    let key = key(socket.id.netns, socket.id.local_port);
    if sk.storage(&LISTENERS).is_some() {
        return;
    }
    if let Some(listener) = sk.storage_or_new(&LISTENERS) {
        listener.port = key;
    }
    if let Some(port) = port(key) {
        add32(&mut port.listeners, 1);
        put_16(&mut port.comm, halves(&socket.id.comm));
        return;
    }
    // SAFETY: the value is this CPU's.
    let Some(new) = NEW_PORT.get_ptr_mut(0).and_then(|p| unsafe { p.as_mut() }) else { return };
    new.listeners = 1;
    new.pid = socket.id.pid;
    put_16(&mut new.comm, halves(&socket.id.comm));
    // By reference: a copy would not fit on the stack.
    let new: &Port = new;
    if PORTS.insert(key, new, 0).is_err()
        && let Some(totals) = emit::totals()
    {
        add(&mut totals.storage_failed, 1);
    }
}

/// A socket stops listening.
#[inline(always)]
pub(crate) fn end(sk: Sk) {
    let Some(listener) = sk.storage(&LISTENERS) else { return };
    if let Some(port) = port(listener.port) {
        // The agent takes the entry away once it has read it.
        add32(&mut port.listeners, u32::MAX);
    }
    sk.storage_delete(&LISTENERS);
}

/// A connection was accepted that had waited this long.
#[inline(always)]
pub(crate) fn accepted(netns: u32, local_port: u16, waited_ns: u64) {
    let Some(port) = port(key(netns, local_port)) else { return };
    add(&mut port.wait_sum_ns, waited_ns);
    let bucket = unknown(u64::from(bucket_of(waited_ns))) as usize;
    add(&mut port.wait[bucket & (PORT_BUCKETS - 1)], 1);
}

/// Reports a listening socket's queue: once a sweep, through the iterator's own file.
#[inline(always)]
pub(crate) fn report(sk: Sk, seq: *mut seq_file) {
    let Some(socket) = sk.storage(&SOCKETS) else { return };
    let (queue, limit, drops) = sk.listen_queue();
    let report = Listen {
        kind: RecordKind::Listen as u8,
        reserved: [0; 7],
        queue,
        limit,
        drops: u64::from(drops),
        id: socket.id,
    };
    write_report(seq, &report);
}

/// A socket found while the agent starts: from here on it is known. Listening sockets are looked for first, so that the others'
/// roles are clear. Of processes that share a socket the first is the owner.
#[inline(always)]
pub(crate) fn seed(sk: Sk, task: Task) {
    let state = sk.state();
    let first_pass = emit::control().is_some_and(|c| c.seed_listeners != 0);
    if !sk.is_tcp()
        || (state == TCP_LISTEN) != first_pass
        || matches!(state, TCP_CLOSE | TCP_SYN_SENT | TCP_SYN_RECV)
        || sk.storage(&SOCKETS).is_some_and(|socket| socket.id.role != 0)
    {
        return;
    }
    let Some(socket) = socket::make(sk) else { return };
    task.read(&mut socket.id);
    if state == TCP_LISTEN {
        begin(sk, socket, false);
    } else {
        socket::pick_up(sk, socket);
    }
    if let Some(totals) = emit::totals()
        && (state as usize) < TCP_STATES
    {
        add(&mut totals.states[state as usize], 1);
    }
}
