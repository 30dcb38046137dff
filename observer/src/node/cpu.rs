//! CPU time, scheduling and load.

use std::path::Path;

use super::Collect;
use crate::{
    proc::{ProcFile, ReadError},
    readings::{Readings, push_label},
};

/// The columns of a CPU line of `/proc/stat` in its order. Guest time follows, and is part of `user` and `nice`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];

pub(super) struct Cpu {
    stat: ProcFile,
    ticks_per_second: f64,
    labels: String,
}

pub(super) struct Load {
    loadavg: ProcFile,
}

impl Cpu {
    pub(super) fn new(root: &Path) -> Self {
        let ticks_per_second = procfs::ticks_per_second() as f64;
        Self { stat: ProcFile::new(root, "stat"), ticks_per_second, labels: String::new() }
    }
}

impl Load {
    pub(super) fn new(root: &Path) -> Self {
        Self { loadavg: ProcFile::new(root, "loadavg") }
    }
}

impl Collect for Cpu {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { stat, ticks_per_second, labels } = self;
        stat.read(|text| parse_stat(text, *ticks_per_second, labels, out))
    }
}

impl Collect for Load {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        self.loadavg.read(|text| {
            let mut fields = text.split_ascii_whitespace();
            for name in ["node_load1", "node_load5", "node_load15"] {
                out.put_one(name, fields.next()?.parse().ok()?);
            }
            Some(())
        })
    }
}

fn parse_stat(text: &str, ticks_per_second: f64, labels: &mut String, out: &mut Readings) -> Option<()> {
    let seconds = out.find("node_cpu_seconds")?;
    let guest_seconds = out.find("node_cpu_guest_seconds")?;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(key) = fields.next() else { continue };
        let single = match key {
            "intr" => "node_intr",
            "ctxt" => "node_context_switches",
            "btime" => "node_boot_time_seconds",
            "processes" => "node_forks",
            "procs_running" => "node_procs_running",
            "procs_blocked" => "node_procs_blocked",
            // The line without a number is the sum of the others.
            "cpu" => continue,
            _ => {
                let Some(cpu) = key.strip_prefix("cpu") else { continue };
                let columns = MODES.iter().map(|mode| (seconds, mode));
                let guest_columns = GUEST_MODES.iter().map(|mode| (guest_seconds, mode));
                for (family, mode) in columns.chain(guest_columns) {
                    let ticks: u64 = fields.next()?.parse().ok()?;
                    labels.clear();
                    push_label(labels, "cpu", cpu);
                    push_label(labels, "mode", mode);
                    out.put_steady(family, labels, ticks as f64 / ticks_per_second);
                }
                continue;
            }
        };
        out.put_one(single, fields.next()?.parse().ok()?);
    }
    Some(())
}
