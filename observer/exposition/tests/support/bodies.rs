//! Bodies of real exporters, and a way to pick what to do to them.

/// prometheus-node-exporter 1.5.0 on a virtual machine with two processors.
pub(crate) const NODE_0: &str = include_str!("../bodies/node_exporter.txt");
/// The same a second later.
pub(crate) const NODE_1: &str = include_str!("../bodies/node_exporter_1s.txt");
/// The first families of Prometheus 2.42 about itself.
pub(crate) const PROMETHEUS: &str = include_str!("../bodies/prometheus.txt");

/// A small generator of the same numbers in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("less than a size")
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}
