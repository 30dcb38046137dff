//! What the figures were taken on.

use std::{fs, process::Command};

use crate::Result;

/// One line that stands above every result.
pub(crate) fn describe() -> String {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = text("/proc/cpuinfo");
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let date =
        Command::new("date").args(["-u", "+%F %H:%M UTC"]).output().map(|o| o.stdout).unwrap_or_default();
    format!(
        "{}; {cpus} x {model}; Linux {}; load average {}",
        String::from_utf8_lossy(&date).trim(),
        text("/proc/sys/kernel/osrelease").trim(),
        load_average()
    )
}

/// Of the last minute, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// CPU seconds the whole machine has spent since it started, in processes, interrupts and the kernel.
pub(crate) fn cpu_seconds() -> Result<f64> {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq
    let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else {
        return Err("the first line of /proc/stat has no seven numbers".into());
    };
    Ok((user + nice + system + irq + softirq) as f64 / TICKS_A_SECOND)
}

/// A line of `/proc/meminfo`, in bytes.
pub(crate) fn memory(name: &str) -> Result<u64> {
    field(&fs::read_to_string("/proc/meminfo")?, name)
}

/// A line of a process' status, in bytes.
pub(crate) fn process_memory(pid: u32, name: &str) -> Result<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status"))?, name)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split_ascii_whitespace().next())
        .ok_or_else(|| format!("`{name}` is not there"))?;
    Ok(kib.parse::<u64>()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "SlabX:      1 kB\nSlab:       2 kB\n";
        assert_eq!(field(text, "Slab").expect("there"), 2048);
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(field("", "Slab").expect_err("not there").to_string(), "`Slab` is not there");
    }
}
