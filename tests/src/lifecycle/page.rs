//! Holds the agent's page against the life that was led.

use std::collections::BTreeMap;

use super::{PORT, Played, Sight};
use crate::page::Page;

impl Played {
    /// Everything on the page that is not what the life must have left; nothing if all is well.
    #[must_use]
    pub fn check_page(&self, page: &Page, sight: Sight) -> Option<String> {
        let (client, server) = (self.lifecycle.client_name(), self.lifecycle.server_name());
        let (peer, client_ip) = (self.target.ip().to_string(), self.lab.client_ip(self.family).to_string());
        let is_client: &[(&str, &str)] = &[("role", "client"), ("comm", &client), ("peer", &peer)];
        let is_server: &[(&str, &str)] = &[("role", "server"), ("comm", &server), ("peer", &client_ip)];
        let mut wrong = Vec::new();
        let mut expect = |name: &str, common: &[(&str, &str)], own: &[(&str, &str)], expected: usize| {
            let labels = [common, own].concat();
            let got = page.sum(name, &labels);
            if got != expected as f64 {
                wrong.push(format!("{name}{labels:?} is {got} instead of {expected}"));
            }
        };

        let connects = tally(&self.expected_connects(sight));
        for ((outcome, error), count) in &connects {
            expect(
                "observer_tcp_connects_total",
                is_client,
                &[("outcome", outcome), ("error", error)],
                *count,
            );
        }
        for (outcome, count) in by_outcome(&connects) {
            let name = "observer_tcp_connect_duration_seconds_count";
            expect(name, is_client, &[("outcome", outcome)], count);
        }
        // Nothing else, under whatever label.
        let all = self.expected_connects(sight).len();
        expect("observer_tcp_connects_total", &is_client[..2], &[("peer", &peer)], all);
        let elsewhere = usize::from(self.lifecycle.client.contains("connect:closed"));
        let port = PORT.to_string();
        expect("observer_tcp_connects_total", is_client, &[("port", &port)], all - elsewhere);
        expect("observer_tcp_accepts_total", is_server, &[("port", &port)], self.lifecycle.accepts);
        for (common, closes) in
            [(is_client, self.lifecycle.closes), (is_server, self.lifecycle.server_closes)]
        {
            expect("observer_tcp_closes_total", common, &[], closes.len());
            if closes.iter().all(|close| !close.contains('|')) {
                for (outcome, count) in by_outcome(&tally(closes)) {
                    expect("observer_tcp_closes_total", common, &[("outcome", outcome)], count);
                }
            }
        }
        let resent = usize::try_from(self.client.get("TCPSynRetrans")).unwrap_or_default();
        expect("observer_tcp_retransmits_total", is_client, &[("kind", "syn")], resent);
        // What was sent, by the page and by the kernel.
        let name = "observer_tcp_connects_total";
        let local = [is_client, &[("outcome", "local_error")]].concat();
        let sent = page.sum(name, is_client) - page.sum(name, &local);
        let counted = self.client.get("ActiveOpens") + i64::from(self.lifecycle.unsent);
        if sent != counted as f64 {
            wrong.push(format!("{sent} attempts on the page, {counted} in ActiveOpens"));
        }
        let head = format!("  {} over {:?}:", self.lifecycle.name, self.family);
        (!wrong.is_empty()).then(|| format!("{head}\n    {}", wrong.join("\n    ")))
    }
}

type Tally = BTreeMap<(&'static str, &'static str), usize>;

/// How often each outcome and error is expected.
fn tally(rows: &[&'static str]) -> Tally {
    let mut tally = Tally::new();
    for row in rows {
        *tally.entry(row.split_once(' ').unwrap_or((row, ""))).or_default() += 1;
    }
    tally
}

fn by_outcome(tally: &Tally) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    for ((outcome, _), count) in tally {
        *outcomes.entry(*outcome).or_default() += count;
    }
    outcomes
}
