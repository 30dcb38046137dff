//! The sweep: once a window an iterator visits every active socket and reports what it did.
//!
//! Reports go through the iterator's own file, which has flow control: a sweep loses nothing, however many sockets there are.

use aya_ebpf::{bindings::seq_file, btf_maps::PerCpuArray, macros::btf_map};
use observer_abi::record::{Activity, Family, SLOTS, Slot, Slots};

use crate::{
    emit,
    exchange::{self, counts},
    kernel::{Sk, add, add32, now_ns, replace32, write_report},
    place,
    socket::{EXCHANGES, Exchanges, SOCKETS, Socket, Sums},
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
    exchange::fill(r, socket, x, tcp, sent, received, now);
    if is_quiet(r, counts(&r.turn.slots) | counts(&r.wait.slots)) {
        rest(sk, x);
        return;
    }
    x.idle = 0;
    take(socket, x, r);
    if !write_report(seq, r) {
        // No room: the kernel hands the page over and visits this socket again.
        put_back(socket, x, r);
        return;
    }
    exchange::note_totals(socket, sent, received, counts(&r.turn.slots), counts(&r.wait.slots));
    socket.slowest_ns = exchange::slowest(socket, r.turn.max_ns, r.wait.max_ns);
    socket.reported_sent = sent;
    socket.reported_received = received;
}

#[inline(always)]
fn is_quiet(r: &Activity, observations: u64) -> bool {
    let [a, b, c, d, e] = r.retransmits;
    let [f, g] = r.resets;
    observations | r.sent_bytes | r.received_bytes | u64::from(a | b | c | d | e | f | g) == 0
}

/// Takes what is reported out of the socket's own figures, and reports exactly what could be taken: other CPUs go on adding.
#[inline(always)]
fn take(socket: &mut Socket, x: &mut Exchanges, r: &mut Activity) {
    let mut i = 0;
    while i < r.retransmits.len() {
        add32(&mut socket.retransmits[i], r.retransmits[i].wrapping_neg());
        i += 1;
    }
    add32(&mut socket.resets[0], r.resets[0].wrapping_neg());
    add32(&mut socket.resets[1], r.resets[1].wrapping_neg());
    take_slots(&mut x.turn, &mut x.turn_slots, &mut r.turn);
    take_slots(&mut x.wait, &mut x.wait_slots, &mut r.wait);
}

#[inline(always)]
fn take_slots(sums: &mut Sums, slots: &mut [Slot; SLOTS], taken: &mut Slots) {
    add(&mut sums.sum_ns, taken.sum_ns.wrapping_neg());
    sums.max_ns = 0;
    let mut i = 0;
    while i < SLOTS {
        let seen = taken.slots[i];
        let empty = Slot::new(seen.bucket(), 0);
        // One that has changed since it was read waits for the next sweep.
        if seen.count() != 0 && !replace32(&mut slots[i].0, seen.0, empty.0) {
            taken.slots[i] = empty;
        }
        i += 1;
    }
}

/// Gives back what could not be reported.
#[inline(always)]
fn put_back(socket: &mut Socket, x: &mut Exchanges, r: &Activity) {
    let mut i = 0;
    while i < r.retransmits.len() {
        add32(&mut socket.retransmits[i], r.retransmits[i]);
        i += 1;
    }
    add32(&mut socket.resets[0], r.resets[0]);
    add32(&mut socket.resets[1], r.resets[1]);
    put_slots_back(socket, &mut x.turn, &mut x.turn_slots, &r.turn, Family::Turn);
    put_slots_back(socket, &mut x.wait, &mut x.wait_slots, &r.wait, Family::Wait);
}

#[inline(always)]
fn put_slots_back(
    socket: &Socket,
    sums: &mut Sums,
    slots: &mut [Slot; SLOTS],
    taken: &Slots,
    family: Family,
) {
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
                exchange::spill(socket, taken, family);
            }
        }
        i += 1;
    }
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
