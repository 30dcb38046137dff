//! Trace filters, in the kernel: the map is read here, the comparisons are pure functions of the shared crate.

use observer_abi::record::{FLAG_OWNER, Identity};

use crate::emit;

/// Whether the trace looks at this connection. An owner that is not known yet is judged when it is.
#[inline(always)]
pub(crate) fn watches(id: &Identity) -> bool {
    let Some(control) = emit::control() else { return true };
    let filter = &control.filter;
    filter.active == 0 || (filter.ends(id) && (filter.owner(id) || owner_unknown(id)))
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
