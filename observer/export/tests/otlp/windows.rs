//! Blocks that are filled line by line, and windows of them.

use std::collections::HashMap;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::Block,
    window::{Source, Window},
};

/// A source of series.
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) block: Block,
    slots: HashMap<(String, Suffix, String), u32>,
}

impl Origin {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, block: Block::default(), slots: HashMap::new() }
    }

    fn slot(&mut self, name: &str, kind: Kind, suffix: Suffix, labels: &str) -> u32 {
        let Self { block, slots, .. } = self;
        block.touch();
        *slots.entry((name.to_owned(), suffix, labels.to_owned())).or_insert_with(|| {
            let family = block.family(name, kind, "", "");
            block.add(family, suffix, labels).expect("a short block")
        })
    }

    /// A sample of a type and a suffix.
    pub(crate) fn set(
        &mut self,
        (name, kind): (&str, Kind),
        suffix: Suffix,
        labels: &str,
        value: f64,
    ) -> u32 {
        let slot = self.slot(name, kind, suffix, labels);
        self.block.set(slot, value);
        slot
    }

    /// A native histogram.
    pub(crate) fn native(&mut self, name: &str, labels: &str, native: &Native) -> u32 {
        let slot = self.slot(name, Kind::Histogram, Suffix::Native, labels);
        self.block.set_native(slot, native.count).clone_from(native);
        slot
    }

    /// A classic histogram: counts by bound, not cumulative; the last one's bound is infinite.
    pub(crate) fn histogram(&mut self, name: &str, labels: &str, buckets: &[(&str, u64)], sum: f64) {
        let family = (name, Kind::Histogram);
        let mut so_far = 0;
        for (bound, count) in buckets {
            so_far += count;
            let comma = if labels.is_empty() { "" } else { "," };
            self.set(family, Suffix::Bucket, &format!("{labels}{comma}le=\"{bound}\""), so_far as f64);
        }
        self.set(family, Suffix::Sum, labels, sum);
        self.set(family, Suffix::Count, labels, so_far as f64);
    }

    /// Ends a series.
    pub(crate) fn end(&mut self, name: &str, suffix: Suffix, labels: &str) {
        let slot = self.slots.remove(&(name.to_owned(), suffix, labels.to_owned())).expect("a known series");
        self.block.touch();
        self.block.remove(slot);
    }
}

/// The window of that number that ends there.
pub(crate) fn close(serial: u64, end_ms: i64, origins: &mut [&mut Origin]) -> Window {
    let mut window = Window::default();
    window.begin(end_ms, true);
    window.serial = serial;
    for origin in origins {
        window.take(origin.source, &mut origin.block);
    }
    window
}
