//! The kernel's families, from the aggregated groups.

use std::fmt::Write as _;

use observer_abi::{
    class::{CloseOutcome, Outcome, Retransmit, TCP_STATES, state_name},
    totals::Totals,
};
use observer_aggregate::{
    family::Family,
    histogram::{ClassicLabels, Histogram},
    tcp::{Entry, Table, folded_block},
};

use crate::{
    errno,
    metrics::{Metric, tcp},
    readings::Readings,
    shard::lost::Lost,
};

/// The kernel's families, which are the same from window to window but for their values.
pub(crate) struct Families {
    readings: Readings,
    /// Where label blocks are written to be compared with those that are there.
    block: String,
}

impl Families {
    pub(crate) fn new() -> Self {
        Self { readings: Readings::new(&[tcp::ROWS]), block: String::new() }
    }

    /// The next sample of a family with one sample a series.
    pub(crate) fn plain(&mut self, metric: &Metric, labels: &str, value: u64) {
        if let Some(family) = self.readings.find(metric.name) {
            self.readings.put(family, labels, value as f64);
        }
    }

    /// As [`Self::plain`], with more labels.
    fn with(&mut self, metric: &Metric, labels: &str, more: &[(&str, &str)], value: u64) {
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        block.push_str(labels);
        for (name, value) in more {
            let comma = if block.is_empty() { "" } else { "," };
            // A String takes every write.
            let _written = write!(block, "{comma}{name}=\"{value}\"");
        }
        self.plain(metric, &block, value);
        self.block = block;
    }

    /// The next histogram of a family.
    pub(crate) fn histogram(&mut self, metric: &Metric, labels: &ClassicLabels, histogram: &Histogram) {
        if let Some(family) = self.readings.find(metric.name) {
            self.readings.put_histogram(family, labels, histogram);
        }
    }

    /// Ends a window: what was not told again is gone.
    pub(crate) fn finish(&mut self) -> impl Iterator<Item = &Family> + Clone {
        self.readings.finish();
        self.readings.families()
    }
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
        let known = if *error == 0 { Some("") } else { errno::name(*error) };
        // A number without a name is rare enough to be written anew each time.
        let written = if known.is_none() { errno::text(*error) } else { String::new() };
        let more = [("outcome", outcome.as_str()), ("error", known.unwrap_or(&written))];
        out.with(&tcp::CONNECTS, block, &more, *n);
    }
    for (histogram, labels) in group.connect_seconds.iter().zip(connect_labels) {
        if let (Some(histogram), Some(labels)) = (histogram, labels) {
            out.histogram(&tcp::CONNECT_DURATION, labels, histogram);
        }
    }
    let is_server = block.starts_with("role=\"server\"");
    if is_server {
        out.plain(&tcp::ACCEPTS, block, group.accepts);
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
            out.histogram(metric, labels, histogram);
        }
    }
    out.plain(&tcp::SENT_BYTES, block, group.sent_bytes);
    out.plain(&tcp::RECEIVED_BYTES, block, group.received_bytes);
    for kind in Retransmit::ALL {
        let n = group.retransmits[kind as usize];
        if n > 0 {
            out.with(&tcp::RETRANSMITS, block, &[("kind", kind.as_str())], n);
        }
    }
    for (direction, n) in ["sent", "received"].iter().zip(group.resets) {
        if n > 0 {
            out.with(&tcp::RESETS, block, &[("direction", direction)], n);
        }
    }
    for outcome in CloseOutcome::ALL {
        let n = group.closes[outcome as usize];
        if n > 0 {
            out.with(&tcp::CLOSES, block, &[("outcome", outcome.as_str())], n);
        }
    }
}

/// As [`folded_block`] of nobody.
const NONE: &str = "role=\"(none)\",peer=\"(none)\",port=\"(none)\",comm=\"(none)\"";

/// Appends what has no labels of its own: lost detail, and what never belonged to a connection.
pub(crate) fn totals(totals: &Totals, lost: &Lost, out: &mut Families) {
    let lost_of = |role| move || folded_block(role, "(lost)");
    let (client, server, any) = (lost_of("client"), lost_of("server"), lost_of("(lost)"));
    for outcome in Outcome::ALL {
        let n = lost.connects[outcome as usize];
        if n > 0 {
            let more = [("outcome", outcome.as_str()), ("error", "(lost)")];
            out.with(&tcp::CONNECTS, &client(), &more, n);
        }
    }
    if lost.accepts > 0 {
        out.plain(&tcp::ACCEPTS, &server(), lost.accepts);
    }
    for outcome in CloseOutcome::ALL {
        let n = lost.closes[outcome as usize];
        if n > 0 {
            out.with(&tcp::CLOSES, &any(), &[("outcome", outcome.as_str())], n);
        }
    }
    for (metric, n) in [(&tcp::SENT_BYTES, lost.bytes[0]), (&tcp::RECEIVED_BYTES, lost.bytes[1])] {
        if n > 0 {
            out.plain(metric, &any(), n);
        }
    }
    // SYN-ACKs, and what belongs to no connection.
    for (kind, n) in Retransmit::ALL.into_iter().zip(totals.loose_retransmits) {
        out.with(&tcp::RETRANSMITS, NONE, &[("kind", kind.as_str())], n);
    }
    for (direction, n) in ["sent", "received"].iter().zip(totals.loose_resets) {
        out.with(&tcp::RESETS, NONE, &[("direction", direction)], n);
    }
    for state in 0..TCP_STATES {
        if let Some(name) = state_name(state) {
            // Two's complement: what left a state on one CPU may have entered it on another.
            let n = totals.states[state].cast_signed().max(0).cast_unsigned();
            out.with(&tcp::CONNECTIONS, "", &[("state", name)], n);
        }
    }
}

#[cfg(test)]
mod tests {
    use observer_abi::{
        class::TCP_ESTABLISHED,
        record::{
            Accept, Activity, Close, Connect, FLAG_ESTABLISHED, Identity, RecordKind, Role, SLOTS, Slot,
        },
    };
    use observer_aggregate::{
        series::Block,
        window::{Pool, Source},
    };

    use super::*;
    use crate::{allocations, decode, shard::take};

    fn identity(role: Role, peer: u8) -> Identity {
        Identity {
            role: role as u8,
            flags: FLAG_ESTABLISHED,
            family: 2,
            peer: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, peer],
            peer_port: 443,
            local_port: 443,
            comm: *b"program\0\0\0\0\0\0\0\0\0",
            ..Identity::default()
        }
    }

    #[test]
    fn nobody_is_written_as_all_that_is_folded() {
        assert_eq!(NONE, folded_block("(none)", "(none)"));
    }

    /// From ring bytes to closed windows, a minute long: nothing is allocated once the groups are known, and the buckets that
    /// their histograms have.
    #[test]
    fn warm_windows_allocate_nothing() {
        let (mut table, mut out) = (Table::new(1_000), Families::new());
        let (mut block, mut pool) = (Block::default(), Pool::new(2));
        let mut totals = Totals::default();
        let mut before = 0;
        let mut series = 0;
        for second in 0..70u32 {
            if second == 10 {
                before = allocations::count();
            }
            for peer in 0..50 {
                let (client, server) = (identity(Role::Client, peer), identity(Role::Server, peer));
                let connect = |outcome: Outcome, error| Connect {
                    kind: RecordKind::Connect as u8,
                    outcome: outcome as u8,
                    error,
                    latency_ns: u64::from(second % 5) * 1_000_000,
                    id: client,
                    ..Connect::default()
                };
                let mut report = Activity {
                    kind: RecordKind::Activity as u8,
                    srtt_us: 100 + 20 * (second % 5),
                    min_rtt_us: 90,
                    retransmits: [0, 1, 0, 0, 0],
                    resets: [0, 1],
                    sent_bytes: 10,
                    received_bytes: 20,
                    id: server,
                    ..Activity::default()
                };
                report.turn.slots[SLOTS / 2] = Slot::new((SLOTS / 2) as u8, 3);
                let accept = Accept { kind: RecordKind::Accept as u8, id: server, ..Accept::default() };
                let close = Close { kind: RecordKind::Close as u8, id: client, ..Close::default() };
                for bytes in [
                    decode::bytes(&connect(Outcome::Success, 0)),
                    decode::bytes(&connect(Outcome::Refused, 111)),
                    decode::bytes(&accept),
                    decode::bytes(&report),
                    decode::bytes(&close),
                ] {
                    take(&mut table, &decode::record(bytes).expect("a record"));
                }
                totals.states[usize::from(TCP_ESTABLISHED)] += 1;
            }
            groups(&table, &mut out);
            super::totals(&totals, &Lost::default(), &mut out);
            block.read(out.finish());
            let closed = pool.close(|window| {
                window.begin(0, true);
                window.take(Source::Kernel, &mut block);
            });
            series = closed.expect("nobody holds one").len();
        }
        assert!(series > 50 * 30, "{series}");
        assert_eq!(allocations::count() - before, 0);
    }
}
