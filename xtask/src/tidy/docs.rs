//! What documents say that shows something is there.

use std::{collections::HashMap, path::Path};

use super::File;

/// Pages that the agent writes name metrics and keys.
const GENERATED: [&str; 2] = ["docs/metrics.md", "docs/configuration.md"];

/// Tests and source files that a document names and that are not there.
pub(super) fn breaches(files: &[File]) -> Vec<String> {
    let mut functions: HashMap<&str, Vec<&str>> = HashMap::new();
    for File { path, text } in files.iter().filter(|file| is_rust(&file.path)) {
        for name in text.lines().filter_map(function) {
            functions.entry(name).or_default().push(path);
        }
    }
    let mut breaches = Vec::new();
    for File { path, text } in files.iter().filter(|file| is_document(&file.path)) {
        for (line, number) in text.lines().zip(1..) {
            // What stands between two ticks.
            for name in line.split('`').skip(1).step_by(2) {
                let there = match kind(name) {
                    Kind::Function { module, function } => functions.get(function).is_some_and(|paths| {
                        paths.iter().any(|path| module.is_none_or(|module| is_in(path, module)))
                    }),
                    Kind::Source => files.iter().any(|file| Path::new(&file.path).ends_with(name)),
                    Kind::Other => true,
                };
                if !there {
                    breaches.push(format!("{path}:{number}: there is no `{name}`"));
                }
            }
        }
    }
    breaches
}

enum Kind<'a> {
    Function { module: Option<&'a str>, function: &'a str },
    Source,
    Other,
}

/// Tests have long names: claims. Words with fewer parts may be anything.
fn kind(name: &str) -> Kind<'_> {
    let is_word = |text: &str| {
        !text.starts_with('_')
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let is_claim =
        |text: &str| is_word(text) && text.matches('_').count() >= 4 && !text.starts_with("observer_");
    match name.split_once("::") {
        Some((module, function)) if is_word(module) && is_claim(function) => {
            Kind::Function { module: Some(module), function }
        }
        None if is_claim(name) => Kind::Function { module: None, function: name },
        None if is_rust(name) && !name.contains('*') => Kind::Source,
        _ => Kind::Other,
    }
}

fn function(line: &str) -> Option<&str> {
    let (before, behind) = line.split_once("fn ")?;
    let name = behind.split(['(', '<']).next()?;
    before
        .split_whitespace()
        .all(|word| matches!(word, "async" | "const" | "pub" | "pub(crate)" | "pub(super)"))
        .then_some(name)
}

/// Whether the module is the file's, or one that it is part of.
fn is_in(path: &str, module: &str) -> bool {
    path.split('/').any(|part| part.strip_suffix(".rs").unwrap_or(part) == module)
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_document(path: &str) -> bool {
    path.starts_with("docs/") && path.ends_with(".md") && !GENERATED.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(says: &str, expected: &[&str]) {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file("docs/a.md", says),
            file("a/tests/samples.rs", "#[test]\nfn a_sample_comes_as_it_is() {}\n"),
            file("a/src/b/judge.rs", "    async fn what_was_not_written_is_refused() {}\n"),
        ];
        assert_eq!(breaches(&files), expected);
    }

    #[test]
    fn tests_and_files_that_are_named_are_there() {
        check("`samples::a_sample_comes_as_it_is`, `what_was_not_written_is_refused`", &[]);
        check("`b/judge.rs`, `judge.rs`; `b::what_was_not_written_is_refused`", &[]);
        check(
            "| x |\n| `judge::a_sample_comes_as_it_is` |",
            &["docs/a.md:2: there is no `judge::a_sample_comes_as_it_is`"],
        );
        check("`a_sample_comes_as_it_was`", &["docs/a.md:1: there is no `a_sample_comes_as_it_was`"]);
        check("`tests/judge.rs`", &["docs/a.md:1: there is no `tests/judge.rs`"]);
    }

    #[test]
    fn metrics_keys_and_paths_are_none() {
        check(
            "`observer_a_b_c_total`, `queue_config`, `__name__`, `std::mem`, `GET /a_b_c_d_e`, `*.rs`",
            &[],
        );
    }
}
