//! Trace filters, in the kernel: the map is read here, the comparisons are pure functions of the shared crate.

use core::ptr;

use observer_abi::{
    filter::Filter,
    record::{FLAG_OWNER, Identity},
};

use crate::emit;

/// Whether the trace looks at this connection. An owner that is not known yet is judged when it is.
#[inline(always)]
pub(crate) fn watches(id: &Identity) -> bool {
    let Some(control) = emit::control() else { return true };
    control.filter.active == 0 || fits(ptr::from_ref(&control.filter), ptr::from_ref(id)) != 0
}

/// A global function: the verifier walks its loops once a program, not on every path that comes here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fits(filter: *const Filter, id: *const Identity) -> u32 {
    // SAFETY: null, or whole: the verifier checks the callers.
    let (Some(filter), Some(id)) = (unsafe { filter.as_ref() }, unsafe { id.as_ref() }) else { return 0 };
    u32::from(filter.ends(id) && (filter.owner(id) || owner_unknown(id)))
}

#[inline(always)]
fn owner_unknown(id: &Identity) -> bool {
    id.pid == 0 && id.flags & FLAG_OWNER == 0
}

/// Whether a row with this outcome (its bit in `Filter::outcomes`) and latency is wanted.
#[inline(always)]
pub(crate) fn wants(outcome_bit: u32, latency_ns: u64) -> bool {
    let Some(control) = emit::control() else { return true };
    control.filter.active == 0 || control.filter.outcome(outcome_bit, latency_ns)
}
