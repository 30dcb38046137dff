//! The node's own figures, read from `/proc` once a window.
//!
//! They carry node_exporter's names, because the dashboards and alerts that exist ask for these. Beside a scraped
//! node_exporter the page would then say everything twice, under other labels, and a `sum` over it would be double. A
//! collector therefore yields, whole, when a target already exports its first family; another name of our own for the same
//! figure would spare that rule and leave every dashboard empty.
//!
//! The readers are written here rather than taken from `procfs`, whose parsers for these files make 609 allocations and take
//! 120 µs where the kernel needs 31 µs to write them; a reading every second is part of the allocation-free path. What they
//! parse is a few words a line; the constants of the running kernel are the crate's.

use std::{error::Error as _, path::Path};

use log::{info, warn};
use observer_aggregate::family::Family;

use crate::{
    metrics::{Metric, node, own},
    proc::ReadError,
    readings::{Readings, push_label},
};

mod cpu;
mod memory;
mod net;
mod pressure;
mod system;
mod tcp;

/// A collector before it is made: its name, its families, and how to make it for a root of `/proc`.
struct Definition {
    name: &'static str,
    /// A target's family of the name of the very first silences the collector.
    tables: &'static [&'static [Metric]],
    open: fn(&Path) -> Box<dyn Collect>,
}

const COLLECTORS: [Definition; 10] = [
    Definition { name: "time", tables: &[node::TIME], open: |_| Box::new(system::Time) },
    Definition { name: "cpu", tables: &[node::CPU], open: |root| Box::new(cpu::Cpu::new(root)) },
    Definition { name: "loadavg", tables: &[node::LOAD], open: |root| Box::new(cpu::Load::new(root)) },
    Definition {
        name: "meminfo",
        tables: &[node::MEMORY, node::MEMORY_PAGES],
        open: |root| Box::new(memory::Memory::new(root)),
    },
    Definition {
        name: "pressure",
        tables: &[node::PRESSURE],
        open: |root| Box::new(pressure::Pressure::new(root)),
    },
    Definition {
        name: "filefd",
        tables: &[node::FILEFD],
        open: |root| Box::new(system::FileHandles::new(root)),
    },
    Definition { name: "netdev", tables: &[node::NETWORK], open: |root| Box::new(net::Devices::new(root)) },
    Definition {
        name: "sockstat",
        tables: &[node::SOCKSTAT, node::SOCKSTAT_BYTES],
        open: |root| Box::new(tcp::Sockstat::new(root)),
    },
    Definition { name: "netstat", tables: &[node::NETSTAT], open: |root| Box::new(tcp::Netstat::new(root)) },
    Definition { name: "uname", tables: &[node::UNAME], open: |root| Box::new(system::Uname::new(root)) },
];

/// The names of all collectors, for the configuration.
pub(crate) fn collectors() -> impl Iterator<Item = &'static str> {
    COLLECTORS.iter().map(|definition| definition.name)
}

/// The families that silence a collector, in the order of the collectors.
pub(crate) const FIRST: [&str; COLLECTORS.len()] = {
    let mut names = [""; COLLECTORS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = COLLECTORS[at].tables[0][0].name;
        at += 1;
    }
    names
};

/// What to read, and when not to.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Out of [`collectors`].
    pub(crate) collectors: Vec<String>,
    /// Whether a collector is silent where a target exports its families.
    pub(crate) yields: bool,
}

/// All collectors of a node.
pub(crate) struct Node {
    collectors: Vec<Collector>,
    states: Readings,
    yields: bool,
}

/// Reads its files into its families.
trait Collect: Send {
    fn collect(&mut self, now_ms: i64, out: &mut Readings) -> Result<(), ReadError>;
}

struct Collector {
    definition: &'static Definition,
    labels: String,
    files: Box<dyn Collect>,
    readings: Readings,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Failed,
    Yielded,
}

impl Default for Options {
    fn default() -> Self {
        Self { collectors: collectors().map(String::from).collect(), yields: true }
    }
}

impl Node {
    /// Opens nothing yet. `root` is `/proc`, or where the node's is mounted.
    pub(crate) fn new(root: &Path, options: &Options) -> Self {
        let Options { collectors: wanted, yields } = options;
        let collectors = COLLECTORS
            .iter()
            .filter(|definition| wanted.iter().any(|wanted| wanted == definition.name))
            .map(|definition| Collector::new(definition, root))
            .collect();
        let states = Readings::new(&[&[own::NODE_COLLECTOR_SUCCESS, own::NODE_COLLECTOR_YIELDED]]);
        Self { collectors, states, yields: *yields }
    }

    /// Reads everything once. `is_scraped` tells whether a target on this node exported a family of that name (without
    /// `_total`) in the last window. The families stay valid until the next reading; a collector that failed has none in it.
    pub(crate) fn read(
        &mut self,
        now_ms: i64,
        mut is_scraped: impl FnMut(&str) -> bool,
    ) -> impl Iterator<Item = &Family> {
        let Self { collectors, states, yields } = self;
        for collector in &mut *collectors {
            collector.read(now_ms, |name| *yields && is_scraped(name));
            let is = |state| f64::from(u8::from(collector.state == state));
            if collector.state != State::Yielded {
                states.put(0, &collector.labels, is(State::Ready));
            }
            states.put(1, &collector.labels, is(State::Yielded));
        }
        states.finish();
        collectors.iter().map(|collector| &collector.readings).chain([&*states]).flat_map(Readings::families)
    }
}

impl Collector {
    fn new(definition: &'static Definition, root: &Path) -> Self {
        let mut labels = String::new();
        push_label(&mut labels, "collector", definition.name);
        let readings = Readings::new(definition.tables);
        Self { definition, labels, files: (definition.open)(root), readings, state: State::Ready }
    }

    fn read(&mut self, now_ms: i64, mut is_scraped: impl FnMut(&str) -> bool) {
        let Self { definition: Definition { name, tables, open: _ }, labels: _, files, readings, state } =
            self;
        if is_scraped(tables[0][0].name) {
            if *state != State::Yielded {
                info!("node collector `{name}` is silent: a scraped target exports the same families");
            }
            *state = State::Yielded;
            readings.clear();
            return;
        }
        match files.collect(now_ms, readings) {
            Ok(()) => {
                *state = State::Ready;
                readings.finish();
            }
            Err(error) => {
                // Said once, not every second; the metric keeps saying it.
                if *state != State::Failed {
                    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                    warn!("node collector `{name}` failed: {error}{cause}");
                }
                *state = State::Failed;
                readings.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
