//! Where things are in the checkout.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Everything that `setup` installs and that is not a system package.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}
