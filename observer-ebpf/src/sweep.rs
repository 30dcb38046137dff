//! The sweep: once a window an iterator visits every active socket and reports what it did.
//!
//! Reports go through the iterator's own file, which has flow control: a sweep loses nothing, however many sockets there are.

use core::ptr;

use aya_ebpf::{bindings::seq_file, btf_maps::PerCpuArray, macros::btf_map};
use observer_abi::record::{Activity, Family, RecordKind, SLOTS, Slot, Slots};

use crate::{
    emit, exchange,
    kernel::{Sk, now_ns, write_report},
    place,
    socket::{EXCHANGES, Exchanges, SOCKETS, Socket, Sums},
    words::{add, add32, copy, replace32},
};

/// Sweeps without activity after which a socket gives its accumulators back.
const IDLE_SWEEPS: u8 = 5;

/// Room to build a report in, which is as large as a program's stack.
#[btf_map]
static REPORT: PerCpuArray<Activity, 1> = PerCpuArray::new();

/// Visits one socket with accumulators.
#[inline(always)]
pub(crate) fn visit(sk: Sk, seq: *mut seq_file) {
    let Some(x) = place::find(sk).or_else(|| sk.storage(&EXCHANGES)) else { return };
    let Some(socket) = sk.storage(&SOCKETS) else { return };
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: the value is this CPU's, and only this program uses it.
    let Some(r) = REPORT.get_ptr_mut(0).and_then(|p| unsafe { p.as_mut() }) else { return };
    if let Some(totals) = emit::totals() {
        add(&mut totals.swept, 1);
    }
    let (sent, received, now) = (tcp.sent(), tcp.received(sk), now_ns());
    x.visited_ns = now;
    r.srtt_us = tcp.srtt_us();
    r.min_rtt_us = tcp.min_rtt_us();
    r.time_ns = now;
    r.sent_bytes = sent.saturating_sub(socket.reported_sent);
    r.received_bytes = received.saturating_sub(socket.reported_received);
    let turns = take_slots(&raw mut x.turn, &raw mut x.turn_slots, &raw mut r.turn);
    let waits = take_slots(&raw mut x.wait, &raw mut x.wait_slots, &raw mut r.wait);
    let counters = take_counters(socket, r);
    if turns | waits | u64::from(counters) | r.sent_bytes | r.received_bytes == 0 {
        rest(sk, x);
        return;
    }
    x.idle = 0;
    r.kind = RecordKind::Activity as u8;
    r.last = 0;
    r.reserved = 0;
    copy(&mut r.id, &socket.id);
    if !write_report(seq, r) {
        // No room: the kernel hands the page over and visits this socket again.
        put_counters_back(socket, r);
        put_slots_back(
            socket,
            &raw mut x.turn,
            &raw mut x.turn_slots,
            &raw const r.turn,
            Family::Turn as u32,
        );
        put_slots_back(
            socket,
            &raw mut x.wait,
            &raw mut x.wait_slots,
            &raw const r.wait,
            Family::Wait as u32,
        );
        return;
    }
    exchange::note_totals(socket, sent, received, turns, waits);
    socket.slowest_ns = exchange::slowest(socket, r.turn.max_ns, r.wait.max_ns);
    socket.reported_sent = sent;
    socket.reported_received = received;
}

/// Takes what is reported out of the socket's own figures, and reports exactly what could be taken: other CPUs go on adding.
/// Says whether there was anything.
#[inline(always)]
fn take_counters(socket: &mut Socket, r: &mut Activity) -> u32 {
    let [a, b, c, d, e] = socket.retransmits;
    let [f, g] = socket.resets;
    r.retransmits = [a, b, c, d, e];
    r.resets = [f, g];
    let any = a | b | c | d | e | f | g;
    if any != 0 {
        let mut i = 0;
        while i < r.retransmits.len() {
            add32(&mut socket.retransmits[i], r.retransmits[i].wrapping_neg());
            i += 1;
        }
        add32(&mut socket.resets[0], f.wrapping_neg());
        add32(&mut socket.resets[1], g.wrapping_neg());
    }
    any
}

/// As [`take_counters`], and how many observations there were. A global function: the verifier walks its loop once, whichever map the
/// slots are in.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_slots(sums: *mut Sums, slots: *mut [Slot; SLOTS], taken: *mut Slots) -> u64 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let (Some(sums), Some(slots), Some(taken)) =
        (unsafe { sums.as_mut() }, unsafe { slots.as_mut() }, unsafe { taken.as_mut() })
    else {
        return 0;
    };
    let mut n = 0;
    let mut i = 0;
    while i < SLOTS {
        let seen = slots[i];
        let empty = Slot::new(seen.bucket(), 0);
        taken.slots[i] = seen;
        // One that changes meanwhile waits for the next sweep.
        if seen.count() != 0 && !replace32(&mut slots[i].0, seen.0, empty.0) {
            taken.slots[i] = empty;
        }
        n += u64::from(taken.slots[i].count());
        i += 1;
    }
    // A sum whose observations wait is only early.
    taken.sum_ns = sums.sum_ns;
    taken.max_ns = sums.max_ns;
    if taken.sum_ns != 0 {
        add(&mut sums.sum_ns, taken.sum_ns.wrapping_neg());
        sums.max_ns = 0;
    }
    n
}

/// Gives back what could not be reported.
#[inline(always)]
fn put_counters_back(socket: &mut Socket, r: &Activity) {
    let mut i = 0;
    while i < r.retransmits.len() {
        add32(&mut socket.retransmits[i], r.retransmits[i]);
        i += 1;
    }
    add32(&mut socket.resets[0], r.resets[0]);
    add32(&mut socket.resets[1], r.resets[1]);
}

/// As [`put_counters_back`]. A global function, as [`take_slots`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn put_slots_back(
    socket: *const Socket,
    sums: *mut Sums,
    slots: *mut [Slot; SLOTS],
    taken: *const Slots,
    family: u32,
) -> u32 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let (Some(socket), Some(sums), Some(slots), Some(taken)) =
        (unsafe { socket.as_ref() }, unsafe { sums.as_mut() }, unsafe { slots.as_mut() }, unsafe {
            taken.as_ref()
        })
    else {
        return 0;
    };
    add(&mut sums.sum_ns, taken.sum_ns);
    if taken.max_ns > sums.max_ns {
        sums.max_ns = taken.max_ns;
    }
    let mut i = 0;
    while i < SLOTS {
        let taken = taken.slots[i];
        if taken.count() != 0 {
            let slot = &mut slots[i];
            if slot.bucket() == taken.bucket() {
                add32(&mut slot.0, taken.count());
            } else {
                exchange::spill(ptr::from_ref(socket), taken.0, family);
            }
        }
        i += 1;
    }
    1
}

/// A socket on which nothing happened.
#[inline(always)]
fn rest(sk: Sk, x: &mut Exchanges) {
    // An open turn is not idleness: the answer may be a minute away.
    if x.sent_ns | x.asked_ns != 0 || x.ready_ns != x.ready_taken_ns {
        return;
    }
    if x.idle < IDLE_SWEEPS {
        x.idle += 1;
        return;
    }
    place::leave(x);
    sk.storage_delete(&EXCHANGES);
    if let Some(totals) = emit::totals() {
        add(&mut totals.given_back, 1);
    }
}
