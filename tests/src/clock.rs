//! The only module that reads a clock, and the only way to wait: for a condition, with a deadline.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Long enough for anything that is going to happen, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this module is where the tests read the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock. The kernel stamps packets with it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this module is where the tests read the clock")]
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

thread_local! {
    static PATIENT: Cell<Duration> = const { Cell::new(PATIENCE) };
}

/// Runs something in which [`wait`] waits for longer.
pub fn with_patience<T>(patience: Duration, run: impl FnOnce() -> T) -> T {
    let before = PATIENT.replace(patience);
    let result = run();
    PATIENT.set(before);
    result
}

/// Asks `ready` until it gives a value, or says so when [`PATIENCE`] ran out.
pub fn wait<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > PATIENT.get() {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// As [`wait`], and a failed test when it never happens.
#[track_caller]
pub fn wait_for<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    match wait(ready) {
        Some(value) => value,
        None => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Lets time go by, where the moment is what a test is about.
pub fn pause(time: Duration) {
    thread::sleep(time);
}
