//! Places: accumulators that are found from fields of the socket which the stack has just used.
//!
//! A look-up in socket storage is a call and three cache lines that nobody else touches, one behind the other. A place is found by
//! the socket's cookie, in an array, and costs the line that is needed anyway. Cookies count up, so sockets of one time stand side by
//! side and seldom share a place. A socket whose place is taken uses its storage: that is slower, and nothing else.
//!
//! A socket that has a place keeps its (unused) value in storage, by which the sweep finds it.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};

use crate::{
    emit,
    kernel::{Sk, now_ns},
    socket::Exchanges,
    words::{add, clear, replace64},
};

/// How many there are unless the agent says otherwise: 1.5 MiB of kernel memory. A power of two.
const PLACES: usize = 4096;

/// One less than there are. The agent sets it together with the size of the map, before it loads the programs.
#[unsafe(no_mangle)]
static PLACE_MASK: Global<u32> = Global::new(PLACES as u32 - 1);

/// `BPF_F_MMAPABLE`: puts the first element at the beginning of a page, and so every place on cache lines of its own.
const ALIGNED: usize = 1 << 10;

#[btf_map]
static PLACE: Array<Exchanges, PLACES, ALIGNED> = Array::new();

/// The bit of a key that no cookie has. Below it stands since when the place is left, in units of 2^20 ns. While a place is being
/// taken, its key is the complement of the cookie, which is greater than any time.
const LEFT: u64 = 1 << 63;

/// How long a place stays empty, in units of 2^20 ns: longer than any program that still writes to it may run.
const REST: u64 = 1000;

/// A place the sweep has not visited for so long, nanoseconds, is that of a socket whose end nobody saw.
const ABANDONED_NS: u64 = 600_000_000_000;

#[inline(always)]
fn of(cookie: u64) -> Option<&'static mut Exchanges> {
    // SAFETY: the value is made of integers and lives as long as the map. What two CPUs write goes through `add` and `replace64`.
    PLACE.get_ptr_mut(cookie as u32 & PLACE_MASK.load()).and_then(|p| unsafe { p.as_mut() })
}

/// The socket's place, if it has one.
#[inline(always)]
pub(crate) fn find(sk: Sk) -> Option<&'static mut Exchanges> {
    let cookie = sk.known_cookie();
    // A place that never was used has key 0, as a socket without a cookie.
    of(cookie).filter(|place| place.key == cookie && cookie != 0)
}

/// Moves accumulators that were just made to the socket's place, if it is free; the owner's from here on. Nothing if another
/// thread is doing the same: it has the socket's figures in its hands.
#[inline(always)]
pub(crate) fn take(cookie: u64, x: &'static mut Exchanges) -> Option<&'static mut Exchanges> {
    let Some(place) = of(cookie) else { return stay(x) };
    let (key, now) = (place.key, now_ns());
    if key == cookie {
        return Some(place);
    }
    if key == !cookie {
        return None;
    }
    if !is_free(place, now) || !replace64(&mut place.key, key, !cookie) {
        if let Some(totals) = emit::totals() {
            add(&mut totals.displaced, 1);
        }
        return stay(x);
    }
    place.ready_ns = x.ready_ns;
    place.ready_seq = x.ready_seq;
    place.role = x.role;
    place.owned = 1;
    place.idle = 0;
    for stamp in [&mut place.sent_ns, &mut place.asked_ns, &mut place.read_ns, &mut place.ready_taken_ns] {
        clear(stamp);
    }
    for sums in [&mut place.turn, &mut place.wait] {
        clear(sums);
    }
    for slots in [&mut place.turn_slots, &mut place.wait_slots] {
        clear(slots);
    }
    place.visited_ns = now;
    replace64(&mut place.key, !cookie, cookie);
    Some(place)
}

#[inline(always)]
fn stay(x: &'static mut Exchanges) -> Option<&'static mut Exchanges> {
    x.owned = 1;
    Some(x)
}

#[inline(always)]
fn is_free(place: &Exchanges, now: u64) -> bool {
    match place.key {
        0 => true,
        key if key & LEFT != 0 => (now >> 20 | LEFT).wrapping_sub(key) as i64 > REST as i64,
        _ => now.saturating_sub(place.visited_ns) > ABANDONED_NS,
    }
}

/// Leaves the socket's place to the next one.
#[inline(always)]
pub(crate) fn leave(x: &mut Exchanges) {
    if x.key != 0 {
        x.key = now_ns() >> 20 | LEFT;
    }
}
