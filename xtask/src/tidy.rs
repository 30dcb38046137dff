//! `cargo xtask tidy`: the rules of docs/architecture.md that a machine can check.

mod crates;
mod docs;
mod source;

use std::fs;

use crate::{
    failure::{Failure, Result},
    process, workspace,
};

/// A file of the checkout.
struct File {
    /// From the root of the checkout.
    path: String,
    text: String,
}

/// Prints every breach, then fails if there is one.
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let mut breaches: Vec<String> = files.iter().flat_map(source::breaches).collect();
    breaches.extend(crates::breaches(&files)?);
    breaches.extend(docs::breaches(&files));
    for file in &files {
        if let Some(note) = source::long(file) {
            eprintln!("note: {note}");
        }
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} breaches of the project's rules"))),
    }
}

/// What is or would be committed, as far as it is text.
fn files() -> Result<Vec<File>> {
    let listed = process::output(process::command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let read = |path: &str| {
        let text = fs::read_to_string(workspace::root().join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    Ok(listed.lines().filter_map(read).collect())
}
