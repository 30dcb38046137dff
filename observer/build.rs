//! Compiles the kernel programs and leaves the object at `$OUT_DIR/observer-ebpf`, which the agent embeds.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use toolchain::Core;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Cargo shows one line per directive.
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    for input in ["observer-ebpf", "xtask/src/toolchain.rs", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let target = toolchain::target(&env::var("CARGO_CFG_TARGET_ENDIAN")?);
    let linker = toolchain::linker(&workspace)?;
    println!("cargo::rerun-if-changed={}", linker.display());
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target_dir = shared(&out).join("kernel").join(&arch);

    let mut cargo = cargo(&toolchain::core(target)?)?;
    cargo
        .current_dir(&workspace)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "observer-ebpf",
            "--bin",
            "observer-ebpf",
        ])
        .args(["--target", target, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&arch, &linker));
    let output = cargo.output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the kernel programs do not build\n{messages}").into());
    }
    for line in messages.lines() {
        println!("cargo::warning={line}");
    }
    strip(&target_dir.join(target).join("release/observer-ebpf"), &out.join("observer-ebpf"))
}

/// The outer target directory: the object is the same for every profile and target of the agent, and compiled once.
fn shared(out: &Path) -> &Path {
    // `out` is `<target>/[<triple>/]<profile>/build/<package>/out`.
    out.ancestors().take(6).filter(|dir| dir.join("CACHEDIR.TAG").is_file()).last().unwrap_or(out)
}

/// A cargo that knows nothing of the one that started us: neither its compiler and lint wrappers nor its flags, profile
/// and target directory apply to the kernel side.
fn cargo(core: &Core) -> Result<Command, env::VarError> {
    let mut cargo = match core {
        Core::Prebuilt(_) => Command::new(env::var("CARGO")?),
        Core::FromSource => Command::new("rustup"),
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_outer) {
            cargo.env_remove(name);
        }
    }
    // Empty rather than unset, so that they also win over a configuration file.
    cargo.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    match core {
        // aya-ebpf needs `asm_experimental_arch`.
        Core::Prebuilt(rustc) => cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1"),
        Core::FromSource => cargo.args(["run", "nightly", "cargo", "-Zbuild-std=core"]),
    };
    Ok(cargo)
}

/// Whether a variable belongs to the outer build. What says where crates come from and how many jobs may run stays.
fn is_outer(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];
    let cargos = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let compilers = name.starts_with("RUSTC") || name.starts_with("RUSTDOC") || name.starts_with("CLIPPY");
    cargos
        || compilers
        || matches!(name, "RUSTFLAGS" | "RUSTUP_TOOLCHAIN" | "LD_LIBRARY_PATH" | "OUT_DIR" | "TARGET")
}

fn flags(arch: &str, linker: &Path) -> String {
    let arch = if arch.starts_with("riscv64") { "riscv64" } else { arch };
    [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        format!("-Clinker={}", linker.display()),
        // Atomics that return the old value, and 32-bit jumps.
        "-Ctarget-cpu=v3".into(),
        // The kernel's view of our types, which BTF maps and `tp_btf` programs need, is made from debug information.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ]
    .join("\x1f")
}

/// Leaves out DWARF, nine tenths of the object. `.BTF` and `.BTF.ext` stay.
fn strip(object: &Path, stripped: &Path) -> Result<(), Box<dyn Error>> {
    let Some(mut objcopy) = objcopy() else {
        println!("cargo::warning=no `llvm-objcopy` found: the kernel object keeps its debug information");
        fs::copy(object, stripped)?;
        return Ok(());
    };
    let output = objcopy.arg("--strip-debug").arg(object).arg(stripped).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cannot strip the kernel object: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// LLVM's own from the path, or the one inside the Rust toolchain, which finds its library nowhere by itself.
fn objcopy() -> Option<Command> {
    if let Some(objcopy) = toolchain::on_path("llvm-objcopy") {
        return Some(Command::new(objcopy));
    }
    let sysroot = toolchain::sysroot(Command::new(env::var_os("RUSTC")?).arg("--print=sysroot"))?;
    let objcopy = sysroot.join("lib/rustlib").join(env::var_os("HOST")?).join("bin/rust-objcopy");
    let mut command = Command::new(&objcopy);
    command.env("LD_LIBRARY_PATH", sysroot.join("lib"));
    objcopy.is_file().then_some(command)
}
