//! Two hosts and the wire between them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::{
    clock,
    delay::Delay,
    netns::{self, Netns},
    row::Row,
};

/// The IP version a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// Both.
pub const BOTH: &[Family] = &[Family::V4, Family::V6];

/// A client and a server namespace joined by a veth pair. The addresses differ from those of every other lab of the
/// machine, so that what an agent reports about the whole node can be told apart.
pub struct Lab {
    /// Where clients run.
    pub client: Netns,
    /// Where servers run.
    pub server: Netns,
    number: u32,
    delay: Option<Delay>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        // 21 bits: a /29 of 10.0.0.0/8 each.
        let number = ((std::process::id() % (1 << 11)) << 10) | (NEXT.fetch_add(1, Relaxed) % (1 << 10));
        let lab = Self { client: Netns::new(), server: Netns::new(), number, delay: None };
        lab.client.ip(&format!("link add c0 type veth peer name s0 netns {}", lab.server.path()));
        // Addresses come last: IPv6 on a link that has no carrier yet does not hear neighbours for a second.
        lab.client.ip("link set c0 up");
        lab.server.ip("link set s0 up");
        for (host, link, address) in [
            (&lab.client, "c0", Self::client_ip as fn(&Self, Family) -> IpAddr),
            (&lab.server, "s0", Self::server_ip),
        ] {
            let (four, six) = (address(&lab, Family::V4), address(&lab, Family::V6));
            host.ip_batch(&format!("addr add {four}/29 dev {link}\naddr add {six}/64 dev {link} nodad\n"));
            // The kernel makes an IPv6 address usable a little later, in a thread of its own.
            let usable = || UdpSocket::bind((six, 0)).and_then(|socket| socket.connect((six, 1))).ok();
            host.run(|| clock::wait_for("a usable IPv6 address", usable));
        }
        lab
    }

    fn ip(&self, family: Family, host: u32) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(10 << 24 | self.number << 3 | host).into(),
            Family::V6 => {
                let (high, low) = (self.number >> 16, self.number & 0xffff);
                let prefix = 0xfd00_6f62_u128 << 96 | u128::from(high) << 80 | u128::from(low) << 64;
                Ipv6Addr::from_bits(prefix | u128::from(host)).into()
            }
        }
    }

    /// The client's address.
    #[must_use]
    pub fn client_ip(&self, family: Family) -> IpAddr {
        self.ip(family, 1)
    }

    /// The server's address.
    #[must_use]
    pub fn server_ip(&self, family: Family) -> IpAddr {
        self.ip(family, 2)
    }

    /// The network of the wire, with its prefix length: what is told about it concerns this lab only.
    #[must_use]
    pub fn network(&self, family: Family) -> String {
        let length = if family == Family::V4 { 29 } else { 64 };
        format!("{}/{length}", self.ip(family, 0))
    }

    /// Whether a row is about this lab. Namespaces alone would not do: the kernel uses their numbers again, and a trace sees
    /// those of others come and go.
    #[must_use]
    pub fn owns(&self, row: &Row) -> bool {
        let netns = row.number("netns");
        let inside = netns == Some(self.client.inode()) || netns == Some(self.server.inode());
        let ours = BOTH.iter().flat_map(|family| {
            let family = *family;
            [self.client_ip(family), self.server_ip(family), self.nobody(family), self.nowhere(family)]
        });
        inside && ours.map(|ip| ip.to_string()).any(|ip| row.text("local") == ip || row.text("peer") == ip)
    }

    /// An address on the wire that nobody has.
    #[must_use]
    pub fn nobody(&self, family: Family) -> IpAddr {
        self.ip(family, 5)
    }

    /// An address to which there is no route: of the networks for benchmarks (RFC 2544) and for documentation (RFC 3849).
    #[must_use]
    pub fn nowhere(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(198 << 24 | 18 << 16 | (self.number % (1 << 17))).into(),
            Family::V6 => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(self.number)).into(),
        }
    }

    /// A service of the server.
    #[must_use]
    pub fn service(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.server_ip(family), port)
    }

    /// Adds a firewall rule to the TCP packets that come in at the server.
    #[track_caller]
    pub fn server_input(&self, family: Family, rule: &str) {
        self.rule(family, &format!("-A INPUT -p tcp {rule}"));
    }

    #[track_caller]
    fn rule(&self, family: Family, rule: &str) {
        let tool = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        netns::run(self.server.command(tool).args(["-w", "10"]).args(rule.split_whitespace()), None);
    }

    /// Holds every TCP packet that comes in at the server for `milliseconds`.
    pub fn slow_path(&mut self, milliseconds: u64) {
        const QUEUE: u16 = 5;
        self.delay = Some(Delay::start(&self.server, QUEUE, milliseconds));
        for family in BOTH {
            // Before the kernel looks for the packet's socket: it would otherwise be the socket of the time at which
            // the packet came, a request that has become a connection since.
            self.rule(*family, &format!("-t mangle -A PREROUTING -p tcp -j NFQUEUE --queue-num {QUEUE}"));
        }
        // A super-packet of many segments would be held, and acknowledged, as one.
        self.client.ip("link set c0 gso_max_segs 1");
        self.server.ip("link set s0 gso_max_segs 1");
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}
