//! `cargo xtask delivery`: the tests of exports and of the page that take too long for every change.

use crate::{failure::Result, process, workspace};

/// One at a time: each has the machine to itself.
pub(crate) fn run() -> Result<()> {
    process::run(process::cargo().args(["build", "--package", "observer"]))?;
    process::run(
        process::cargo()
            .args(["test", "--package", "observer-tests", "--no-fail-fast"])
            .args([
                "--test",
                "remote_write_stores",
                "--test",
                "remote_write_durable",
                "--test",
                "agent_large_page",
            ])
            .args(["--", "--ignored", "--test-threads", "1", "--nocapture"])
            .env("OBSERVER_BIN", workspace::target().join("debug/observer")),
    )
}
