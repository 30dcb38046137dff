//! The only door to the ring: count, reserve, submit.
//!
//! What happened is added to this CPU's totals before the ring is asked for room, so that a full ring costs detail and never
//! the truth.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::generated::bpf_ringbuf_query,
    macros::btf_map,
};
use observer_abi::{filter::Control, record::RecordKind, totals::Totals};

use crate::words::add;

/// The ring; the agent sets its size.
#[btf_map]
static EVENTS: RingBuf<u64, { 1 << 22 }> = RingBuf::new();

#[btf_map]
static TOTALS: PerCpuArray<Totals, 1> = PerCpuArray::new();

#[btf_map]
static CONTROL: Array<Control, 1> = Array::new();

/// This CPU's totals.
#[inline(always)]
pub(crate) fn totals() -> Option<&'static mut Totals> {
    // SAFETY: the value belongs to this CPU. A program that interrupts another one on it meets it in the middle of an
    // addition, so every addition goes through `add`.
    TOTALS.get_ptr_mut(0).and_then(|p| unsafe { p.as_mut() })
}

/// What the agent asks for.
#[inline(always)]
pub(crate) fn control() -> Option<&'static Control> {
    CONTROL.get(0)
}

/// Offers a record: `fill` writes it in place.
#[inline(always)]
pub(crate) fn emit<T: 'static>(kind: RecordKind, fill: impl FnOnce(&mut T)) {
    let Some(totals) = totals() else { return };
    add(&mut totals.offered[kind as usize], 1);
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        add(&mut totals.ring_full[kind as usize], 1);
        return;
    };
    // SAFETY: a record is made of integers, so the ring's bytes are a valid one, and `fill` writes every field.
    fill(unsafe { entry.assume_init_mut() });
    entry.submit(wake_flags());
}

/// Waking the reader costs more than the record: it comes by itself at its next tick, unless the ring fills up before.
#[inline(always)]
fn wake_flags() -> u64 {
    let wake_bytes = control().map_or(0, |c| c.wake_bytes);
    // SAFETY: the map is a ring buffer.
    let waiting =
        unsafe { bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), BPF_RB_AVAIL_DATA.into()) };
    u64::from(if waiting >= u64::from(wake_bytes) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}
