//! One row of a trace: the machine contract of `docs/trace.md`.

use jiff::Timestamp;
use observer_abi::{
    class::{CloseOutcome, Outcome},
    record::{Accept, Close, Connect, FLAG_ADOPTED, Identity, Role},
};
use observer_aggregate::tcp::{address, name};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::summary::Spread;
use crate::errno;

/// Every field, in the order of JSON and of CSV's columns.
pub(crate) const FIELDS: [&str; 31] = [
    "event",
    "time",
    "role",
    "outcome",
    "error",
    "pid",
    "comm",
    "cgroup",
    "netns",
    "socket",
    "peer",
    "peer_port",
    "port",
    "local",
    "local_port",
    "connect_seconds",
    "syn_retransmits",
    "duration_seconds",
    "adopted",
    "sent_bytes",
    "received_bytes",
    "retransmits",
    "srtt_seconds",
    "min_rtt_seconds",
    "exchanges",
    "response_p50_seconds",
    "response_p99_seconds",
    "service_p50_seconds",
    "service_p99_seconds",
    "receive_wait_p50_seconds",
    "receive_wait_p99_seconds",
];

/// What happened, to whom, when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    cells: Vec<(&'static str, Value)>,
}

/// What a connection's exchanges were like over its life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) turn: Spread,
    pub(crate) wait: Spread,
}

impl Row {
    /// The end of an attempt.
    pub(crate) fn connect(r: &Connect, wall: i64) -> Option<Self> {
        let outcome = Outcome::from_u8(r.outcome)?;
        let mut row = Self::start("connect", r.time_ns, wall, &r.id, outcome.as_str(), r.error);
        row.put("connect_seconds", seconds(r.latency_ns));
        row.put("syn_retransmits", r.syn_retransmits);
        Some(row)
    }

    /// A passive opening.
    pub(crate) fn accept(r: &Accept, wall: i64) -> Option<Self> {
        let outcome = Outcome::from_u8(r.outcome)?;
        Some(Self::start("accept", r.time_ns, wall, &r.id, outcome.as_str(), r.error))
    }

    /// The end of a connection.
    pub(crate) fn close(r: &Close, wall: i64, life: Option<&Life>) -> Option<Self> {
        let outcome = CloseOutcome::from_u8(r.outcome)?;
        let mut row = Self::start("close", r.time_ns, wall, &r.id, outcome.as_str(), r.error);
        row.put("duration_seconds", seconds(r.duration_ns));
        row.put("adopted", r.id.flags & FLAG_ADOPTED != 0);
        row.put("sent_bytes", r.sent_bytes);
        row.put("received_bytes", r.received_bytes);
        row.put("retransmits", r.retransmits);
        if r.srtt_us != 0 {
            row.put("srtt_seconds", seconds(u64::from(r.srtt_us) * 1000));
        }
        if r.min_rtt_us != 0 && r.min_rtt_us != u32::MAX {
            row.put("min_rtt_seconds", seconds(u64::from(r.min_rtt_us) * 1000));
        }
        let turn = life.map(|l| &l.turn);
        row.put("exchanges", turn.map_or(0, Spread::count));
        let (p50, p99) = match Role::from_u8(r.id.role) {
            Some(Role::Client) => ("response_p50_seconds", "response_p99_seconds"),
            _ => ("service_p50_seconds", "service_p99_seconds"),
        };
        row.quantiles(turn, p50, p99);
        let wait = life.map(|l| &l.wait);
        row.quantiles(wait, "receive_wait_p50_seconds", "receive_wait_p99_seconds");
        Some(row)
    }

    /// The cell of a field, if it applies.
    pub(crate) fn cell(&self, field: &str) -> Option<&Value> {
        self.cells.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    fn start(event: &str, time_ns: u64, wall: i64, id: &Identity, outcome: &str, error: u16) -> Self {
        let mut row = Self { cells: Vec::with_capacity(FIELDS.len()) };
        row.put("event", event);
        row.put("time", time(time_ns, wall));
        if let Some(role) = Role::from_u8(id.role) {
            row.put("role", role.as_str());
        }
        row.put("outcome", outcome);
        if error != 0 {
            row.put("error", errno::text(error));
        }
        if id.pid != 0 {
            row.put("pid", id.pid);
            row.put("comm", name(&id.comm));
            row.put("cgroup", id.cgroup);
        }
        row.put("netns", id.netns);
        if id.cookie != 0 {
            row.put("socket", id.cookie);
        }
        row.put("peer", address(&id.peer).to_string());
        row.put("peer_port", id.peer_port);
        row.put("port", if id.role == Role::Server as u8 { id.local_port } else { id.peer_port });
        row.put("local", address(&id.local).to_string());
        row.put("local_port", id.local_port);
        row
    }

    fn put(&mut self, field: &'static str, value: impl Into<Value>) {
        self.cells.push((field, value.into()));
    }

    fn quantiles(&mut self, spread: Option<&Spread>, p50: &'static str, p99: &'static str) {
        let Some(spread) = spread else { return };
        for (field, q) in [(p50, 0.5), (p99, 0.99)] {
            if let Some(value) = spread.quantile(q) {
                self.put(field, json!(round(value)));
            }
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len()))?;
        for (name, value) in &self.cells {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// To a tenth of a nanosecond: quantiles are known to 19 %.
fn round(seconds: f64) -> f64 {
    (seconds * 1e10).round() / 1e10
}

/// A kernel time as RFC 3339 in UTC with microseconds.
fn time(monotonic_ns: u64, wall_minus_monotonic: i64) -> String {
    let ns = i128::from(monotonic_ns) + i128::from(wall_minus_monotonic);
    let time = Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_contract_is_a_column_and_documented() {
        let docs = include_str!("../../../docs/trace.md");
        for field in FIELDS {
            assert!(docs.contains(&format!("`{field}`")), "docs/trace.md does not know `{field}`");
        }
    }

    #[test]
    fn rows_only_have_fields_of_the_contract() {
        let id = Identity { role: 1, pid: 1, cookie: 1, ..Identity::default() };
        let mut life = Life::default();
        life.turn.observe(5_000);
        life.wait.observe(5_000);
        let close = Close { id, srtt_us: 1, min_rtt_us: 1, ..Close::default() };
        let rows = [
            Row::connect(&Connect { id, error: 111, outcome: 1, ..Connect::default() }, 0),
            Row::accept(&Accept { id, ..Accept::default() }, 0),
            Row::close(&close, 0, Some(&life)),
            Row::close(&Close { id: Identity { role: 2, ..id }, ..close }, 0, Some(&life)),
        ];
        for row in rows {
            for (name, _) in row.unwrap().cells {
                assert!(FIELDS.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        assert_eq!(time(1_500, 1_700_000_000_000_000_000), "2023-11-14T22:13:20.000001Z");
    }

    #[test]
    fn an_unknown_owner_is_absent() {
        let row =
            Row::accept(&Accept { id: Identity { role: 2, ..Identity::default() }, ..Accept::default() }, 0);
        let row = row.unwrap();
        assert_eq!((row.cell("pid"), row.cell("comm")), (None, None));
    }
}
