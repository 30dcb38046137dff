//! observer's build, test and check commands.

mod build;
mod failure;
mod process;
mod setup;
mod toolchain;
mod workspace;

use std::{env, process::ExitCode};

use failure::{Failure, Result};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [--tests]     install what the build needs and this machine lacks; with --tests also the peers the tests run
  build [--static]    build the release binary; --static: one file without any library
";

fn main() -> ExitCode {
    match dispatch(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["setup"] => setup::run(false),
        ["setup", "--tests"] => setup::run(true),
        ["build"] => build::run(false),
        ["build", "--static"] => build::run(true),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("`{}` is not a command\n\n{USAGE}", args.join(" ")))),
    }
}
