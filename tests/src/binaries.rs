//! Where the programs are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The agent: `OBSERVER_BIN`, or what cargo built beside the tests.
#[must_use]
pub(crate) fn observer() -> PathBuf {
    let path = env::var_os("OBSERVER_BIN").map_or_else(|| built("observer"), PathBuf::from);
    assert!(
        path.is_file(),
        "there is no `{}`: build it with `cargo build -p observer`, or name another by OBSERVER_BIN",
        path.display()
    );
    path
}

/// The program under observation.
pub(crate) fn lifecycle() -> PathBuf {
    built("lifecycle")
}

/// The tests are in `target/PROFILE/deps`, programs one above.
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the kernel knows");
    let directory = test.parent().and_then(Path::parent).expect("tests are in `deps`");
    directory.join(name)
}
