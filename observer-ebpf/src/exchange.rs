//! Response time, service time and receive wait: where an exchange's time goes, without reading payload.
//!
//! - client: last send to the first byte back is the **response time** (the network and the remote side);
//! - server: first byte received to the first send is the **service time** (this host's program);
//! - both: data in the socket to the program's read is the **receive wait** (this host's program was late).

use core::ptr;

use observer_abi::{
    bucket::bucket_of,
    class::Retransmit,
    record::{Activity, Family, RecordKind, Role, SLOTS, Slot, Slots, Spill},
};

use crate::{
    emit,
    kernel::{Sk, TcpSk, now_ns},
    place,
    socket::{self, EXCHANGES, Exchanges, SOCKETS, Socket, Sums},
    words::{add, add32, replace32},
};

const CLIENT: u8 = Role::Client as u8;

/// The program has sent. In task context.
#[inline(always)]
pub(crate) fn sent(sk: Sk, result: i32) {
    if result <= 0 {
        return;
    }
    let Some(x) = socket::exchanges(sk) else { return };
    let Some(tcp) = sk.tcp() else { return };
    let at = send_time(tcp, x);
    if x.role == CLIENT {
        x.sent_ns = at;
    } else if x.asked_ns != 0 {
        let took = at.saturating_sub(x.asked_ns);
        x.asked_ns = 0;
        let turned = look(&x.turn_slots, took);
        note(sk, &mut x.turn, &mut x.turn_slots, turned, Family::Turn);
    }
}

/// When the last send left, by what the stack noted: reading the clock would cost as much as all the rest, and be late.
///
/// With nothing else in flight, `first_tx_mstamp` is this send's time, even if it was acknowledged meanwhile. Otherwise the
/// stack's cached clock is: it was read when the segment was handed down. A cached clock older than the last receive belongs
/// to something before this send (corking), and only then the clock is read.
#[inline(always)]
fn send_time(tcp: TcpSk, x: &Exchanges) -> u64 {
    let first = tcp.first_tx_ns();
    if first > x.read_ns && first > x.sent_ns {
        return first;
    }
    let cached = tcp.clock_ns();
    if cached > x.read_ns { cached } else { now_ns() }
}

/// When the last receive took its data, by what the stack noted: it reads its clock behind every copy (`tcp_rcv_space_adjust`).
///
/// A clock that has not moved since the data came, or since the receive before, was not read for this one.
#[inline(always)]
fn receive_time(tcp: TcpSk, x: &Exchanges) -> u64 {
    let cached = tcp.clock_ns();
    if cached > x.ready_ns && cached > x.read_ns { cached } else { now_ns() }
}

/// The program has received. In task context.
#[inline(always)]
pub(crate) fn received(sk: Sk, result: i32, flags: i32) {
    const MSG_PEEK: i32 = 2;
    if result <= 0 || flags & MSG_PEEK != 0 {
        return;
    }
    let Some(x) = socket::exchanges(sk) else { return };
    let Some(tcp) = sk.tcp() else { return };
    let ready = x.ready_ns;
    let now = receive_time(tcp, x);
    let fresh = ready != x.ready_taken_ns && ready <= now;
    let waited = look(&x.wait_slots, now.saturating_sub(ready));
    if x.role == CLIENT && x.sent_ns != 0 {
        // Data that was there before the send is no answer to it: then the receive itself is all that is known.
        let answered = if fresh && ready >= x.sent_ns { ready } else { now };
        let turned = look(&x.turn_slots, answered.saturating_sub(x.sent_ns));
        x.sent_ns = 0;
        note(sk, &mut x.turn, &mut x.turn_slots, turned, Family::Turn);
    } else if x.role != CLIENT && x.asked_ns == 0 {
        x.asked_ns = now;
    }
    if fresh {
        x.ready_taken_ns = ready;
        note(sk, &mut x.wait, &mut x.wait_slots, waited, Family::Wait);
    }
    x.read_ns = now;
}

/// Data has reached the socket, in softirq or in the task that releases the socket.
#[inline(always)]
pub(crate) fn ready(sk: Sk) {
    let x = match place::find(sk) {
        Some(x) => x,
        None => match unplaced(sk) {
            Some(x) => x,
            None => return,
        },
    };
    let Some(tcp) = sk.tcp() else { return };
    let seq = tcp.copied_seq();
    // Unread data was there before: its arrival is what the program is late for.
    if x.ready_ns != 0 && x.ready_seq == seq {
        return;
    }
    x.ready_seq = seq;
    x.ready_ns = tcp.clock_ns();
}

/// The accumulators of a socket that has no place, or not yet. The first data of a connection comes before its program has
/// touched it.
#[inline(never)]
fn unplaced(sk: Sk) -> Option<&'static mut Exchanges> {
    if let Some(x) = sk.storage(&EXCHANGES) {
        return Some(x);
    }
    let socket = sk.storage(&SOCKETS)?;
    // A FIN is announced like data: a connection that carried none needs no accumulators to end.
    if !socket.is_established() || sk.tcp().is_none_or(|tcp| tcp.received(sk) == 0) {
        return None;
    }
    socket::accumulators(sk, socket)
}

/// A value, and what stands where it is to be counted.
#[derive(Clone, Copy)]
struct Look {
    ns: u64,
    bucket: u8,
    seen: Slot,
}

/// Finds a value's slot. All slots of an event are looked at before anything is added: an addition that other CPUs must see waits for
/// its cache line, and whatever comes behind waits with it.
#[inline(always)]
fn look(slots: &[Slot; SLOTS], ns: u64) -> Look {
    let bucket = bucket_of(ns);
    Look { ns, bucket, seen: slots[usize::from(bucket) % SLOTS] }
}

/// Counts a value in a socket's own histogram, and hands on what it displaces.
#[inline(always)]
fn note(sk: Sk, sums: &mut Sums, slots: &mut [Slot; SLOTS], value: Look, family: Family) {
    let displaced = count(sums, slots, value);
    if displaced.count() != 0 {
        spill_of(sk, displaced, family);
    }
}

/// Counts a value in a socket's own histogram: what has to make room for it.
#[inline(always)]
fn count(sums: &mut Sums, slots: &mut [Slot; SLOTS], Look { ns, bucket, seen }: Look) -> Slot {
    if ns > sums.max_ns {
        sums.max_ns = ns;
    }
    add(&mut sums.sum_ns, ns);
    // Another CPU may have changed the slot since the look, which moves one count to another bucket.
    let slot = &mut slots[usize::from(bucket) % SLOTS];
    if seen.takes(bucket) {
        add32(&mut slot.0, 1);
        return Slot::default();
    }
    let new = Slot::new(bucket, 1);
    if replace32(&mut slot.0, seen.0, new.0) { seen } else { new }
}

#[inline(never)]
fn spill_of(sk: Sk, slot: Slot, family: Family) {
    if let Some(socket) = sk.storage(&SOCKETS) {
        spill(ptr::from_ref(socket), slot.0, family as u32);
    }
}

/// Hands a count to the agent that has no place in its socket. A global function: the verifier walks it once a program, not on
/// every path that comes here.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn spill(socket: *const Socket, slot: u32, family: u32) -> u32 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let Some(socket) = (unsafe { socket.as_ref() }) else { return 0 };
    let (bucket, count) = (Slot(slot).bucket(), Slot(slot).count());
    if let Some(totals) = emit::totals() {
        add(&mut totals.turns[(family & 1) as usize], u64::from(count));
    }
    emit::emit::<Spill>(RecordKind::Spill, |r| {
        *r = Spill {
            kind: RecordKind::Spill as u8,
            family: family as u8,
            bucket: u16::from(bucket),
            count,
            time_ns: 0,
            id: socket.id,
        };
    });
    1
}

/// A segment was sent again.
#[inline(always)]
pub(crate) fn retransmitted(sk: Sk) {
    let kind = Retransmit::classify(sk.state(), sk.congestion_state());
    let socket = sk.storage(&SOCKETS).filter(|socket| socket.is_watched());
    if let Some(totals) = emit::totals() {
        add(&mut totals.retransmits[kind as usize], 1);
        // A SYN's are told with its attempt's outcome.
        if socket.is_none() {
            add(&mut totals.loose_retransmits[kind as usize], 1);
        }
    }
    let Some(socket) = socket else { return };
    if socket.is_established() {
        add32(&mut socket.retransmits[kind as usize], 1);
        report_at_next_sweep(sk, socket);
    }
}

/// A SYN-ACK was sent again by a listening socket.
#[inline(always)]
pub(crate) fn syn_ack_retransmitted() {
    if let Some(totals) = emit::totals() {
        add(&mut totals.retransmits[Retransmit::SynAck as usize], 1);
        add(&mut totals.loose_retransmits[Retransmit::SynAck as usize], 1);
    }
}

/// A reset was sent (0) or received (1). One in answer to a segment that belongs to no connection has no socket.
#[inline(always)]
pub(crate) fn reset(sk: Option<Sk>, direction: usize) {
    let socket = sk.and_then(|sk| sk.storage(&SOCKETS)).filter(|s| s.is_established() && s.is_watched());
    if let Some(totals) = emit::totals() {
        add(&mut totals.resets[direction], 1);
        if socket.is_none() {
            add(&mut totals.loose_resets[direction], 1);
        }
    }
    if let (Some(sk), Some(socket)) = (sk, socket) {
        add32(&mut socket.resets[direction], 1);
        report_at_next_sweep(sk, socket);
    }
}

/// The sweep visits sockets with accumulators only.
#[inline(always)]
fn report_at_next_sweep(sk: Sk, socket: &mut Socket) {
    if socket.is_established() && sk.storage(&EXCHANGES).is_none() {
        socket::accumulators(sk, socket);
    }
}

/// What the stack knows of a connection.
#[repr(C)]
struct Figures {
    sent: u64,
    received: u64,
    now: u64,
    srtt_us: u32,
    min_rtt_us: u32,
}

/// Reports what an ending connection did since its last report.
#[inline(always)]
pub(crate) fn finish(sk: Sk, socket: &mut Socket, now: u64) {
    if !socket.is_watched() || socket.is_active == 0 {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let figures = Figures {
        sent: tcp.sent(),
        received: tcp.received(sk),
        now,
        srtt_us: tcp.srtt_us(),
        min_rtt_us: tcp.min_rtt_us(),
    };
    if let Some(x) = place::find(sk) {
        report_last(socket, x, &raw const figures);
        place::leave(x);
    } else if let Some(x) = sk.storage(&EXCHANGES) {
        report_last(socket, x, &raw const figures);
    }
    sk.storage_delete(&EXCHANGES);
}

/// A global function: the verifier walks it once, whichever map the accumulators are in.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_last(socket: *mut Socket, x: *mut Exchanges, figures: *const Figures) -> u32 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let (Some(socket), Some(x), Some(figures)) =
        (unsafe { socket.as_mut() }, unsafe { x.as_mut() }, unsafe { figures.as_ref() })
    else {
        return 0;
    };
    // The answer has arrived, but the program reads it only after the connection has left its last state.
    if x.role == CLIENT && x.sent_ns != 0 && x.ready_ns != x.ready_taken_ns && x.ready_ns >= x.sent_ns {
        let turned = look(&x.turn_slots, x.ready_ns - x.sent_ns);
        let displaced = count(&mut x.turn, &mut x.turn_slots, turned);
        x.sent_ns = 0;
        if displaced.count() != 0 {
            spill(ptr::from_ref(socket), displaced.0, Family::Turn as u32);
        }
    }
    let Figures { sent, received, now, srtt_us, min_rtt_us } = *figures;
    note_totals(socket, sent, received, counts(&x.turn_slots), counts(&x.wait_slots));
    emit::emit::<Activity>(RecordKind::Activity, |r| {
        r.kind = RecordKind::Activity as u8;
        r.last = 1;
        r.reserved = 0;
        r.srtt_us = srtt_us;
        r.min_rtt_us = min_rtt_us;
        r.retransmits = socket.retransmits;
        r.resets = socket.resets;
        r.time_ns = now;
        r.sent_bytes = sent.saturating_sub(socket.reported_sent);
        r.received_bytes = received.saturating_sub(socket.reported_received);
        r.turn = Slots { sum_ns: x.turn.sum_ns, max_ns: x.turn.max_ns, slots: x.turn_slots };
        r.wait = Slots { sum_ns: x.wait.sum_ns, max_ns: x.wait.max_ns, slots: x.wait_slots };
        r.id = socket.id;
    });
    socket.slowest_ns = slowest(socket, x.turn.max_ns, x.wait.max_ns);
    socket.reported_sent = sent;
    socket.reported_received = received;
    1
}

/// The slowest exchange so far.
#[inline(always)]
pub(crate) fn slowest(socket: &Socket, turn_ns: u64, wait_ns: u64) -> u64 {
    let exchange = if turn_ns > wait_ns { turn_ns } else { wait_ns };
    if exchange > socket.slowest_ns { exchange } else { socket.slowest_ns }
}

/// Adds a report to the totals.
#[inline(always)]
pub(crate) fn note_totals(socket: &Socket, sent: u64, received: u64, turns: u64, waits: u64) {
    let Some(totals) = emit::totals() else { return };
    add(&mut totals.bytes[0], sent.saturating_sub(socket.reported_sent));
    add(&mut totals.bytes[1], received.saturating_sub(socket.reported_received));
    add(&mut totals.turns[0], turns);
    add(&mut totals.turns[1], waits);
}

/// The number of observations in a socket's own histogram.
#[inline(always)]
fn counts(slots: &[Slot; SLOTS]) -> u64 {
    count_slots(ptr::from_ref(slots))
}

/// A global function: the verifier walks its loop once a program, not on every path that comes here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_slots(slots: *const [Slot; SLOTS]) -> u64 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let Some(slots) = (unsafe { slots.as_ref() }) else { return 0 };
    let mut n = 0;
    let mut i = 0;
    while i < SLOTS {
        n += u64::from(slots[i].count());
        i += 1;
    }
    n
}
