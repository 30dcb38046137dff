//! The one door to code for a better processor than the binary is built for.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls a function compiled for AVX2 once it is known to be there")
)]

use super::{
    Dialect, Sink, Stats,
    layout::Layout,
    walk::{self, Walked},
};
/// [`walk::walk`], with 32-byte vectors where the processor has them.
pub(super) fn walk<S: Sink>(
    dialect: Dialect,
    layout: &mut Layout,
    body: &[u8],
    sink: &mut S,
    stats: &mut Stats,
) -> Walked {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
    {
        // SAFETY: the processor has what the function is compiled for; it is safe code otherwise.
        return unsafe { walk_avx2(dialect, layout, body, sink, stats) };
    }
    walk::walk(dialect, layout, body, sink, stats)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn walk_avx2<S: Sink>(
    dialect: Dialect,
    layout: &mut Layout,
    body: &[u8],
    sink: &mut S,
    stats: &mut Stats,
) -> Walked {
    walk::walk(dialect, layout, body, sink, stats)
}
