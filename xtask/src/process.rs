//! Runs other programs, in the open: what is run is printed first.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    failure::{Failure, Result},
    workspace,
};

/// The cargo that runs us, in the checkout.
pub(crate) fn cargo() -> Command {
    let mut cargo = command("cargo");
    // Cargo sets these for the program it runs; they are about us, not about what we start.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A program, with the checkout as its working directory and our own tools first on its path.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).env("PATH", path());
    command
}

/// Runs it to its end with our own input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(command));
    let status =
        command.status().map_err(|error| Failure::new(format!("cannot run `{}`: {error}", line(command))))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed ({status})", line(command))))
}

/// Runs it to its end. What it prints is shown only if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(command));
    output(command).map(drop)
}

/// Runs it in silence and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("cannot run `{}`: {error}", line(command))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{}` failed ({})\n{}", line(command), output.status, said.trim_end())))
}

/// Whether it succeeds. What it prints does not matter.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok()
}

fn path() -> OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let own: [PathBuf; 2] = [workspace::tools().join("bin"), workspace::tools().join("venv/bin")];
    // A path with a colon in it cannot be on the path: then our tools are not, and whoever needs them says so.
    env::join_paths(own.into_iter().chain(env::split_paths(&inherited))).unwrap_or(inherited)
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
