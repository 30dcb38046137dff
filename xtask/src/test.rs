//! `cargo xtask test`: everything that must hold before a change lands.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    failure::{Failure, Result},
    process, setup, tidy, workspace,
};

type Step = fn() -> Result<()>;

/// In this order: what fails fast comes first.
const STEPS: [(&str, Step); 8] = [
    ("set-up", || setup::run(true)),
    ("format", || process::run(process::cargo().args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("dependencies", dependencies),
    ("lints", lints),
    ("documents", documents),
    ("unit tests", unit_tests),
    ("integration tests", integration_tests),
];

/// Stops at the first step that fails.
pub(crate) fn run() -> Result<()> {
    if !setup::host::is_root() {
        return Err(Failure::new(
            "the tests load kernel programs and make network namespaces, so they run as root: \
             `sudo -E env \"PATH=$PATH\" cargo xtask test`",
        ));
    }
    let mut times = Vec::new();
    for (name, step) in STEPS {
        eprintln!("\n=== {name}");
        let started = now();
        step().map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
        times.push(format!("{name} {}", seconds(started.elapsed())));
    }
    eprintln!("\nall passed: {}", times.join(", "));
    Ok(())
}

/// Licences, sources and advisories, where somebody installed the tool for it. It takes longer to compile than
/// everything else here together; that no crate is there twice is checked by `tidy` in any case.
fn dependencies() -> Result<()> {
    if process::succeeds(process::cargo().args(["deny", "--version"])) {
        return process::run(process::cargo().args(["deny", "check", "licenses", "bans", "sources"]));
    }
    eprintln!("skipped: cargo-deny is not installed");
    Ok(())
}

fn lints() -> Result<()> {
    process::run(process::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// A generated document is what the binary prints today.
fn documents() -> Result<()> {
    process::run(process::cargo().args(["build", "--package", "observer"]))?;
    let document = workspace::root().join("docs/metrics.md");
    let printed = process::output(process::command(observer()).args(["docs", "metrics"]))?;
    let written = fs::read_to_string(&document).unwrap_or_default();
    if printed == written {
        return Ok(());
    }
    Err(Failure::new(
        "docs/metrics.md is not what `observer docs metrics` prints: redirect it there and commit",
    ))
}

/// Each library by itself, without a kernel or a network.
fn unit_tests() -> Result<()> {
    let rest = ["--workspace", "--exclude", "observer-tests"];
    if has_nextest() {
        process::run(process::cargo().args(["nextest", "run", "--no-fail-fast"]).args(rest))?;
        // nextest does not run the examples in the documentation.
        return process::run(process::cargo().args(["test", "--doc"]).args(rest));
    }
    process::run(process::cargo().args(["test", "--no-fail-fast"]).args(rest))
}

/// The real binary against the running kernel. One at a time, because they measure time on a machine they share.
fn integration_tests() -> Result<()> {
    let tests = if has_nextest() {
        ["nextest", "run", "--no-fail-fast", "--package", "observer-tests", "--test-threads", "1"].as_slice()
    } else {
        ["test", "--no-fail-fast", "--package", "observer-tests", "--", "--test-threads", "1"].as_slice()
    };
    // The mount lasts as long as the tests do, and nobody else sees it.
    const IN_PRIVATE: &str =
        "[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec \"$@\"";
    process::run(
        process::command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", IN_PRIVATE, "sh", "cargo"])
            .args(tests)
            .env("OBSERVER_BIN", observer()),
    )
}

fn observer() -> PathBuf {
    workspace::target().join("debug/observer")
}

fn has_nextest() -> bool {
    process::succeeds(process::cargo().args(["nextest", "--version"]))
}

#[expect(clippy::disallowed_methods, reason = "how long a step takes is for the person who waits for it")]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> String {
    format!("{:.0} s", duration.as_secs_f64())
}
