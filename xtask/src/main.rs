//! observer's build, test and check commands.

mod build;
mod delivery;
mod failure;
mod fuzz;
mod process;
mod run;
mod setup;
mod suite;
mod test;
mod tidy;
mod toolchain;
mod vm;
mod workspace;

use std::{env, process::ExitCode};

use failure::{Failure, Result};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [--tests]     install what the build needs and this machine lacks; with --tests also the peers the tests run
  setup --bench       the same and the newest scrapers Debian has, for bench/ to measure beside ours
  build [--static]    build the release binary; --static: one file without any library
  run [-- ARGS]       set up, build and start the agent, with these arguments after `observer run`
  test                set up and run everything that must hold before a change lands; as root
  delivery            the long tests: remote write into real stores, ten minutes each; fifty kills; 200,000 series; set up by `setup --tests`
  fuzz SECONDS        do odd things to exporters' bodies for that long, and see that every reader agrees about them
  tidy                check the project's own rules; part of `test`
  vm [KERNEL ...]     run the static agent on other kernels under QEMU: 6.1, 6.12, newest; all if none is named
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
        ["setup", "--bench"] => setup::bench(),
        ["build"] => build::run(false),
        ["build", "--static"] => build::run(true),
        ["run"] => run::run(&[]),
        ["run", "--", args @ ..] => run::run(args),
        ["test"] => test::run(),
        ["delivery"] => delivery::run(),
        ["fuzz", seconds] => fuzz::run(seconds),
        ["tidy"] => tidy::run(),
        ["vm", kernels @ ..] => vm::run(kernels),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("`{}` is not a command\n\n{USAGE}", args.join(" ")))),
    }
}
