//! The only module that reads a clock. Everything else is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The clock for durations.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch; 0 before it.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> i64 {
    i64::try_from(wall_ns() / 1_000_000).unwrap_or(i64::MAX)
}

/// Nanoseconds of the kernel's `CLOCK_MONOTONIC`, in which its programs tell the time.
pub(crate) fn kernel_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "std has no way to the number behind `Instant`")]
    // SAFETY: the pointer is to a `timespec` of ours.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
    }
    // Neither is negative, and the clock starts at boot.
    now.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec.cast_unsigned())
}

/// What has to be added to [`kernel_ns`] to get nanoseconds since the Unix epoch, as of now.
pub(crate) fn wall_minus_monotonic_ns() -> i64 {
    wall_ns().cast_signed().wrapping_sub(kernel_ns().cast_signed())
}
