//! Rules about single lines of source.

use super::File;

/// A line that one kind of file must not have.
struct Rule {
    /// Which files it is about.
    applies: fn(path: &str) -> bool,
    /// Whether this line breaks it. Comments are cut off.
    broken: fn(code: &str) -> bool,
    /// What to do instead.
    says: &'static str,
}

const RULES: [Rule; 8] = [
    Rule {
        applies: |path| path.starts_with("observer/src/") && !is_under(path, "observer/src/bpf"),
        broken: |code| words(code).any(|word| matches!(word, "aya" | "aya_log" | "aya_obj")),
        says: "only `bpf` names aya",
    },
    Rule {
        applies: |path| path.starts_with("observer-ebpf/src/") && path != "observer-ebpf/src/emit.rs",
        broken: |code| words(code).any(|word| word == "RingBuf"),
        says: "only `emit` touches the ring",
    },
    Rule {
        applies: |path| path.starts_with("observer/aggregate/src/"),
        broken: |code| {
            const OUTSIDE: [&str; 10] = [
                "std::fs",
                "std::io",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "std::thread",
                "std::process",
                "Instant",
                "SystemTime",
                "tokio",
            ];
            OUTSIDE.iter().any(|name| code.contains(name))
        },
        says: "the core does no I/O and reads no clock",
    },
    Rule {
        applies: |path| path.starts_with("observer/exposition/src/"),
        broken: |code| ["std::fs", "TcpStream", "tokio"].iter().any(|name| code.contains(name)),
        says: "exposition takes bytes and gives samples, it does no I/O",
    },
    Rule {
        applies: |path| is_rust(path) && !may_be_unsafe(path),
        broken: |code| {
            words(code).any(|word| word == "unsafe")
                && !code.contains("#[unsafe(")
                && !code.contains("#![unsafe(")
        },
        says: "`unsafe` only in the modules listed in xtask/src/tidy/source.rs",
    },
    Rule {
        applies: is_rust,
        broken: |code| code.contains("#[allow") || code.contains("#![allow"),
        says: "`#[expect(.., reason = \"..\")]` instead: it says why, and when it is no longer needed",
    },
    Rule {
        applies: is_rust,
        broken: |code| code.contains("todo!(") || code.contains("unimplemented!("),
        says: "finish it, or leave it out",
    },
    Rule {
        applies: |path| path.starts_with("tests/tests/"),
        broken: |code| code.contains("sleep("),
        says: "wait for a condition, not for a time",
    },
];

/// Paths of somebody's machine, which mean nothing on another.
const FOREIGN: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Where `unsafe` has a reason to be. Each block there says why its precondition holds.
const UNSAFE: [&str; 9] = [
    // Everything a kernel program does with a pointer or a helper.
    "observer-ebpf/src",
    // Raw system calls that aya has no wrapper for.
    "observer/src/bpf",
    // Vector instructions.
    "observer/exposition/src/cpu",
    // An allocator that counts.
    // Records are read from bytes in one place, the kernel's clock in another.
    "observer/src/decode",
    "observer/src/clock",
    // An allocator that counts.
    "observer/aggregate/tests/support/allocations",
    // Empty programs, iterators and a namespace, which neither aya nor the standard library makes.
    "bench/src/sys",
    // Sockets in states and namespaces that the standard library cannot make.
    "tests/src",
    "tests/tests",
];

/// Past this many lines, tests included, a file wants to be two.
const LONG: usize = 600;

pub(super) fn breaches(file: &File) -> Vec<String> {
    let File { path, text } = file;
    let mut found = Vec::new();
    if path.ends_with("/mod.rs") {
        found.push(format!("{path}: `foo.rs` beside `foo/` instead of `mod.rs`"));
    }
    for (line, number) in text.lines().zip(1..) {
        if let Some(foreign) = FOREIGN.iter().find(|foreign| line.contains(*foreign)) {
            found.push(format!("{path}:{number}: `{foreign}` is a path of one machine"));
        }
        let code = code(path, line);
        for rule in RULES.iter().filter(|rule| (rule.applies)(path) && (rule.broken)(&code)) {
            found.push(format!("{path}:{number}: {}", rule.says));
        }
    }
    found
}

pub(super) fn long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (is_rust(&file.path) && lines > LONG).then(|| format!("{}: {lines} lines", file.path))
}

/// The line without its comment and its literals, as far as one line shows them.
fn code(path: &str, line: &str) -> String {
    if !is_rust(path) {
        return line.to_owned();
    }
    let outside: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    match outside.split_once("//") {
        Some((code, _comment)) => code.to_owned(),
        None => outside,
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn may_be_unsafe(path: &str) -> bool {
    UNSAFE.iter().any(|module| is_under(path, module))
}

/// Whether a path is a module's file or inside its folder.
fn is_under(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let found = breaches(&File { path: path.to_owned(), text: text.to_owned() });
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn aya_belongs_to_bpf() {
        check("observer/src/agent.rs", "use aya::Ebpf;", &["agent.rs:1: only `bpf` names aya"]);
        check("observer/src/bpf/ring.rs", "use aya::Ebpf;", &[]);
        check("observer/src/bpf.rs", "use aya::Ebpf;", &[]);
        check("observer/src/bpfish.rs", "use aya::Ebpf;", &["only `bpf` names aya"]);
    }

    #[test]
    fn comments_may_name_anything() {
        check("observer/src/agent.rs", "// aya cannot pass the map here", &[]);
    }

    #[test]
    fn the_ring_belongs_to_emit() {
        check("observer-ebpf/src/connect.rs", "use aya_ebpf::maps::RingBuf;", &["only `emit`"]);
        check("observer-ebpf/src/emit.rs", "use aya_ebpf::maps::RingBuf;", &[]);
    }

    #[test]
    fn the_core_reads_no_clock() {
        check("observer/aggregate/src/window.rs", "let now = Instant::now();", &["reads no clock"]);
    }

    #[test]
    fn unsafe_is_for_listed_modules() {
        check("observer/src/agent.rs", "unsafe { libc::getpid() };", &["`unsafe` only"]);
        check("observer/src/bpf/sweep.rs", "unsafe { libc::getpid() };", &[]);
        check("observer/src/agent.rs", "#[expect(unsafe_code, reason = \"x\")]", &[]);
    }

    #[test]
    fn literals_are_not_code() {
        check("observer/src/agent.rs", r#"let url = "http://x"; let word = "unsafe";"#, &[]);
        check("observer/src/agent.rs", r#"let url = "http://x"; unsafe { f() };"#, &["`unsafe` only"]);
    }

    #[test]
    fn silenced_lints_are_found() {
        check("xtask/src/run.rs", "#[allow(dead_code)]", &["`#[expect"]);
    }

    #[test]
    fn outer_tests_do_not_sleep() {
        check("tests/tests/outcomes.rs", "thread::sleep(SECOND);", &["wait for a condition"]);
    }

    #[test]
    fn machine_paths_are_found_in_any_file() {
        check("README.md", concat!("run /ho", "me/me/observer"), &["a path of one machine"]);
    }

    #[test]
    fn mod_files_are_found() {
        check("observer/src/node/mod.rs", "", &["instead of `mod.rs`"]);
    }

    #[test]
    fn long_files_are_noted() {
        let file = |lines| File { path: "a.rs".to_owned(), text: "\n".repeat(lines) };
        assert_eq!(long(&file(LONG)), None);
        assert_eq!(long(&file(LONG + 1)), Some("a.rs: 601 lines".to_owned()));
    }
}
