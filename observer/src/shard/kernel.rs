//! The kernel's families, from the aggregated groups.

use std::sync::Arc;

use observer_abi::{
    class::{CloseOutcome, Outcome, Retransmit, TCP_STATES, state_name},
    totals::Totals,
};
use observer_aggregate::{
    family::{Family, Sample},
    histogram::Histogram,
    tcp::{Entry, Table, folded_block},
};

use crate::{
    errno,
    metrics::{Metric, tcp},
    shard::lost::Lost,
};

/// Families by their row of the table, in the order of the table.
#[derive(Default)]
pub(crate) struct Families(Vec<(&'static str, Vec<Sample>)>);

impl Families {
    /// The samples of a family.
    pub(crate) fn of(&mut self, metric: &Metric) -> &mut Vec<Sample> {
        let at = self.0.iter().position(|(name, _)| *name == metric.name).unwrap_or_else(|| {
            self.0.push((metric.name, Vec::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// The families of a table that have samples.
    pub(crate) fn finish(mut self, table: &[Metric]) -> Vec<Family> {
        let with_samples = |metric: &Metric| {
            let samples = std::mem::take(self.of(metric));
            (!samples.is_empty()).then(|| Family { samples, ..metric.family() })
        };
        table.iter().filter_map(with_samples).collect()
    }
}

/// A sample of a family with one sample a series.
pub(crate) fn plain(metric: &Metric, labels: &Arc<str>, value: u64) -> Sample {
    Sample { suffix: metric.suffix(), labels: Arc::clone(labels), value: value as f64, timestamp_ms: None }
}

/// A sample with one more label.
fn with(metric: &Metric, labels: &str, name: &str, value: &str, n: u64) -> Sample {
    plain(metric, &format!("{labels},{name}=\"{value}\"").into(), n)
}

/// Appends every group's samples.
pub(crate) fn groups(table: &Table, out: &mut Families) {
    for entry in table.entries() {
        group(entry, out);
    }
}

fn group(entry: &Entry, out: &mut Families) {
    let Entry { group, labels, plain: block, connect_labels } = entry;
    for (outcome, error, n) in &group.connects {
        let error = if *error == 0 { String::new() } else { errno::text(*error) };
        let labels = format!("{block},outcome=\"{}\",error=\"{error}\"", outcome.as_str());
        out.of(&tcp::CONNECTS).push(plain(&tcp::CONNECTS, &labels.into(), *n));
    }
    for (histogram, labels) in group.connect_seconds.iter().zip(connect_labels) {
        if let (Some(histogram), Some(labels)) = (histogram, labels) {
            histogram.to_samples(labels, out.of(&tcp::CONNECT_DURATION));
        }
    }
    let is_server = block.starts_with("role=\"server\"");
    if is_server {
        out.of(&tcp::ACCEPTS).push(plain(&tcp::ACCEPTS, block, group.accepts));
    }
    let turn = if is_server { &tcp::SERVICE } else { &tcp::RESPONSE };
    let spreads: [(&Metric, &Option<Box<Histogram>>); 4] = [
        (turn, &group.turn),
        (&tcp::RECEIVE_WAIT, &group.wait),
        (&tcp::RTT, &group.rtt),
        (&tcp::MIN_RTT, &group.min_rtt),
    ];
    for (metric, histogram) in spreads {
        if let Some(histogram) = histogram {
            histogram.to_samples(labels, out.of(metric));
        }
    }
    out.of(&tcp::SENT_BYTES).push(plain(&tcp::SENT_BYTES, block, group.sent_bytes));
    out.of(&tcp::RECEIVED_BYTES).push(plain(&tcp::RECEIVED_BYTES, block, group.received_bytes));
    for kind in Retransmit::ALL {
        let n = group.retransmits[kind as usize];
        if n > 0 {
            out.of(&tcp::RETRANSMITS).push(with(&tcp::RETRANSMITS, block, "kind", kind.as_str(), n));
        }
    }
    for (direction, n) in ["sent", "received"].iter().zip(group.resets) {
        if n > 0 {
            out.of(&tcp::RESETS).push(with(&tcp::RESETS, block, "direction", direction, n));
        }
    }
    for outcome in CloseOutcome::ALL {
        let n = group.closes[outcome as usize];
        if n > 0 {
            out.of(&tcp::CLOSES).push(with(&tcp::CLOSES, block, "outcome", outcome.as_str(), n));
        }
    }
}

/// Appends what has no labels of its own: lost detail, and what never belonged to a connection.
pub(crate) fn totals(totals: &Totals, lost: &Lost, out: &mut Families) {
    let (client, server, any) = (
        folded_block("client", "(lost)"),
        folded_block("server", "(lost)"),
        folded_block("(lost)", "(lost)"),
    );
    for outcome in Outcome::ALL {
        let n = lost.connects[outcome as usize];
        if n > 0 {
            let labels = format!("{client},outcome=\"{}\",error=\"(lost)\"", outcome.as_str());
            out.of(&tcp::CONNECTS).push(plain(&tcp::CONNECTS, &labels.into(), n));
        }
    }
    if lost.accepts > 0 {
        out.of(&tcp::ACCEPTS).push(plain(&tcp::ACCEPTS, &server.as_str().into(), lost.accepts));
    }
    for outcome in CloseOutcome::ALL {
        let n = lost.closes[outcome as usize];
        if n > 0 {
            out.of(&tcp::CLOSES).push(with(&tcp::CLOSES, &any, "outcome", outcome.as_str(), n));
        }
    }
    for (metric, n) in [(&tcp::SENT_BYTES, lost.bytes[0]), (&tcp::RECEIVED_BYTES, lost.bytes[1])] {
        if n > 0 {
            out.of(metric).push(plain(metric, &any.as_str().into(), n));
        }
    }
    // SYN-ACKs, and what belongs to no connection.
    let none = folded_block("(none)", "(none)");
    for (kind, n) in Retransmit::ALL.into_iter().zip(totals.loose_retransmits) {
        out.of(&tcp::RETRANSMITS).push(with(&tcp::RETRANSMITS, &none, "kind", kind.as_str(), n));
    }
    for (direction, n) in ["sent", "received"].iter().zip(totals.loose_resets) {
        out.of(&tcp::RESETS).push(with(&tcp::RESETS, &none, "direction", direction, n));
    }
    for state in 0..TCP_STATES {
        if let Some(name) = state_name(state) {
            // Two's complement: what left a state on one CPU may have entered it on another.
            let n = totals.states[state].cast_signed().max(0).cast_unsigned();
            let labels = format!("state=\"{name}\"");
            out.of(&tcp::CONNECTIONS).push(plain(&tcp::CONNECTIONS, &labels.into(), n));
        }
    }
}
