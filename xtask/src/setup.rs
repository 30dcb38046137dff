//! `cargo xtask setup`: installs what is missing, after saying what and why.

mod apt;
pub(crate) mod host;
mod kernel;
mod peers;

use crate::failure::Result;

/// Does nothing, quickly, when everything is there.
pub(crate) fn run(tests: bool) -> Result<()> {
    kernel::install()?;
    if tests {
        peers::install()?;
    }
    for gap in host::gaps() {
        eprintln!("note: {gap}");
    }
    Ok(())
}

/// What the build needs, and the peers that `bench/` measures. Those that tests need too come with them.
pub(crate) fn bench() -> Result<()> {
    run(false)?;
    peers::unpack_newest()
}

/// What `cargo xtask vm` boots other kernels with.
pub(crate) fn install_emulator() -> Result<()> {
    apt::install(
        "a machine to boot other kernels on, and a shell for it",
        &["qemu-system-x86", "busybox-static"],
    )
}
