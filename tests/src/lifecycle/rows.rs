//! Holds the rows of a trace against the life that was led.

use super::{NETWORK_FAILURES, PORT, Played};
use crate::row::{Row, show};

/// What the rows may lack, because the agent said that it could not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Full,
    /// Errors that only the end of the connect call tells: attempts that never reached SYN_SENT have no row, others
    /// that failed on this host have no errno.
    NoConnectExit,
}

impl Sight {
    /// What an agent says about itself when it starts.
    #[must_use]
    pub fn told(stderr: &str) -> Self {
        let missing = |line: &str| line.contains("`connect_exit` is not available");
        if stderr.lines().any(missing) { Self::NoConnectExit } else { Self::Full }
    }
}

impl Played {
    /// How many rows the life must leave.
    #[must_use]
    pub fn expected_rows(&self, sight: Sight) -> usize {
        let life = self.lifecycle;
        self.expected_connects(sight).len() + life.closes.len() + life.accepts + life.server_closes.len()
    }

    /// Everything that is wrong with the rows; nothing if all is well.
    #[must_use]
    pub fn check_rows(&self, rows: &[Row], sight: Sight) -> Option<String> {
        // By the place where it happened, or by who did it.
        let by_client = |row: &Row| {
            row.number("pid") == Some(self.client_pid.into())
                && row.text("comm") == self.lifecycle.client_name()
        };
        let mut mine: Vec<&Row> = rows.iter().filter(|row| self.lab.owns(row) || by_client(row)).collect();
        mine.sort_by(|one, other| one.text("time").cmp(other.text("time")));
        let mut wrong = Vec::new();
        self.check_outcomes(&mine, sight, &mut wrong);
        self.check_sums(&mine, &mut wrong);
        for row in &mine {
            if let Some(field) = self.check_fields(row) {
                wrong.push(format!("{field} of {}", row.0));
            }
        }
        check_pairs(&mine, &mut wrong);
        let name = self.lifecycle.name;
        let head = format!("  {name} over {:?}, pid {}:", self.family, self.client_pid);
        (!wrong.is_empty()).then(|| format!("{head}\n    {}\n    of\n{}", wrong.join("\n    "), show(&mine)))
    }

    pub(super) fn expected_connects(&self, sight: Sight) -> Vec<&'static str> {
        let rows = self.lifecycle.connects.iter().copied();
        match sight {
            Sight::Full => rows.collect(),
            // These two are raised after SYN_SENT.
            Sight::NoConnectExit => rows
                .filter(|row| !row.starts_with("local_error") || row.ends_with("EADDRNOTAVAIL"))
                .map(|row| if row.starts_with("local_error") { "local_error" } else { row })
                .collect(),
        }
    }

    fn check_outcomes(&self, mine: &[&Row], sight: Sight, wrong: &mut Vec<String>) {
        let outcomes = |event: &str, netns: u64| -> Vec<String> {
            let rows =
                mine.iter().filter(|row| row.text("event") == event && row.number("netns") == Some(netns));
            rows.map(|row| row.outcome()).collect()
        };
        let (client, server) = (self.lab.client.inode(), self.lab.server.inode());
        let connects = outcomes("connect", client);
        let expected = self.expected_connects(sight);
        if connects != expected {
            wrong.push(format!("connects {connects:?} instead of {expected:?}"));
        }
        let accepts = outcomes("accept", server);
        if accepts != vec!["success"; self.lifecycle.accepts] {
            wrong.push(format!("accepts {accepts:?} instead of {} times success", self.lifecycle.accepts));
        }
        for (side, netns, expected) in
            [("client", client, self.lifecycle.closes), ("server", server, self.lifecycle.server_closes)]
        {
            let closes = outcomes("close", netns);
            if !fits(&closes, expected) {
                wrong.push(format!("the {side}'s closes {closes:?} instead of {expected:?}"));
            }
        }
        for (event, netns) in [("connect", server), ("accept", client)] {
            let strange = outcomes(event, netns);
            if !strange.is_empty() {
                wrong.push(format!("{event} rows on the wrong side: {strange:?}"));
            }
        }
    }

    /// The rows add up to the kernel's counters; see `check_counters` for what each counts.
    fn check_sums(&self, mine: &[&Row], wrong: &mut Vec<String>) {
        let count = |event: &str, wanted: &dyn Fn(&str) -> bool| {
            mine.iter().filter(|row| row.text("event") == event && wanted(row.text("outcome"))).count() as u64
        };
        let sent = count("connect", &|outcome| outcome != "local_error");
        let failed = count("connect", &|outcome| NETWORK_FAILURES.contains(&outcome));
        let resent: u64 = mine.iter().filter_map(|row| row.number("syn_retransmits")).sum();
        for (name, rows, counted, unseen) in [
            ("ActiveOpens", sent, self.client.get("ActiveOpens"), i64::from(self.lifecycle.unsent)),
            ("AttemptFails", failed, self.client.get("AttemptFails"), 0),
            ("PassiveOpens", count("accept", &|_| true), self.server.get("PassiveOpens"), 0),
            ("TCPSynRetrans", resent, self.client.get("TCPSynRetrans"), 0),
        ] {
            if i64::try_from(rows) != Ok(counted + unseen) {
                wrong.push(format!("the rows add up to {rows} where {name} moved by {counted}"));
            }
        }
    }

    /// The first field that is not what it must be.
    fn check_fields(&self, row: &Row) -> Option<&'static str> {
        let life = self.lifecycle;
        let client = row.number("netns") == Some(self.lab.client.inode());
        let (role, name, pid) = if client {
            ("client", life.client_name(), Some(self.client_pid))
        } else {
            ("server", life.server_name(), self.server_pid)
        };
        let (client_ip, target) = (self.lab.client_ip(self.family), self.target.ip());
        let peer = if client { target } else { client_ip };
        // A child that inherited the socket may be the one that closes it.
        let may_be_child = life.client.contains(" fork ") && row.text("event") == "close";
        let ports = row.number("port");
        let closed_port = life.client.contains("connect:closed");
        let checks = [
            ("netns", self.lab.owns(row)),
            ("role", row.text("role") == role),
            ("comm", row.text("comm") == name),
            ("pid", row.number("pid") == pid.map(u64::from) || may_be_child),
            ("peer", row.text("peer") == peer.to_string()),
            ("port", ports == Some(PORT.into()) || closed_port && ports == Some(u64::from(PORT) + 1)),
            ("time", row.text("time").ends_with('Z')),
            ("socket", row.number("socket").is_some() || row.text("outcome") == "local_error"),
            ("connect_seconds", row.text("event") != "connect" || is_duration(row, "connect_seconds")),
            ("duration_seconds", row.text("event") != "close" || is_duration(row, "duration_seconds")),
            ("adopted", row.text("event") != "close" || row.0["adopted"] == false),
            (
                "local_port",
                row.text("outcome") != "success" || row.number("local_port").is_some_and(|port| port > 0),
            ),
        ];
        checks.into_iter().find_map(|(field, well)| (!well).then_some(field))
    }
}

fn is_duration(row: &Row, field: &str) -> bool {
    row.seconds(field).is_some_and(|seconds| (0.0..60.0).contains(&seconds))
}

/// Whether each row can be given an expectation of its own.
fn fits(rows: &[String], expected: &[&str]) -> bool {
    let mut expected = expected.to_vec();
    // The choosy ones first.
    expected.sort_by_key(|one| one.split('|').count());
    let mut rows = rows.to_vec();
    let taken = expected.iter().all(|one| {
        let found = rows.iter().position(|row| one.split('|').any(|alternative| alternative == row));
        found.map(|at| rows.swap_remove(at)).is_some()
    });
    taken && rows.is_empty()
}

/// Every connection that was opened in view is closed in view, under the same cookie.
fn check_pairs(mine: &[&Row], wrong: &mut Vec<String>) {
    let of = |event: &str| {
        let opened = |row: &&&Row| {
            row.text("event") == event && (event == "close" || row.text("outcome") == "success")
        };
        let mut cookies: Vec<_> = mine.iter().filter(opened).filter_map(|row| row.number("socket")).collect();
        cookies.sort_unstable();
        cookies
    };
    let mut opened = [of("connect"), of("accept")].concat();
    opened.sort_unstable();
    let closed = of("close");
    if opened != closed {
        wrong.push(format!("sockets opened {opened:?}, closed {closed:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[&str], expected: &[&str], fit: bool) {
        let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        assert_eq!(fits(&rows, expected), fit);
    }

    #[test]
    fn alternatives_do_not_take_what_another_needs() {
        check(&["closed", "reset EPIPE"], &["closed|reset EPIPE", "closed"], true);
        check(&["closed", "closed"], &["closed|reset EPIPE", "reset EPIPE"], false);
    }

    #[test]
    fn nothing_is_left_over() {
        check(&["closed"], &[], false);
        check(&[], &["closed"], false);
        check(&[], &[], true);
    }
}
