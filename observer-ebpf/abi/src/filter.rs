//! The trace filter: what the kernel programs compare, as pure functions that are tested on the host.

use crate::record::Identity;

/// Ports a filter can name.
pub const PORTS: usize = 8;
/// Networks a filter can name.
pub const NETWORKS: usize = 8;

/// An IPv6 (or IPv4-mapped) network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Network {
    /// The address, two big-endian halves as native integers.
    pub address: [u64; 2],
    /// The mask, likewise.
    pub mask: [u64; 2],
}

/// What a trace wants to see. All zero: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// 0: no filter at all, the other fields are not read.
    pub active: u32,
    /// The owner's thread group id; 0 for any.
    pub pid: u32,
    /// The owner's cgroup v2 id; 0 for any.
    pub cgroup: u64,
    /// The owner's process name as two native-endian halves; all zero for any.
    pub comm: [u64; 2],
    /// Connects that took less are not shown, nor closes whose slowest exchange did, nanoseconds.
    pub min_latency_ns: u64,
    /// Bit per `Outcome` number, from bit 0; bit 16 on per `CloseOutcome`. 0 for any.
    pub outcomes: u32,
    /// How many of `ports` count.
    pub port_count: u32,
    /// Local or remote ports, host byte order.
    pub ports: [u16; PORTS],
    /// How many of `networks` count.
    pub network_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Local or remote networks.
    pub networks: [Network; NETWORKS],
}

/// What the agent tells the programs while they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// What a trace wants to see.
    pub filter: Filter,
    /// 1: the connect exit is attached, so it tells synchronous errors and the state change does not have to guess.
    pub connect_exit: u32,
    /// Records in the ring, in bytes, at which the agent is woken before its next tick.
    pub wake_bytes: u32,
    /// 1: the search for sockets that are there already looks for listening ones, 0: for the others.
    pub seed_listeners: u32,
    /// Zero.
    pub reserved: u32,
}

/// An address as the halves [`Network`] compares.
#[must_use]
#[inline(always)]
pub const fn halves(address: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}

impl Network {
    /// Whether the address lies in the network.
    #[must_use]
    #[inline(always)]
    pub const fn contains(&self, address: [u64; 2]) -> bool {
        (address[0] ^ self.address[0]) & self.mask[0] == 0
            && (address[1] ^ self.address[1]) & self.mask[1] == 0
    }
}

impl Filter {
    /// Whether the connection's ends fit: known at once.
    #[must_use]
    #[inline(always)]
    pub fn ends(&self, id: &Identity) -> bool {
        self.port_fits(id) && self.network_fits(id)
    }

    /// Whether the owner fits: known once a process has touched the socket.
    #[must_use]
    #[inline(always)]
    pub fn owner(&self, id: &Identity) -> bool {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = id.comm;
        let comm =
            [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])];
        (self.pid == 0 || self.pid == id.pid)
            && (self.cgroup == 0 || self.cgroup == id.cgroup)
            && ((self.comm[0] | self.comm[1]) == 0 || (self.comm[0] == comm[0] && self.comm[1] == comm[1]))
    }

    /// Whether an attempt's outcome and latency fit.
    #[must_use]
    #[inline(always)]
    pub const fn outcome(&self, bit: u32, latency_ns: u64) -> bool {
        (self.outcomes == 0 || self.outcomes & (1 << (bit & 31)) != 0) && latency_ns >= self.min_latency_ns
    }

    #[inline(always)]
    fn port_fits(&self, id: &Identity) -> bool {
        if self.port_count == 0 {
            return true;
        }
        let mut fits = false;
        let mut i = 0;
        while i < PORTS {
            fits |= i < self.port_count as usize
                && (self.ports[i] == id.local_port || self.ports[i] == id.peer_port);
            i += 1;
        }
        fits
    }

    #[inline(always)]
    fn network_fits(&self, id: &Identity) -> bool {
        if self.network_count == 0 {
            return true;
        }
        let (peer, local) = (halves(&id.peer), halves(&id.local));
        let mut fits = false;
        let mut i = 0;
        while i < NETWORKS {
            fits |= i < self.network_count as usize
                && (self.networks[i].contains(peer) || self.networks[i].contains(local));
            i += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Identity {
        let mut peer = [0; 16];
        peer[10..].copy_from_slice(&[0xff, 0xff, 10, 1, 2, 3]);
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"nginx");
        Identity { peer, peer_port: 9092, local_port: 40000, pid: 7, cgroup: 9, comm, ..Identity::default() }
    }

    fn network(bytes: [u8; 16], bits: u32) -> Network {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes();
        Network { address: halves(&bytes), mask: halves(&mask) }
    }

    #[test]
    fn an_empty_filter_fits_everything() {
        let f = Filter::default();
        assert!(f.ends(&id()) && f.owner(&id()) && f.outcome(3, 0));
    }
    #[test]
    fn a_port_fits_on_either_side() {
        for port in [9092, 40000] {
            let mut f = Filter { port_count: 1, ..Filter::default() };
            f.ports[0] = port;
            assert!(f.ends(&id()));
        }
    }
    #[test]
    fn an_unused_port_place_does_not_match_port_zero() {
        let mut f = Filter { port_count: 1, ..Filter::default() };
        f.ports[0] = 80;
        assert!(!f.ends(&Identity { local_port: 0, ..id() }));
    }
    #[test]
    fn a_network_holds_its_addresses_only() {
        let mut f = Filter { network_count: 1, ..Filter::default() };
        f.networks[0] = network([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0], 96 + 8);
        assert!(f.ends(&id()));
        f.networks[0] = network([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 11, 0, 0, 0], 96 + 8);
        assert!(!f.ends(&id()));
    }
    #[test]
    fn owner_filters_combine() {
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"nginx");
        let halves = [
            u64::from_ne_bytes(comm[..8].try_into().unwrap()),
            u64::from_ne_bytes(comm[8..].try_into().unwrap()),
        ];
        assert!(Filter { pid: 7, comm: halves, cgroup: 9, ..Filter::default() }.owner(&id()));
        assert!(!Filter { pid: 8, comm: halves, ..Filter::default() }.owner(&id()));
        assert!(!Filter { comm: [1, 1], ..Filter::default() }.owner(&id()));
    }
    #[test]
    fn outcome_bits_and_latency_combine() {
        let f = Filter { outcomes: 0b10, min_latency_ns: 100, ..Filter::default() };
        assert!(f.outcome(1, 100));
        assert!(!f.outcome(0, 100));
        assert!(!f.outcome(1, 99));
    }
}
