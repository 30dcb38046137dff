//! `cargo xtask vm`: the agent on other kernels than this machine's.

mod boot;
mod initramfs;
mod kernel;

use crate::{
    build,
    failure::{Failure, Result},
    setup,
};

/// A kernel that the agent must run on.
struct Kernel {
    name: &'static str,
    /// The Debian that has it.
    suite: &'static str,
}

/// Those that distributions live on, and the newest that can be had. 6.1 has none of the tracepoints for exchanges.
const KERNELS: [Kernel; 3] = [
    Kernel { name: "6.1", suite: "bookworm" },
    Kernel { name: "6.12", suite: "trixie" },
    Kernel { name: "newest", suite: "trixie-backports" },
];

/// What happens in there. Its last line of output is its exit code.
const SELF_TEST: &str = include_str!("vm/self_test.sh");

/// Boots the named kernels, or all, one after the other. Fails at the end if the self-test failed on one.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| KERNELS.iter().all(|kernel| kernel.name != **name)) {
        let known = KERNELS.each_ref().map(|kernel| kernel.name).join(", ");
        return Err(Failure::new(format!("no kernel is called `{unknown}`; there are {known}")));
    }
    setup::run(false)?;
    setup::install_emulator()?;
    let agent = build::linked_statically()?;
    let initramfs = initramfs::write(&agent, SELF_TEST)?;
    let mut failed = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| names.is_empty() || names.contains(&kernel.name)) {
        let image = kernel::fetch(kernel)?;
        eprintln!("\n=== {}: {}", kernel.name, image.display());
        let outcome = boot::run(&image, &initramfs)?;
        print!("{}", outcome.output);
        if outcome.code != Some(0) {
            failed.push(kernel.name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the self-test failed on {}", failed.join(", "))))
}
