//! The kernel's own TCP counters of a namespace, against which rows are held.

use std::{collections::BTreeMap, fs};

use crate::netns::Netns;

/// A reading of `/proc/net/snmp` and `/proc/net/netstat`.
#[derive(Clone, Debug)]
pub struct Counters(BTreeMap<String, i64>);

impl Counters {
    /// Reads the counters of a namespace.
    #[must_use]
    pub fn read(namespace: &Netns) -> Self {
        namespace.run(|| Self::read_from("/proc/thread-self/net"))
    }

    /// Reads the counters below a directory such as `/proc/1/net`.
    #[must_use]
    pub fn read_from(directory: &str) -> Self {
        let mut values = BTreeMap::new();
        for (file, section) in [("snmp", "Tcp:"), ("netstat", "TcpExt:")] {
            let path = format!("{directory}/{file}");
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"));
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(section));
            let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            for (name, number) in names.split_whitespace().zip(numbers.split_whitespace()) {
                values.insert(name.to_owned(), number.parse().expect("counters are numbers"));
            }
        }
        Self(values)
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
