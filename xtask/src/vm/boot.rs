//! QEMU without acceleration: slow, and the same everywhere.

use std::{fs, path::Path};

use crate::{
    failure::{Failure, Result},
    process, workspace,
};

/// How a machine ended.
pub(super) struct Outcome {
    /// What the script printed.
    pub(super) output: String,
    /// `None` if it ended without a word, or not in time.
    pub(super) code: Option<u32>,
}

/// Seconds. Booting takes 3 to 10 of them.
const LIMIT: &str = "120";

pub(super) fn run(kernel: &Path, initramfs: &Path) -> Result<Outcome> {
    let said = workspace::tools().join("vm-output");
    let console = workspace::tools().join("vm-console");
    let machine = process::run(
        process::command("timeout")
            .args([
                "--kill-after=5",
                LIMIT,
                "qemu-system-x86_64",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max",
            ])
            .args([
                "-machine",
                "q35",
                "-smp",
                "2",
                "-m",
                "768",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-serial", &format!("file:{}", said.display())]),
    );
    let output = fs::read(&said).map_err(|error| Failure::new(format!("{}: {error}", said.display())))?;
    let output = String::from_utf8_lossy(&output).replace('\r', "");
    let code = code(&output);
    if code.is_none() {
        let console = fs::read_to_string(&console).unwrap_or_default();
        eprintln!("vm: no verdict ({machine:?}); the kernel's last words:\n{}", last(&console, 25));
    }
    Ok(Outcome { output, code })
}

/// What the script's last line says.
fn code(output: &str) -> Option<u32> {
    output.lines().rev().find_map(|line| line.rsplit_once(": exit code ")?.1.parse().ok())
}

fn last(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_in_the_last_line() {
        assert_eq!(code("x\nkernel 6.1.0: exit code 3\n"), Some(3));
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(code("kernel panic\n"), None);
    }
}
