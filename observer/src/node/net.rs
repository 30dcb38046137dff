//! Network devices.

use std::path::Path;

use super::Collect;
use crate::{
    metrics::node,
    proc::{ProcFile, ReadError},
    readings::{Readings, push_label},
};

pub(super) struct Devices {
    dev: ProcFile,
    labels: String,
}

impl Devices {
    pub(super) fn new(root: &Path) -> Self {
        Self { dev: ProcFile::network(root, "dev"), labels: String::new() }
    }
}

impl Collect for Devices {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { dev, labels } = self;
        // The first two lines are the table's head.
        dev.read(|text| text.lines().skip(2).try_for_each(|line| parse_device(line, labels, out)))
    }
}

fn parse_device(line: &str, labels: &mut String, out: &mut Readings) -> Option<()> {
    let (device, counters) = line.rsplit_once(':')?;
    labels.clear();
    push_label(labels, "device", device.trim_ascii());
    let mut counters = counters.split_ascii_whitespace();
    for family in 0..node::NETWORK.len() {
        out.put(family, labels, counters.next()?.parse().ok()?);
    }
    Some(())
}
