//! The lives a TCP connection can lead: how each is brought about, what the program sees, what the kernel counts, and
//! which rows it must leave.

mod page;
mod rows;
mod table;

use std::net::{IpAddr, SocketAddr};

pub use self::{rows::Sight, table::LIFECYCLES};
use crate::{
    cgroup::Cgroup,
    clock,
    counters::Counters,
    lab::{Family, Lab},
    parallel,
    program::{Program, Start},
    serve::{Listen, Then},
};

/// One kind of life. Rows are written `OUTCOME[ ERROR]`, alternatives with `|`.
pub struct Lifecycle {
    /// What it is called; the client is `c-NAME` and the server `s-NAME`.
    pub name: &'static str,
    /// The IP versions it exists for.
    pub families: &'static [Family],
    /// What is wrong with the network.
    pub faults: &'static [Fault],
    /// Whom the client addresses.
    pub target: Target,
    /// Who listens at [`PORT`].
    pub listen: Option<Listen>,
    /// The client's script.
    pub client: &'static str,
    /// The client's `connect` rows, in order.
    pub connects: &'static [&'static str],
    /// The client's `close` rows.
    pub closes: &'static [&'static str],
    /// How many `accept` rows the server has, all of them `success`.
    pub accepts: usize,
    /// The server's `close` rows. Whoever ends a connection has `closed` it, also by a reset of its own.
    pub server_closes: &'static [&'static str],
    /// Attempts for which no SYN was sent, though they are no local errors: not in `ActiveOpens`.
    pub unsent: u32,
    /// Handshakes that died in the server before there was a socket: in its `AttemptFails`, without a row.
    pub embryonic: usize,
    /// Counters that must have moved, written `client NAME` or `server NAME`.
    pub proof: &'static [&'static str],
}

/// Something wrong, or set up, before the client starts.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// What comes in at the server is answered by this firewall rule (IPv4, IPv6).
    Firewall(&'static str, &'static str),
    /// A lost SYN is sent again once only.
    OneRetry,
    /// What comes in at the server comes so many milliseconds late.
    SlowPath(u64),
    /// The client has one port to connect from.
    OnePort,
    /// TCP fast open is on, on both sides.
    FastOpen,
    /// The client's route to [`Target::Nowhere`] is of this kind (`unreachable`, `prohibit`).
    Route(&'static str),
    /// The client's cgroup has a hook that forbids connecting.
    ForbidConnect,
}

/// Whom the client addresses.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The server.
    Server,
    /// An address on the wire that nobody has.
    Nobody,
    /// A network to which there is no route.
    Nowhere,
    /// Itself.
    Itself,
}

/// The service's port. Nobody listens on the next one.
pub const PORT: u16 = 7000;

/// A life that was led.
pub struct Played {
    /// Which.
    pub lifecycle: &'static Lifecycle,
    /// Over what.
    pub family: Family,
    /// Where; its namespaces live on, so that their inode numbers stay unique.
    pub lab: Lab,
    /// Whom the client addressed.
    pub target: SocketAddr,
    /// The client's process id.
    pub client_pid: u32,
    /// The server's process id.
    pub server_pid: Option<u32>,
    /// What the client's kernel counted.
    pub client: Counters,
    /// What the server's kernel counted.
    pub server: Counters,
}

impl Lifecycle {
    /// The client's name as rows show it.
    #[must_use]
    pub fn client_name(&self) -> String {
        format!("c-{}", self.name).chars().take(15).collect()
    }

    /// The server's name as rows show it.
    #[must_use]
    pub fn server_name(&self) -> String {
        format!("s-{}", self.name).chars().take(15).collect()
    }

    /// Leads the life once, and checks what the programs saw and what the kernel counted.
    ///
    /// # Errors
    /// When it was not the life it should have been: then rows prove nothing.
    pub fn play(&'static self, family: Family) -> Result<Played, String> {
        let mut lab = Lab::new();
        let mut cgroup = None;
        for fault in self.faults {
            fault.set_up(&mut lab, family, &mut cgroup);
        }
        let before = (Counters::read(&lab.client), Counters::read(&lab.server));
        let target = SocketAddr::new(self.target.address(&lab, family), PORT);
        let address = lab.service(family, PORT);
        let serve = |listen| Start::new(&lab.server, &self.server_name()).serve(address, listen);
        let mut server = self.listen.as_ref().map(serve);
        let mut start = Start::new(&lab.client, &self.client_name());
        if let Some(cgroup) = &cgroup {
            start = start.in_cgroup(cgroup.procs());
        }
        let mut client = start.play(target, self.client);
        let ended = client.end();
        if self.embryonic > 0 {
            // The server must not end while they are on their way; if they never come, the check below says so.
            let fails = || Counters::read(&lab.server).since(&before.1).get("AttemptFails");
            clock::wait(|| (fails() > 0).then_some(()));
        }
        let ended = ended.and_then(|()| server.as_mut().map_or(Ok(()), |server| self.end_server(server)));
        let since =
            || (Counters::read(&lab.client).since(&before.0), Counters::read(&lab.server).since(&before.1));
        let counted = || {
            let (client, server) = since();
            self.check_counters(&client, &server).map(|()| (client, server))
        };
        let (client_pid, server_pid) = (client.pid, server.as_ref().map(|server| server.pid));
        ended
            .and_then(|()| clock::wait(|| counted().ok()).map_or_else(counted, Ok))
            .map(|(client, server)| Played {
                lifecycle: self,
                family,
                target,
                client_pid,
                server_pid,
                client,
                server,
                lab,
            })
            .map_err(|error| format!("{} over {family:?} was not played: {error}", self.name))
    }

    fn end_server(&self, server: &mut Program) -> Result<(), String> {
        if matches!(&self.listen, Some(Listen { then: Then::Queue, .. })) {
            server.release();
        }
        server.end()
    }

    /// How the rows of a life add up to the kernel's counters.
    ///
    /// - `ActiveOpens` counts the SYNs of connects: every outcome but `local_error`, which ends before the SYN.
    /// - `AttemptFails` counts what ended in SYN_SENT or SYN_RECV by the network's doing: `refused`, `timeout`,
    ///   `unreachable` and `reset`. A `canceled` connect was ended by its program and is not among them.
    /// - `PassiveOpens` counts the `accept` rows: a socket that came of a SYN to a listening one.
    fn check_counters(&self, client: &Counters, server: &Counters) -> Result<(), String> {
        let outcomes = || self.connects.iter().filter_map(|row| row.split(' ').next());
        let sent = outcomes().filter(|outcome| *outcome != "local_error").count() - self.unsent as usize;
        let failed = outcomes().filter(|outcome| NETWORK_FAILURES.contains(outcome)).count();
        for (side, counters, name, expected) in [
            ("client", client, "ActiveOpens", sent),
            ("client", client, "AttemptFails", failed),
            ("client", client, "PassiveOpens", 0),
            ("server", server, "ActiveOpens", 0),
            ("server", server, "AttemptFails", self.embryonic),
            ("server", server, "PassiveOpens", self.accepts),
        ] {
            let counted = counters.get(name);
            if usize::try_from(counted) != Ok(expected) {
                let all = counters.nonzero();
                return Err(format!(
                    "the {side}'s {name} moved by {counted} instead of {expected} (of {all})"
                ));
            }
        }
        for proof in self.proof {
            let (side, name) = proof.split_once(' ').unwrap_or_default();
            if (if side == "client" { client } else { server }).get(name) == 0 {
                return Err(format!("the {side}'s {name} did not move"));
            }
        }
        Ok(())
    }
}

/// The connect outcomes that the kernel counts in `AttemptFails`.
pub const NETWORK_FAILURES: &[&str] = &["refused", "timeout", "unreachable", "reset"];

impl Target {
    fn address(self, lab: &Lab, family: Family) -> IpAddr {
        match (self, family) {
            (Self::Server, _) => lab.server_ip(family),
            (Self::Nobody, _) => lab.nobody(family),
            (Self::Itself, _) => lab.client_ip(family),
            (Self::Nowhere, _) => lab.nowhere(family),
        }
    }
}

impl Fault {
    fn set_up(self, lab: &mut Lab, family: Family, cgroup: &mut Option<Cgroup>) {
        match self {
            Self::Firewall(four, six) => {
                lab.server_input(family, if family == Family::V4 { four } else { six });
            }
            Self::OneRetry => lab.client.sysctl("ipv4/tcp_syn_retries", "1"),
            Self::SlowPath(milliseconds) => lab.slow_path(milliseconds),
            Self::OnePort => lab.client.sysctl("ipv4/ip_local_port_range", "41000 41000"),
            Self::FastOpen => {
                for host in [&lab.client, &lab.server] {
                    host.sysctl("ipv4/tcp_fastopen", "3");
                }
            }
            Self::Route(kind) => {
                let nowhere = Target::Nowhere.address(lab, family);
                lab.client.ip(&format!("route add {kind} {nowhere}"));
            }
            Self::ForbidConnect => cgroup.insert(Cgroup::new()).forbid_connect(),
        }
    }
}

/// Every life over every IP version it exists for.
#[must_use]
pub fn all() -> Vec<(&'static Lifecycle, Family)> {
    LIFECYCLES.iter().flat_map(|life| life.families.iter().map(move |family| (life, *family))).collect()
}

/// Leads lives, several at a time.
///
/// # Errors
/// Says which were not what they should have been.
pub fn play(lives: &[(&'static Lifecycle, Family)]) -> Result<Vec<Played>, String> {
    let (mut played, mut failed) = (Vec::new(), Vec::new());
    for result in parallel::map(lives, |(life, family)| life.play(*family)) {
        match result {
            Ok(one) => played.push(one),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() { Ok(played) } else { Err(failed.join("\n")) }
}
