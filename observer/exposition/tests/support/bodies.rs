//! Bodies of real exporters.

/// prometheus-node-exporter 1.5.0 on a virtual machine with two processors.
pub(crate) const NODE_0: &str = include_str!("../bodies/node_exporter.txt");
/// The same a second later.
pub(crate) const NODE_1: &str = include_str!("../bodies/node_exporter_1s.txt");
/// The first families of Prometheus 2.42 about itself.
pub(crate) const PROMETHEUS: &str = include_str!("../bodies/prometheus.txt");
