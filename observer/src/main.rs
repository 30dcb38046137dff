//! observer: a Linux node agent.
#![deny(unsafe_code)]

mod agent;
#[cfg(test)]
#[expect(unsafe_code, reason = "an allocator that counts, for tests")]
#[path = "../aggregate/tests/support/allocations.rs"]
mod allocations;
mod bpf;
mod cli;
mod clock;
mod config;
mod decode;
mod errno;
mod export;
mod http;
mod memory;
mod metrics;
mod node;
mod proc;
mod readings;
mod relabel;
mod scrape;
mod serve;
mod shard;
mod shutdown;
mod telemetry;
mod trace;
mod window;

use std::{
    error::Error,
    fmt,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::Parser as _;
#[cfg(not(test))]
use mimalloc::MiMalloc;

use cli::{Cli, Command, ConfigCommand, Page, ReportFormat};

/// Gives memory back page by page. The C library's gives back what lies at an end of its heaps: with series that come and go
/// for hours more than half of them was free and not given back.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, ExitCode::FAILURE),
    };
    log_to_stderr(match &cli.command {
        Command::Run(args) => args.kernel_log,
        Command::Trace(args) => args.kernel_log,
        Command::Docs { .. } | Command::Config(_) => false,
    });
    match cli.command {
        Command::Run(args) => match runtime.block_on(agent::run(*args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Docs { page } => print(&match page {
            Page::Metrics => metrics::document(),
            Page::Configuration => config::document(),
        }),
        Command::Config(ConfigCommand::Check { file, output }) => check(file.as_deref(), output),
        Command::Trace(args) => {
            match runtime.block_on(shutdown::until_signal(move |stop| trace::run(&args, stop))) {
                Ok(Ok(())) => ExitCode::SUCCESS,
                Ok(Err(error)) => fail(&error, error.exit_code()),
                Err(error) => fail(&error, ExitCode::FAILURE),
            }
        }
    }
}

/// Says what a configuration comes to; what is wrong with it goes to stderr unless a program reads the answer.
fn check(file: Option<&Path>, output: ReportFormat) -> ExitCode {
    let over = config::Environment::new(agent::variables(), &Cli::variables());
    let loaded = config::load(file, &over);
    let report = config::report(&loaded);
    let printed = match output {
        ReportFormat::Json => print(&format!("{}\n", report.json())),
        ReportFormat::Table => {
            for warning in loaded.iter().flat_map(|(_, warnings)| warnings) {
                say(format_args!("warning: {warning}"));
            }
            print(&report.to_string())
        }
    };
    match (&loaded, output) {
        (Ok(_), _) => printed,
        (Err(error), ReportFormat::Table) => fail(error, error.exit_code()),
        (Err(error), ReportFormat::Json) => error.exit_code(),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

/// Warnings and errors, and what `OBSERVER_LOG` asks for beyond that.
fn log_to_stderr(kernel_too: bool) {
    let default = if kernel_too { "warn,observer_ebpf=trace" } else { "warn" };
    let filter = env_logger::Env::new().filter_or("OBSERVER_LOG", default);
    env_logger::Builder::from_env(filter).format_target(false).format_timestamp_millis().init();
}

/// Prints the chain of causes once, a line each.
fn fail(error: &dyn Error, code: ExitCode) -> ExitCode {
    say(format_args!("{error}"));
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = bpf::first_line(error);
        // Some errors have said what their cause says.
        if !said.contains(&line) {
            // As in `say`.
            let _unheard = writeln!(io::stderr(), "  because {line}");
        }
        said = line;
        cause = error.source();
    }
    code
}

/// Tells the user. Nobody may be listening: that must not end what the agent does.
fn say(line: fmt::Arguments<'_>) {
    let _unheard = writeln!(io::stderr(), "observer: {line}");
}
