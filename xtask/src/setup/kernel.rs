//! The tools that compile the kernel programs: a compiler with a `core` for BPF, and bpf-linker.

use super::apt;
use crate::{
    failure::{Failure, Result},
    process,
    toolchain::{self, Core, Missing},
    workspace,
};

const BPF_LINKER: &str = "0.13.0";

pub(crate) fn install() -> Result<()> {
    let target = toolchain::target(if cfg!(target_endian = "big") { "big" } else { "little" });
    let core = match toolchain::core(target) {
        Ok(core) => core,
        Err(_) => install_core(target)?,
    };
    match toolchain::linker(workspace::root()) {
        Ok(_) => Ok(()),
        Err(_) => install_linker(&core),
    }
}

fn install_core(target: &str) -> Result<Core> {
    const DEBIAN: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
    let wanted = "a Rust compiler with the core library for BPF, to compile the kernel programs";
    if apt::offers(&DEBIAN) {
        apt::install(wanted, &DEBIAN)?;
    } else if process::succeeds(process::command("rustup").arg("--version")) {
        eprintln!("setup: installing rustup's nightly with its sources: {wanted}");
        process::run(process::command("rustup").args([
            "toolchain",
            "install",
            "nightly",
            "--profile=minimal",
            "--component=rust-src",
        ]))?;
    } else {
        return Err(Failure::new(format!(
            "{wanted} is missing, and there is neither a Debian package for it (rustc-web, libstd-rust-web-dev-bpf) nor \
             rustup: install rustup, then run `rustup toolchain install nightly --component rust-src`"
        )));
    }
    toolchain::core(target).map_err(|missing: Missing| Failure::new(format!("installed, and yet {missing}")))
}

/// The linker reads what the compiler wrote, so both use the same LLVM.
fn install_linker(core: &Core) -> Result<()> {
    let mut cargo = process::cargo();
    cargo
        .args(["install", "--quiet", "bpf-linker", "--version", BPF_LINKER, "--locked", "--root"])
        .arg(workspace::tools());
    // A target directory that was asked for is for the workspace.
    cargo.env_remove("CARGO_TARGET_DIR");
    match core {
        Core::Prebuilt(rustc) => {
            let version = process::output(process::command(rustc).arg("-vV"))?;
            let llvm = llvm_major(&version)
                .ok_or_else(|| Failure::new(format!("`{} -vV` does not name its LLVM", rustc.display())))?;
            let packages = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
            apt::install("LLVM, which bpf-linker is linked with", &packages.each_ref().map(String::as_str))?;
            cargo.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
            cargo.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"));
        }
        Core::FromSource => {}
    }
    eprintln!("setup: installing bpf-linker {BPF_LINKER} into .tools: it links the kernel programs");
    process::run(&mut cargo)
}

fn llvm_major(version: &str) -> Option<&str> {
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_is_named_by_the_compiler() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(version), Some("22"));
    }

    #[test]
    fn compiler_without_llvm_has_no_version() {
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
