//! The program under observation: a process of a name of its own that does with its sockets what its words say.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match observer_tests::program::main(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
