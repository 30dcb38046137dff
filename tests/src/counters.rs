//! The kernel's own TCP counters of a namespace, against which rows are held.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::netns::Netns;

/// A reading of `/proc/net/snmp` and `/proc/net/netstat`.
#[derive(Clone, Debug)]
pub struct Counters(BTreeMap<String, i64>);

impl Counters {
    /// Reads the counters of a namespace.
    #[must_use]
    pub fn read(namespace: &Netns) -> Self {
        let read = || Self::try_read(Path::new("/proc/thread-self/net"));
        namespace.run(read).unwrap_or_else(|error| panic!("cannot read a namespace's counters: {error}"))
    }

    /// The counters of every network namespace that has a process, by the namespace.
    #[must_use]
    pub fn of_the_machine() -> BTreeMap<PathBuf, Self> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = entry.path();
            // Threads of the kernel and processes that have just ended have none.
            let Ok(namespace) = fs::read_link(process.join("ns/net")) else { continue };
            if !all.contains_key(&namespace)
                && let Ok(counters) = Self::try_read(&process.join("net"))
            {
                all.insert(namespace, counters);
            }
        }
        all
    }

    fn try_read(directory: &Path) -> io::Result<Self> {
        let mut values = BTreeMap::new();
        for (file, section) in [("snmp", "Tcp:"), ("netstat", "TcpExt:")] {
            let text = fs::read_to_string(directory.join(file))?;
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(section));
            let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            for (name, number) in names.split_whitespace().zip(numbers.split_whitespace()) {
                values.insert(name.to_owned(), number.parse().expect("counters are numbers"));
            }
        }
        Ok(Self(values))
    }

    /// One counter by its name in the kernel.
    #[track_caller]
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        *self.0.get(name).unwrap_or_else(|| panic!("the kernel has no counter `{name}`"))
    }

    /// Those that are not zero, for a person to read.
    #[must_use]
    pub fn nonzero(&self) -> String {
        let shown = self.0.iter().filter(|(_, value)| **value != 0);
        shown.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// How far each counter moved since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let moved =
            |(name, value): (&String, &i64)| (name.clone(), value - earlier.0.get(name).unwrap_or(&0));
        Self(self.0.iter().map(moved).collect())
    }
}
