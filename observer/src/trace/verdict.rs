//! One sentence: was it the network, the remote side or this host?
//!
//! A client's response time is the network's plus the remote side's. The network's share is one round trip an exchange; what is
//! left is the remote side's. Data that lay in the socket before the program read it is this host's. A server's own time is the
//! time from the request to the first byte of the answer.

use observer_abi::{class::Outcome, record::Role};

use super::{
    summary::{Stats, Summary},
    table::{duration, segments},
};

/// Where time can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Network,
    Remote,
    Host,
}

/// Seconds by place, from one side of the connections.
#[derive(Debug, Default)]
struct Split {
    network: f64,
    remote: f64,
    /// The program took its time to answer (server side).
    service: f64,
    /// The program was late to read.
    late: f64,
    exchanges: u64,
    /// Of the worst peer: `(p50, p99)`.
    turn: Option<(f64, f64)>,
    wait: Option<(f64, f64)>,
    rtt: Option<f64>,
    retransmits: u64,
}

impl Split {
    fn of(role: Role, groups: &[&Stats]) -> Self {
        let mut split = Self::default();
        let (mut most_turn, mut most_wait) = (0.0, 0.0);
        for stats in groups {
            let (turn, wait, n) = (stats.turn.sum(), stats.wait.sum(), stats.turn.count());
            let rtt = round_trip(stats);
            split.exchanges += n;
            split.late += wait;
            split.retransmits += stats.retransmits;
            if role == Role::Client {
                let network = (rtt.unwrap_or(0.0) * n as f64).min(turn);
                split.network += network + stats.connect.sum();
                split.remote += turn - network;
            } else {
                split.service += turn;
                split.network += rtt.unwrap_or(0.0) * n as f64;
            }
            if turn >= most_turn && n > 0 {
                most_turn = turn;
                split.turn = stats.turn.quantile(0.5).zip(stats.turn.quantile(0.99));
                split.rtt = rtt;
            }
            if wait >= most_wait && stats.wait.count() > 0 {
                most_wait = wait;
                split.wait = stats.wait.quantile(0.5).zip(stats.wait.quantile(0.99));
            }
        }
        split
    }

    fn total(&self) -> f64 {
        self.network + self.remote + self.service + self.late
    }

    fn share(&self, seconds: f64) -> String {
        format!("{:.0} %", 100.0 * seconds / self.total())
    }

    fn most(&self) -> Place {
        let host = self.service + self.late;
        if self.remote >= self.network && self.remote >= host {
            Place::Remote
        } else if self.network >= host {
            Place::Network
        } else {
            Place::Host
        }
    }
}

/// The network's round trip: what a connect took, unless a lost SYN stretched it; else the smallest the kernel remembers. The
/// smoothed RTT alone would be too large: an acknowledgement that waits for the answer carries the remote side's time.
fn round_trip(stats: &Stats) -> Option<f64> {
    let smoothed = stats.rtt.quantile(0.5);
    match stats.connect.quantile(0.5) {
        Some(connect) => Some(smoothed.map_or(connect, |s| s.min(connect))),
        None => stats.min_rtt.quantile(0.5).or(smoothed),
    }
}

/// The sentence.
pub(crate) fn sentence(summary: &Summary) -> String {
    let side = |role| -> Vec<&Stats> {
        summary.groups().filter(|(key, _)| key.role == role).map(|(_, stats)| stats).collect()
    };
    let clients = side(Role::Client);
    let client = Split::of(Role::Client, &clients);
    let server = Split::of(Role::Server, &side(Role::Server));
    let failures = failures(&clients);
    let time = if client.exchanges > 0 {
        Some(describe_client(&client, &server, summary))
    } else if server.exchanges > 0 {
        Some(describe_server(&server))
    } else {
        None
    };
    match (time, failures) {
        (Some(time), Some(failures)) => format!("{time} {failures}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) if client.network + client.late + server.late > 0.0 => {
            "Connections were made, but no exchange was seen on them.".to_owned()
        }
        (None, None) => "Nothing was seen.".to_owned(),
    }
}

fn describe_client(client: &Split, server: &Split, summary: &Summary) -> String {
    let place = match client.most() {
        Place::Network => "the network",
        Place::Remote => "the remote side",
        Place::Host => "this host's program, which reads late",
    };
    let mut text = format!(
        "Mostly {place}: of {} that clients waited in {} exchanges{}, the remote side took {}{}, the network {}{}, \
         this host's late reads {}{}",
        duration(client.total()),
        client.exchanges,
        most_waiting(client, summary),
        client.share(client.remote),
        spread("response", client.turn),
        client.share(client.network),
        client.rtt.map_or(String::new(), |rtt| format!(" (round trip {}{})", duration(rtt), again(client))),
        client.share(client.late),
        spread("receive wait", client.wait),
    );
    if server.exchanges > 0 && client.most() == Place::Remote {
        text.push_str(&format!(
            "; the serving side is on this host too: its program took {} to answer{}",
            duration(server.service),
            spread("service", server.turn)
        ));
        if server.wait.is_some() {
            let late = duration(server.late);
            text.push_str(&format!(" and read requests {late} late{}", spread("receive wait", server.wait)));
        }
    }
    text.push('.');
    text
}

/// Programs differ in what they wait for: one asks, another lets a request lie at the server until there is news.
fn most_waiting(client: &Split, summary: &Summary) -> String {
    let Some((name, spread)) = summary.most_waiting() else { return String::new() };
    let share = spread.sum() / client.total();
    let Some((p50, p99)) = spread.quantile(0.5).zip(spread.quantile(0.99)).filter(|_| share >= 0.5) else {
        return String::new();
    };
    format!(
        " ({} of it in {} of `{name}`: p50 {} p99 {})",
        client.share(spread.sum()),
        spread.count(),
        duration(p50),
        duration(p99)
    )
}

fn describe_server(server: &Split) -> String {
    let place = if server.most() == Place::Network {
        "the network"
    } else if server.service >= server.late {
        "this host's program, which takes its time to answer"
    } else {
        "this host's program, which reads late"
    };
    format!(
        "Mostly {place}: of {} that clients waited for {} answers, the program took {}{}, its late reads {}{}, the network {}{}.",
        duration(server.total()),
        server.exchanges,
        server.share(server.service),
        spread("service", server.turn),
        server.share(server.late),
        spread("receive wait", server.wait),
        server.share(server.network),
        server.rtt.map_or(String::new(), |rtt| format!(" (round trip {}{})", duration(rtt), again(server))),
    )
}

fn spread(name: &str, quantiles: Option<(f64, f64)>) -> String {
    quantiles
        .map_or(String::new(), |(p50, p99)| format!(" ({name} p50 {} p99 {})", duration(p50), duration(p99)))
}

fn again(split: &Split) -> String {
    match split.retransmits {
        0 => String::new(),
        n => format!(", {} sent again", segments(n)),
    }
}

/// What the failed attempts say, if there were any.
fn failures(groups: &[&Stats]) -> Option<String> {
    let mut counts = [0; Outcome::COUNT];
    let mut patience = 0.0_f64;
    for stats in groups {
        for (sum, n) in counts.iter_mut().zip(stats.connects) {
            *sum += n;
        }
        patience = patience.max(stats.failed.quantile(0.5).unwrap_or(0.0));
    }
    let all: u64 = counts.iter().sum();
    let failed = all - counts[Outcome::Success as usize];
    let (outcome, n) =
        Outcome::ALL.into_iter().skip(1).map(|o| (o, counts[o as usize])).max_by_key(|(_, n)| *n)?;
    if failed == 0 {
        return None;
    }
    let why = match outcome {
        Outcome::Refused => {
            "the remote side refuses: nothing listens there, or its firewall answers for it".to_owned()
        }
        Outcome::Timeout => {
            "nobody answers: the network drops the packets, or the remote side is down".to_owned()
        }
        Outcome::Unreachable => "the network says that there is no way".to_owned(),
        Outcome::Reset => "the remote side, or something before it, resets".to_owned(),
        Outcome::Canceled => {
            format!("this host's program gave up before an answer, after p50 {}", duration(patience))
        }
        Outcome::LocalError => {
            "this host refuses before anything is sent: routes, free ports or a policy".to_owned()
        }
        Outcome::Success => return None,
    };
    Some(format!("{failed} of {all} connects failed, {n} of them as {}: {why}.", outcome.as_str()))
}

#[cfg(test)]
mod tests {
    use observer_abi::record::{Activity, Connect, Identity, Slot, Slots};

    use super::*;

    const MS: u64 = 1_000_000;

    /// A report of `n` exchanges.
    fn report(role: Role, n: u64, turn_ms: u64, wait_ms: u64, rtt_us: u32) -> Activity {
        let slots = |ms: u64| {
            let mut slots = Slots { sum_ns: n * ms * MS, max_ns: ms * MS, ..Slots::default() };
            slots.slots[0] = Slot::new(observer_abi::bucket::bucket_of(ms * MS), n as u32);
            slots
        };
        let id = Identity { role: role as u8, peer_port: 9092, local_port: 9092, ..Identity::default() };
        Activity {
            srtt_us: rtt_us,
            min_rtt_us: rtt_us,
            turn: slots(turn_ms),
            wait: slots(wait_ms),
            id,
            ..Activity::default()
        }
    }

    #[track_caller]
    fn check(reports: &[Activity], start: &str) {
        let mut summary = Summary::default();
        for report in reports {
            summary.activity(report);
        }
        let sentence = sentence(&summary);
        assert!(sentence.starts_with(start), "{sentence}");
    }

    #[test]
    fn a_slow_broker_is_the_remote_side() {
        check(&[report(Role::Client, 100, 20, 0, 300)], "Mostly the remote side: of 2.00 s");
    }
    #[test]
    fn a_program_that_waits_for_news_is_named() {
        let mut producer = report(Role::Client, 200, 1, 0, 30);
        producer.id.comm[..8].copy_from_slice(b"producer");
        let mut consumer = report(Role::Client, 10, 250, 0, 30);
        consumer.id.comm[..8].copy_from_slice(b"consumer");
        let start = "Mostly the remote side: of 2.70 s that clients waited in 210 exchanges (93 % of it in 10 of `consumer`: p50 ";
        check(&[producer, consumer], start);
    }
    #[test]
    fn a_program_that_does_nothing_but_wait_is_no_news() {
        check(
            &[report(Role::Client, 10, 250, 0, 30)],
            "Mostly the remote side: of 2.50 s that clients waited in 10 exchanges, ",
        );
    }
    #[test]
    fn a_slow_path_is_the_network() {
        check(&[report(Role::Client, 100, 42, 0, 40_000)], "Mostly the network:");
    }
    #[test]
    fn a_slow_reader_is_this_host() {
        check(&[report(Role::Client, 100, 5, 80, 300)], "Mostly this host's program, which reads late:");
    }
    #[test]
    fn a_slow_service_is_this_host() {
        check(&[report(Role::Server, 100, 20, 0, 300)], "Mostly this host's program, which takes its time");
    }
    #[test]
    fn a_service_that_reads_late_is_this_host() {
        check(&[report(Role::Server, 100, 1, 20, 300)], "Mostly this host's program, which reads late:");
    }
    #[test]
    fn acknowledgements_that_wait_for_the_answer_are_not_the_network() {
        let mut report = report(Role::Client, 100, 20, 0, 20_000);
        report.min_rtt_us = 200;
        check(&[report], "Mostly the remote side:");
    }
    #[test]
    fn a_service_on_this_host_is_named() {
        let mut summary = Summary::default();
        summary.activity(&report(Role::Client, 100, 20, 0, 300));
        summary.activity(&report(Role::Server, 100, 20, 0, 300));
        assert!(sentence(&summary).contains(
            "; the serving side is on this host too: its program took 2.00 s to answer (service p50 "
        ));
    }
    #[test]
    fn failures_are_named_by_their_most_frequent_outcome() {
        let mut summary = Summary::default();
        for outcome in [Outcome::Refused, Outcome::Refused, Outcome::Timeout, Outcome::Success] {
            let id = Identity { role: 1, peer_port: 1, ..Identity::default() };
            summary.connect(&Connect { outcome: outcome as u8, id, ..Connect::default() });
        }
        assert!(
            sentence(&summary)
                .starts_with("3 of 4 connects failed, 2 of them as refused: the remote side refuses")
        );
    }
    #[test]
    fn nothing_is_said_to_be_nothing() {
        check(&[], "Nothing was seen.");
    }
}
