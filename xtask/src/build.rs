//! `cargo xtask build`

use std::path::PathBuf;

use crate::{
    failure::{Failure, Result},
    process, setup, workspace,
};

/// Sets up what is missing and builds the release binary.
pub(crate) fn run(fixed: bool) -> Result<()> {
    setup::run(false)?;
    let binary = if fixed { linked_statically()? } else { linked_dynamically()? };
    let size =
        binary.metadata().map_err(|error| Failure::new(format!("{}: {error}", binary.display())))?.len();
    println!("{} ({:.1} MiB)", binary.display(), size as f64 / f64::from(1 << 20));
    Ok(())
}

/// The binary for this machine.
pub(crate) fn linked_dynamically() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
    Ok(workspace::target().join("release/observer"))
}

/// The binary for an empty container image. The target is named so that the flag does not reach build scripts and
/// procedural macros, which cannot be linked that way.
pub(crate) fn linked_statically() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    process::run(
        process::cargo()
            .args(["build", "--release", "--package", "observer", "--target", &target])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    Ok(workspace::target().join(target).join("release/observer"))
}
