//! Small bodies that are kept because something is odd about each, and the time to do something to them.

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// The files of a folder in the order of their names.
pub(crate) fn files(folder: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(path).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no bodies in {folder}");
    paths.iter().map(|path| fs::read(path).expect("a body")).collect()
}

/// Calls `round` with one seed after the other for `OBSERVER_FUZZ_SECONDS`, but once at least. The seed that failed is
/// the last one printed; `OBSERVER_FUZZ_SEED` starts with it again.
#[expect(clippy::disallowed_methods, reason = "this is about time")]
pub(crate) fn as_long_as_told(mut round: impl FnMut(u64)) {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (start, seconds) = (Instant::now(), number("OBSERVER_FUZZ_SECONDS").unwrap_or(0));
    let mut seed = number("OBSERVER_FUZZ_SEED").unwrap_or(now << 20);
    loop {
        println!("OBSERVER_FUZZ_SEED={seed}");
        round(seed);
        seed += 1;
        if start.elapsed() >= Duration::from_secs(seconds) {
            return;
        }
    }
}
