//! Pressure stall information. Not there where the kernel was built or started without it.

use std::path::Path;

use super::Collect;
use crate::{
    proc::{ProcFile, ReadError},
    readings::Readings,
};

pub(super) struct Pressure {
    resources: [(ProcFile, &'static str, Option<&'static str>); 3],
}

impl Pressure {
    pub(super) fn new(root: &Path) -> Self {
        let file = |name| ProcFile::new(root, name);
        Self {
            resources: [
                // A CPU never stalls all tasks of the node at once.
                (file("pressure/cpu"), "node_pressure_cpu_waiting_seconds", None),
                (
                    file("pressure/io"),
                    "node_pressure_io_waiting_seconds",
                    Some("node_pressure_io_stalled_seconds"),
                ),
                (
                    file("pressure/memory"),
                    "node_pressure_memory_waiting_seconds",
                    Some("node_pressure_memory_stalled_seconds"),
                ),
            ],
        }
    }
}

impl Collect for Pressure {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        for (file, waiting, stalled) in &mut self.resources {
            file.read(|text| text.lines().try_for_each(|line| parse_line(line, waiting, *stalled, out)))?;
        }
        Ok(())
    }
}

/// A line like `some avg10=0.00 avg60=0.00 avg300=0.00 total=31752895`, the total in microseconds.
fn parse_line(line: &str, waiting: &str, stalled: Option<&str>, out: &mut Readings) -> Option<()> {
    let (share, values) = line.split_once(' ')?;
    let total: u64 =
        values.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()?;
    let name = match share {
        "some" => Some(waiting),
        "full" => stalled,
        _ => return None,
    };
    if let Some(name) = name {
        out.put_one(name, total as f64 / 1e6);
    }
    Some(())
}
