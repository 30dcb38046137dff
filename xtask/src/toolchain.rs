//! Finds the tools that build the kernel object. Compiled into both the agent's build script and `xtask`, so that what
//! `setup` installs is what the build looks for. Standard library only.

use std::{
    env,
    error::Error,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// The compiler Debian ships for browsers. Unlike rustup's stable it has a `core` for the BPF targets beside it.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Where `core` for a BPF target comes from.
pub(crate) enum Core {
    /// This compiler has a prebuilt one. It is a release compiler that must be told to accept unstable features.
    Prebuilt(PathBuf),
    /// rustup's nightly builds it from its own sources.
    FromSource,
}

/// What is not installed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Core,
    Linker,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core => f.write_str("no Rust toolchain here can compile for BPF: run `cargo xtask setup`"),
            Self::Linker => f.write_str("`bpf-linker` is not installed: run `cargo xtask setup`"),
        }
    }
}

impl Error for Missing {}

/// The BPF target of a machine with this byte order.
pub(crate) fn target(endian: &str) -> &'static str {
    match endian {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    }
}

/// Prefers the prebuilt `core`: it needs no nightly and builds in a third of the time.
pub(crate) fn core(target: &str) -> Result<Core, Missing> {
    let debian = PathBuf::from(DEBIAN_RUSTC);
    if sysroot(Command::new(&debian).arg("--print=sysroot")).is_some_and(|root| has_core(&root, target)) {
        return Ok(Core::Prebuilt(debian));
    }
    let nightly = sysroot(Command::new("rustup").args(["run", "nightly", "rustc", "--print=sysroot"]));
    match nightly {
        Some(root) if root.join("lib/rustlib/src/rust/library/core").is_dir() => Ok(Core::FromSource),
        _ => Err(Missing::Core),
    }
}

/// The workspace's own linker wins over one on the path.
pub(crate) fn linker(workspace: &Path) -> Result<PathBuf, Missing> {
    let own = workspace.join(".tools/bin/bpf-linker");
    if own.is_file() {
        return Ok(own);
    }
    on_path("bpf-linker").ok_or(Missing::Linker)
}

/// A program on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Where a compiler keeps its libraries, if it runs at all.
pub(crate) fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc.output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
}

fn has_core(sysroot: &Path, target: &str) -> bool {
    let Ok(libraries) = sysroot.join("lib/rustlib").join(target).join("lib").read_dir() else { return false };
    libraries.flatten().any(|library| library.file_name().to_string_lossy().starts_with("libcore-"))
}
