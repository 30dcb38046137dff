//! `cargo xtask run`

use crate::{build, failure::Result, process, setup};

/// Sets up what is missing, builds the release binary and starts the agent. What follows `--` is the agent's.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    setup::run(false)?;
    let binary = build::linked_dynamically()?;
    let mut agent = if setup::host::is_root() {
        process::command(&binary)
    } else {
        eprintln!("run: starting the agent through sudo, because only root may load kernel programs");
        let mut sudo = process::command("sudo");
        sudo.arg(&binary);
        sudo
    };
    // Ctrl-C reaches the agent too, and how it ends is how we end.
    process::run(agent.arg("run").args(args))
}
