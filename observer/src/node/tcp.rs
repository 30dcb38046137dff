//! The network stack's own counters, and its sockets.

use std::path::Path;

use super::Collect;
use crate::{
    proc::{ProcFile, ReadError},
    readings::Readings,
};

pub(super) struct Netstat {
    /// Pairs of lines: names, then values.
    paired: [(ProcFile, Vec<Columns>); 2],
    /// A name and a value a line. Not there without IPv6.
    snmp6: ProcFile,
    name: String,
}

/// A line of names, and the family of each where the table has one. A kernel writes the same names every time.
#[derive(Default)]
struct Columns {
    line: String,
    families: Vec<Option<usize>>,
}

pub(super) struct Sockstat {
    sockstat: ProcFile,
    /// Not there without IPv6.
    sockstat6: ProcFile,
    page_size: f64,
    name: String,
}

impl Netstat {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            paired: ["snmp", "netstat"].map(|path| (ProcFile::network(root, path), Vec::new())),
            snmp6: ProcFile::network(root, "snmp6"),
            name: String::new(),
        }
    }
}

impl Columns {
    fn new(line: &str, out: &Readings) -> Option<Self> {
        let (protocol, names) = line.split_once(':')?;
        let family = |name| out.find(&format!("node_netstat_{protocol}_{name}"));
        Some(Self { line: line.to_owned(), families: names.split_ascii_whitespace().map(family).collect() })
    }
}

impl Sockstat {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            sockstat: ProcFile::network(root, "sockstat"),
            sockstat6: ProcFile::network(root, "sockstat6"),
            page_size: procfs::page_size() as f64,
            name: String::new(),
        }
    }
}

impl Collect for Netstat {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { paired, snmp6, name } = self;
        for (file, columns) in paired {
            file.read(|text| parse_pairs(text, columns, out))?;
        }
        if snmp6.exists() {
            snmp6.read(|text| text.lines().try_for_each(|line| parse_snmp6(line, name, out)))?;
        }
        Ok(())
    }
}

impl Collect for Sockstat {
    fn collect(&mut self, _now_ms: i64, out: &mut Readings) -> Result<(), ReadError> {
        let Self { sockstat, sockstat6, page_size, name } = self;
        sockstat.read(|text| text.lines().try_for_each(|line| parse_sockets(line, *page_size, name, out)))?;
        if sockstat6.exists() {
            sockstat6
                .read(|text| text.lines().try_for_each(|line| parse_sockets(line, *page_size, name, out)))?;
        }
        Ok(())
    }
}

fn parse_pairs(text: &str, known: &mut Vec<Columns>, out: &mut Readings) -> Option<()> {
    let mut lines = text.lines();
    let mut pair = 0;
    while let Some(line) = lines.next() {
        if known.len() == pair {
            known.push(Columns::default());
        }
        let columns = &mut known[pair];
        if columns.line != line {
            *columns = Columns::new(line, out)?;
        }
        let (protocol, _) = line.split_once(':')?;
        let mut values = lines.next()?.strip_prefix(protocol)?.strip_prefix(':')?.split_ascii_whitespace();
        for family in &columns.families {
            let value = values.next()?;
            if let Some(family) = family {
                out.put(*family, "", value.parse().ok()?);
            }
        }
        pair += 1;
    }
    Some(())
}

/// A line like `Udp6NoPorts   7`: the protocol's name ends at its 6.
fn parse_snmp6(line: &str, name: &mut String, out: &mut Readings) -> Option<()> {
    let mut words = line.split_ascii_whitespace();
    let (field, value) = (words.next()?, words.next()?.parse().ok()?);
    let (protocol, field) = field.split_at(field.find('6')? + 1);
    put(&["node_netstat_", protocol, "_", field], value, name, out);
    Some(())
}

/// A line like `TCP: inuse 1 mem 334`.
fn parse_sockets(line: &str, page_size: f64, name: &mut String, out: &mut Readings) -> Option<()> {
    let (protocol, pairs) = line.split_once(':')?;
    let mut words = pairs.split_ascii_whitespace();
    while let Some(field) = words.next() {
        let value: f64 = words.next()?.parse().ok()?;
        put(&["node_sockstat_", protocol, "_", field], value, name, out);
        // Counted in pages.
        if field == "mem" {
            put(&["node_sockstat_", protocol, "_mem_bytes"], value * page_size, name, out);
        }
    }
    Some(())
}

fn put(parts: &[&str], value: f64, name: &mut String, out: &mut Readings) {
    name.clear();
    name.extend(parts.iter().copied());
    out.put_one(name, value);
}
