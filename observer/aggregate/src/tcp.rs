//! Connections, aggregated: cumulative figures per role, peer, service port and process.
//!
//! The number of groups has a bound. What comes when it is reached goes into one `(other)` group a role, so that sums stay
//! right; what the kernel counted but could not tell in detail goes into `(lost)`.

use std::{collections::HashMap, sync::Arc};

use observer_abi::{
    class::{CloseOutcome, Outcome, Retransmit},
    record::{Accept, Activity, Close, Connect, Family, Identity, Role, SLOTS, Slots, Spill},
};

use crate::histogram::{ClassicLabels, Histogram};

/// What tells one group from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Client or server.
    pub role: Role,
    /// The service's port: remote for a client, local for a server.
    pub port: u16,
    /// Remote address, IPv6 or IPv4-mapped.
    pub peer: [u8; 16],
    /// The owner's process name.
    pub comm: [u8; 16],
}

impl Key {
    /// The group of a connection, or nothing for a socket that has no such role.
    #[must_use]
    pub fn of(id: &Identity) -> Option<Self> {
        let role = Role::from_u8(id.role)?;
        let port = match role {
            Role::Client => id.peer_port,
            Role::Server => id.local_port,
            Role::Listener => return None,
        };
        Some(Self { role, port, peer: id.peer, comm: id.comm })
    }
}

/// Cumulative figures of one group.
#[derive(Debug, Default)]
pub struct Group {
    /// Attempts by outcome and errno.
    pub connects: Vec<(Outcome, u16, u64)>,
    /// Connect latency by outcome.
    pub connect_seconds: [Option<Box<Histogram>>; Outcome::COUNT],
    /// Connections established on the listening port.
    pub accepts: u64,
    /// Ends by outcome.
    pub closes: [u64; CloseOutcome::COUNT],
    /// Response times of a client, service times of a server.
    pub turn: Option<Box<Histogram>>,
    /// Receive waits.
    pub wait: Option<Box<Histogram>>,
    /// Smoothed RTT of active connections, one observation a connection and sweep.
    pub rtt: Option<Box<Histogram>>,
    /// Smallest RTT, likewise.
    pub min_rtt: Option<Box<Histogram>>,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Segments sent again, by kind.
    pub retransmits: [u64; Retransmit::COUNT],
    /// Resets sent, received.
    pub resets: [u64; 2],
}

/// A group and the label blocks its series carry, made once.
#[derive(Debug)]
pub struct Entry {
    /// The figures.
    pub group: Group,
    /// `role`, `peer`, `port`, `comm`, and the same with each histogram bound.
    pub labels: ClassicLabels,
    /// The plain label block.
    pub plain: Arc<str>,
    /// The label blocks of the connect histograms.
    pub connect_labels: [Option<Box<ClassicLabels>>; Outcome::COUNT],
}

/// All groups of a node.
#[derive(Debug)]
pub struct Table {
    index: HashMap<Key, usize>,
    entries: Vec<Entry>,
    other: [Option<usize>; 2],
    limit: usize,
    /// Records that went to `(other)`.
    folded: u64,
    decoded: Decoded,
}

/// What was decoded, to be compared with the kernel's own totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Attempts by outcome.
    pub connects: [u64; Outcome::COUNT],
    /// Connections established on listening ports.
    pub accepts: u64,
    /// Ends by outcome.
    pub closes: [u64; CloseOutcome::COUNT],
    /// Bytes sent, received.
    pub bytes: [u64; 2],
    /// Response and service times, receive waits.
    pub turns: [u64; 2],
    /// Records that no group could be found for.
    pub unplaced: u64,
}

impl Table {
    /// Makes room for at most `limit` groups.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            index: HashMap::new(),
            entries: Vec::new(),
            other: [None; 2],
            limit,
            folded: 0,
            decoded: Decoded::default(),
        }
    }

    /// The groups, in the order in which they came up.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many groups there are that have labels of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no group yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The most groups that keep labels of their own.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Records that went to `(other)` because the limit was reached.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// What was decoded so far.
    #[must_use]
    pub fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// Takes in the end of an attempt.
    pub fn connect(&mut self, r: &Connect) {
        let Some(outcome) = Outcome::from_u8(r.outcome) else { return self.unplaced() };
        self.decoded.connects[outcome as usize] += 1;
        let Some(entry) = self.entry(&r.id) else { return self.unplaced() };
        let at = outcome as usize;
        entry.connect_labels[at].get_or_insert_with(|| {
            let block = format!("{},outcome=\"{}\"", entry.plain, outcome.as_str());
            Box::new(ClassicLabels::new(block.into()))
        });
        let group = &mut entry.group;
        match group.connects.iter_mut().find(|(o, e, _)| (*o, *e) == (outcome, r.error)) {
            Some((_, _, n)) => *n += 1,
            None => group.connects.push((outcome, r.error, 1)),
        }
        group.connect_seconds[at].get_or_insert_default().observe(r.latency_ns);
        group.retransmits[Retransmit::Syn as usize] += u64::from(r.syn_retransmits);
    }

    /// Takes in a passive opening.
    pub fn accept(&mut self, r: &Accept) {
        self.decoded.accepts += 1;
        match self.entry(&r.id) {
            Some(entry) => entry.group.accepts += 1,
            None => self.unplaced(),
        }
    }

    /// Takes in the end of a connection.
    pub fn close(&mut self, r: &Close) {
        let Some(outcome) = CloseOutcome::from_u8(r.outcome) else { return self.unplaced() };
        self.decoded.closes[outcome as usize] += 1;
        match self.entry(&r.id) {
            Some(entry) => entry.group.closes[outcome as usize] += 1,
            None => self.unplaced(),
        }
    }

    /// Takes in what a connection did.
    pub fn activity(&mut self, r: &Activity) {
        let [turns, waits] = [count(&r.turn), count(&r.wait)];
        self.decoded.turns[0] += turns;
        self.decoded.turns[1] += waits;
        self.decoded.bytes[0] += r.sent_bytes;
        self.decoded.bytes[1] += r.received_bytes;
        let Some(entry) = self.entry(&r.id) else { return self.unplaced() };
        let group = &mut entry.group;
        group.sent_bytes += r.sent_bytes;
        group.received_bytes += r.received_bytes;
        for (sum, n) in group.retransmits.iter_mut().zip(&r.retransmits) {
            *sum += u64::from(*n);
        }
        for (sum, n) in group.resets.iter_mut().zip(&r.resets) {
            *sum += u64::from(*n);
        }
        merge(&mut group.turn, &r.turn);
        merge(&mut group.wait, &r.wait);
        if r.srtt_us != 0 {
            group.rtt.get_or_insert_default().observe(u64::from(r.srtt_us) * 1000);
        }
        if r.min_rtt_us != 0 && r.min_rtt_us != u32::MAX {
            group.min_rtt.get_or_insert_default().observe(u64::from(r.min_rtt_us) * 1000);
        }
    }

    /// Takes in a count that found no place in its socket's histogram. Its sum comes with the socket's next report.
    pub fn spill(&mut self, r: &Spill) {
        let family = usize::from(r.family);
        let n = u64::from(r.count);
        if let Some(turns) = self.decoded.turns.get_mut(family) {
            *turns += n;
        }
        let Some(entry) = self.entry(&r.id) else { return self.unplaced() };
        let histogram =
            if family == Family::Turn as usize { &mut entry.group.turn } else { &mut entry.group.wait };
        // A decoded record has no bucket beyond the last.
        let _decoded = histogram.get_or_insert_default().add(usize::from(r.bucket), n);
    }

    fn unplaced(&mut self) {
        self.decoded.unplaced += 1;
    }

    fn entry(&mut self, id: &Identity) -> Option<&mut Entry> {
        let key = Key::of(id)?;
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None if self.index.len() < self.limit => {
                let at = self.push(block(&key));
                self.index.insert(key, at);
                at
            }
            None => {
                self.folded += 1;
                let side = usize::from(key.role == Role::Server);
                match self.other[side] {
                    Some(at) => at,
                    None => {
                        let at = self.push(folded_block(key.role.as_str(), "(other)"));
                        self.other[side] = Some(at);
                        at
                    }
                }
            }
        };
        self.entries.get_mut(at)
    }

    fn push(&mut self, plain: String) -> usize {
        let plain: Arc<str> = plain.into();
        self.entries.push(Entry {
            group: Group::default(),
            labels: ClassicLabels::new(Arc::clone(&plain)),
            plain,
            connect_labels: [const { None }; Outcome::COUNT],
        });
        self.entries.len() - 1
    }
}

/// The observations in a socket's own histogram.
fn count(slots: &Slots) -> u64 {
    slots.slots.iter().map(|slot| u64::from(slot.count())).sum()
}

/// Adds a socket's own histogram.
pub fn merge(into: &mut Option<Box<Histogram>>, slots: &Slots) {
    if count(slots) == 0 && slots.sum_ns == 0 {
        return;
    }
    let into = into.get_or_insert_default();
    into.add_sum(slots.sum_ns);
    for slot in slots.slots.iter().take(SLOTS) {
        // A decoded record has no bucket beyond the last.
        let _decoded = into.add(usize::from(slot.bucket()), u64::from(slot.count()));
    }
}

/// The label block of a group.
fn block(key: &Key) -> String {
    let mut block = format!(
        "role=\"{}\",peer=\"{}\",port=\"{}\",comm=\"",
        key.role.as_str(),
        address(&key.peer),
        key.port
    );
    escape(&name(&key.comm), &mut block);
    block.push('"');
    block
}

/// The label block of what has no labels of its own.
#[must_use]
pub fn folded_block(role: &str, what: &str) -> String {
    format!("role=\"{role}\",peer=\"{what}\",port=\"{what}\",comm=\"{what}\"")
}

/// An address as it is written, IPv4-mapped ones as IPv4.
#[must_use]
pub fn address(bytes: &[u8; 16]) -> std::net::IpAddr {
    std::net::Ipv6Addr::from(*bytes).to_canonical()
}

/// A process name without its padding.
#[must_use]
pub fn name(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

/// Escapes a label value as the text formats ask for.
pub fn escape(value: &str, into: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use observer_abi::record::Slot;

    use super::*;

    fn id(port: u16) -> Identity {
        let mut id = Identity { role: Role::Client as u8, peer_port: port, ..Identity::default() };
        id.peer[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 7]);
        id.comm[..3].copy_from_slice(b"a\"b");
        id
    }

    fn connect(port: u16, outcome: Outcome) -> Connect {
        Connect { outcome: outcome as u8, latency_ns: 1_000_000, id: id(port), ..Connect::default() }
    }

    #[test]
    fn a_group_has_its_labels_escaped_and_its_address_folded() {
        let mut table = Table::new(4);
        table.connect(&connect(80, Outcome::Success));
        let labels = &table.entries().next().unwrap().plain;
        assert_eq!(&**labels, r#"role="client",peer="10.0.0.7",port="80",comm="a\"b""#);
    }

    #[test]
    fn over_the_limit_groups_fold_and_sums_stay() {
        let mut table = Table::new(2);
        for port in 1..=10 {
            table.connect(&connect(port, Outcome::Refused));
        }
        assert_eq!((table.len(), table.folded()), (2, 8));
        let sum: u64 = table.entries().flat_map(|e| &e.group.connects).map(|(_, _, n)| n).sum();
        assert_eq!(sum, 10);
        assert!(table.entries().any(|e| e.plain.contains(r#"peer="(other)""#)));
    }

    #[test]
    fn a_report_and_its_spills_make_one_histogram() {
        let mut table = Table::new(2);
        let mut report = Activity { id: id(80), sent_bytes: 5, srtt_us: 40, ..Activity::default() };
        report.turn.sum_ns = 3_000;
        report.turn.slots[3] = Slot::new(3, 2);
        table.activity(&report);
        table.spill(&Spill { family: 0, bucket: 19, count: 1, id: id(80), ..Spill::default() });
        let group = &table.entries().next().unwrap().group;
        let turn = group.turn.as_ref().unwrap();
        assert_eq!((turn.count(), turn.buckets()[3], turn.buckets()[19], turn.sum_ns()), (3, 2, 1, 3_000));
        assert_eq!((group.sent_bytes, table.decoded().turns), (5, [3, 0]));
        assert_eq!(group.rtt.as_ref().unwrap().count(), 1);
    }

    #[test]
    fn a_record_without_a_role_is_counted_not_guessed() {
        let mut table = Table::new(2);
        table.accept(&Accept::default());
        assert_eq!((table.len(), table.decoded().unplaced), (0, 1));
    }

    #[test]
    fn an_outcome_that_does_not_exist_is_counted_not_guessed() {
        let mut table = Table::new(2);
        table.connect(&Connect { outcome: 77, id: id(1), ..Connect::default() });
        assert_eq!(table.decoded().unplaced, 1);
    }
}
