//! What a trace saw, per peer and port, and where the time went.

use std::collections::{BTreeMap, BTreeSet};

use observer_abi::{
    class::{CloseOutcome, Outcome},
    record::{Accept, Activity, Close, Connect, Family, Identity, Role, Spill},
};
use observer_aggregate::{
    histogram::Histogram,
    tcp::{self, address},
};
use serde_json::{Map, Value, json};

use super::{
    table::{bytes, duration, printable, segments},
    verdict,
};

/// Peers that keep a line of their own; the rest share one.
const PEERS: usize = 4096;
/// Client programs, by name, whose waiting is told apart; that of the rest is only in the groups.
const PROGRAMS: usize = 256;
/// Peers that people are shown; programs get them all.
const SHOWN: usize = 20;

/// Everything of one trace.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    groups: BTreeMap<Key, Stats>,
    /// How long clients waited for answers, by the name of the program.
    programs: BTreeMap<[u8; 16], Spread>,
    /// Rows that were lost, by cause.
    pub(crate) lost: u64,
    /// Rows shown.
    pub(crate) rows: u64,
    /// How long the trace ran.
    pub(crate) seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) port: u16,
    pub(crate) role: Role,
    /// `None` for the peers beyond [`PEERS`].
    pub(crate) peer: Option<[u8; 16]>,
}

/// The figures of one peer and port, seen from one side.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connects: [u64; Outcome::COUNT],
    pub(crate) accepts: u64,
    pub(crate) closes: [u64; CloseOutcome::COUNT],
    /// Successful connects.
    pub(crate) connect: Spread,
    /// Failed ones.
    pub(crate) failed: Spread,
    /// Response times of a client, service times of a server.
    pub(crate) turn: Spread,
    pub(crate) wait: Spread,
    pub(crate) rtt: Spread,
    pub(crate) min_rtt: Spread,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) retransmits: u64,
}

/// A histogram and its largest value.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    histogram: Option<Box<Histogram>>,
    max_ns: u64,
}

impl Spread {
    pub(super) fn observe(&mut self, ns: u64) {
        self.histogram.get_or_insert_default().observe(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    pub(super) fn merge(&mut self, slots: &observer_abi::record::Slots) {
        tcp::merge(&mut self.histogram, slots);
        self.max_ns = self.max_ns.max(slots.max_ns);
    }

    pub(super) fn add(&mut self, bucket: u16, count: u32) {
        // A decoded record has no bucket beyond the last.
        let _decoded = self.histogram.get_or_insert_default().add(usize::from(bucket), u64::from(count));
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |h| h.count())
    }

    /// Seconds; `None` without any observation. Never above the largest value.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let value = self.histogram.as_ref()?.quantile(q)?;
        Some(if self.max_ns == 0 { value } else { value.min(self.max()) })
    }

    pub(crate) fn sum(&self) -> f64 {
        self.histogram.as_ref().map_or(0.0, |h| h.sum_ns() as f64 / 1e9)
    }

    pub(crate) fn max(&self) -> f64 {
        self.max_ns as f64 / 1e9
    }

    fn to_json(&self, name: &str, into: &mut Map<String, Value>) {
        if self.count() == 0 {
            return;
        }
        for (label, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            into.insert(format!("{name}_{label}_seconds"), json!(self.quantile(q)));
        }
        into.insert(format!("{name}_max_seconds"), json!(self.max()));
        into.insert(format!("{name}_count"), json!(self.count()));
    }
}

impl Summary {
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Key, &Stats)> {
        self.groups.iter()
    }

    /// The program whose clients waited longest for answers; `None` unless there are several programs.
    pub(crate) fn most_waiting(&self) -> Option<(String, &Spread)> {
        let most = self.programs.iter().max_by(|(_, one), (_, other)| one.sum().total_cmp(&other.sum()));
        let (comm, spread) = most.filter(|(comm, _)| self.programs.len() > 1 && comm[0] != 0)?;
        Some((printable(&tcp::name(comm)), spread))
    }

    pub(crate) fn connect(&mut self, r: &Connect) {
        let (Some(outcome), Some(stats)) = (Outcome::from_u8(r.outcome), self.stats(&r.id)) else { return };
        stats.connects[outcome as usize] += 1;
        let spread = if outcome == Outcome::Success { &mut stats.connect } else { &mut stats.failed };
        spread.observe(r.latency_ns);
        stats.retransmits += u64::from(r.syn_retransmits);
    }

    pub(crate) fn accept(&mut self, r: &Accept) {
        if let Some(stats) = self.stats(&r.id) {
            stats.accepts += 1;
        }
    }

    pub(crate) fn close(&mut self, r: &Close) {
        if let (Some(outcome), Some(stats)) = (CloseOutcome::from_u8(r.outcome), self.stats(&r.id)) {
            stats.closes[outcome as usize] += 1;
        }
    }

    pub(crate) fn activity(&mut self, r: &Activity) {
        if let Some(program) = self.program(&r.id, Family::Turn as u8) {
            program.merge(&r.turn);
        }
        let Some(stats) = self.stats(&r.id) else { return };
        stats.sent += r.sent_bytes;
        stats.received += r.received_bytes;
        stats.retransmits += r.retransmits.iter().map(|n| u64::from(*n)).sum::<u64>();
        stats.turn.merge(&r.turn);
        stats.wait.merge(&r.wait);
        if r.srtt_us != 0 {
            stats.rtt.observe(u64::from(r.srtt_us) * 1000);
        }
        if r.min_rtt_us != 0 && r.min_rtt_us != u32::MAX {
            stats.min_rtt.observe(u64::from(r.min_rtt_us) * 1000);
        }
    }

    pub(crate) fn spill(&mut self, r: &Spill) {
        if let Some(program) = self.program(&r.id, r.family) {
            program.add(r.bucket, r.count);
        }
        let Some(stats) = self.stats(&r.id) else { return };
        let spread = if r.family == Family::Turn as u8 { &mut stats.turn } else { &mut stats.wait };
        spread.add(r.bucket, r.count);
    }

    /// Where the waiting of a client for its answers belongs, if this is some.
    fn program(&mut self, id: &Identity, family: u8) -> Option<&mut Spread> {
        let waits = id.role == Role::Client as u8 && family == Family::Turn as u8;
        let full = self.programs.len() >= PROGRAMS && !self.programs.contains_key(&id.comm);
        (waits && !full).then(|| self.programs.entry(id.comm).or_default())
    }

    fn stats(&mut self, id: &Identity) -> Option<&mut Stats> {
        let key = tcp::Key::of(id)?;
        let mut key = Key { port: key.port, role: key.role, peer: Some(key.peer) };
        if self.groups.len() >= PEERS && !self.groups.contains_key(&key) {
            key.peer = None;
        }
        Some(self.groups.entry(key).or_default())
    }

    /// The summary as a JSON object.
    pub(crate) fn to_json(&self) -> Value {
        let groups: Vec<_> = self.groups.iter().map(|(key, stats)| stats.to_json(key)).collect();
        json!({
            "duration_seconds": self.seconds,
            "rows": self.rows,
            "lost_rows": self.lost,
            "groups": groups,
            "verdict": verdict::sentence(self),
        })
    }

    /// The summary for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} rows in {}", self.rows, duration(self.seconds))];
        if self.lost > 0 {
            lines.push(format!("LOST: {} records did not fit into the ring (see --ring-size)", self.lost));
        }
        let shown = self.longest();
        for (key, stats) in self.groups.iter().filter(|(key, _)| shown.contains(key)) {
            lines.push(String::new());
            stats.lines(key, &mut lines);
        }
        if shown.len() < self.groups.len() {
            lines.push(String::new());
            lines.push(format!(
                "{} more peers, each with less time spent (all of them: -o json)",
                self.groups.len() - shown.len()
            ));
        }
        lines.push(String::new());
        lines.push(verdict::sentence(self));
        lines
    }
}

impl Summary {
    /// The peers that most time went to.
    fn longest(&self) -> BTreeSet<Key> {
        let mut keys: Vec<_> = self.groups.iter().map(|(key, stats)| (*key, stats.time())).collect();
        // Stable: among equals the first stay.
        keys.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        keys.into_iter().take(SHOWN).map(|(key, _)| key).collect()
    }
}

fn peer(key: &Key) -> String {
    key.peer.map_or_else(|| "(other)".to_owned(), |p| address(&p).to_string())
}

impl Stats {
    /// Seconds that went into connecting, waiting and answering.
    fn time(&self) -> f64 {
        [&self.connect, &self.failed, &self.turn, &self.wait].map(Spread::sum).iter().sum()
    }

    fn turn_name(role: Role) -> &'static str {
        if role == Role::Client { "response" } else { "service" }
    }

    fn lines(&self, key: &Key, lines: &mut Vec<String>) {
        let side = if key.role == Role::Client { "to" } else { "from" };
        lines.push(format!("{} {side} {} port {}", key.role.as_str(), peer(key), key.port));
        let outcomes = |names: &[&str], counts: &[u64]| {
            let some = names.iter().zip(counts).filter(|(_, n)| **n > 0);
            some.map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
        };
        let connects = outcomes(&Outcome::ALL.map(Outcome::as_str), &self.connects);
        let closes = outcomes(&CloseOutcome::ALL.map(CloseOutcome::as_str), &self.closes);
        for (name, text) in [("connects", connects), ("closes", closes)] {
            if !text.is_empty() {
                lines.push(format!("  {name:<13} {text}"));
            }
        }
        if self.accepts > 0 {
            lines.push(format!("  {:<13} {}", "accepts", self.accepts));
        }
        if self.sent + self.received > 0 {
            let (sent, received) = (bytes(self.sent as f64), bytes(self.received as f64));
            lines.push(format!(
                "  {:<13} sent {sent}, received {received}, {} sent again",
                "traffic",
                segments(self.retransmits)
            ));
        }
        for (name, spread) in [
            ("connect", &self.connect),
            ("failed after", &self.failed),
            (Self::turn_name(key.role), &self.turn),
            ("receive wait", &self.wait),
            ("RTT", &self.rtt),
            ("smallest RTT", &self.min_rtt),
        ] {
            if let (Some(p50), Some(p90), Some(p99)) =
                (spread.quantile(0.5), spread.quantile(0.9), spread.quantile(0.99))
            {
                lines.push(format!(
                    "  {name:<13} p50 {:<9} p90 {:<9} p99 {:<9} max {:<9} of {}",
                    duration(p50),
                    duration(p90),
                    duration(p99),
                    duration(spread.max()),
                    spread.count()
                ));
            }
        }
    }

    fn to_json(&self, key: &Key) -> Value {
        let mut object = Map::new();
        object.insert("role".into(), key.role.as_str().into());
        object.insert("peer".into(), peer(key).into());
        object.insert("port".into(), key.port.into());
        let connects: Map<_, _> =
            Outcome::ALL.iter().map(|o| (o.as_str().to_owned(), self.connects[*o as usize].into())).collect();
        let closes: Map<_, _> = CloseOutcome::ALL
            .iter()
            .map(|o| (o.as_str().to_owned(), self.closes[*o as usize].into()))
            .collect();
        object.insert("connects".into(), connects.into());
        object.insert("closes".into(), closes.into());
        object.insert("accepts".into(), self.accepts.into());
        object.insert("sent_bytes".into(), self.sent.into());
        object.insert("received_bytes".into(), self.received.into());
        object.insert("retransmits".into(), self.retransmits.into());
        self.connect.to_json("connect", &mut object);
        self.failed.to_json("failed", &mut object);
        self.turn.to_json(Self::turn_name(key.role), &mut object);
        self.wait.to_json("receive_wait", &mut object);
        self.rtt.to_json("rtt", &mut object);
        self.min_rtt.to_json("min_rtt", &mut object);
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_peers_that_most_time_went_to() {
        let mut summary = Summary::default();
        for n in 1..=50_u8 {
            let peer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, n];
            let id = Identity { role: Role::Client as u8, peer, peer_port: 80, ..Identity::default() };
            summary.connect(&Connect { latency_ns: u64::from(n) * 1000, id, ..Connect::default() });
        }
        let lines = summary.lines();
        let shown: Vec<_> = lines.iter().filter(|line| line.starts_with("client to ")).collect();
        assert_eq!(shown.len(), SHOWN);
        assert_eq!(*shown[0], "client to 10.0.0.31 port 80");
        assert!(lines.iter().any(|line| line.starts_with("30 more peers")), "{lines:#?}");
    }
}
