//! Memory: every field of `/proc/meminfo` the table knows.

use std::path::Path;

use super::Collect;
use crate::{
    proc::{ProcFile, ReadError},
    readings::Readings,
};

pub(super) struct Memory {
    meminfo: ProcFile,
    name: String,
}

impl Memory {
    pub(super) fn new(root: &Path) -> Self {
        Self { meminfo: ProcFile::new(root, "meminfo"), name: String::new() }
    }
}

impl Collect for Memory {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { meminfo, name } = self;
        meminfo.read(|text| text.lines().try_for_each(|line| parse_line(line, name, out)))
    }
}

fn parse_line(line: &str, name: &mut String, out: &mut Readings) -> Option<()> {
    let (field, value) = line.split_once(':')?;
    let mut value = value.split_ascii_whitespace();
    let number: f64 = value.next()?.parse().ok()?;
    name.clear();
    name.push_str("node_memory_");
    for c in field.chars() {
        match c {
            '(' => name.push('_'),
            ')' => {}
            c => name.push(c),
        }
    }
    match value.next() {
        Some("kB") => {
            name.push_str("_bytes");
            out.put_one(name, number * 1024.0);
        }
        Some(_) => return None,
        None => out.put_one(name, number),
    }
    Some(())
}
