//! The records that travel from the kernel to the agent, through the ring buffer or the sweep.

use crate::bucket::BUCKETS;

/// What a record tells; the first byte of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// [`Connect`]: a connect attempt ended.
    Connect = 1,
    /// [`Accept`]: a connection was established on a listening port.
    Accept = 2,
    /// [`Close`]: a connection ended.
    Close = 3,
    /// [`Activity`]: what a connection did since its last report.
    Activity = 4,
    /// [`Spill`]: histogram counts that found no place in the socket's own slots.
    Spill = 5,
    /// [`Listen`]: a listening socket's queue.
    Listen = 6,
}

impl RecordKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Accept, Self::Close, Self::Activity, Self::Spill, Self::Listen];

    /// The kind a record's first byte stands for.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            1 => Some(Self::Connect),
            2 => Some(Self::Accept),
            3 => Some(Self::Close),
            4 => Some(Self::Activity),
            5 => Some(Self::Spill),
            6 => Some(Self::Listen),
            _ => None,
        }
    }

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Close => "close",
            Self::Activity => "activity",
            Self::Spill => "spill",
            Self::Listen => "listen",
        }
    }
}

/// Which side of a connection this host's socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// It called `connect`.
    Client = 1,
    /// It was made by a listening socket.
    Server = 2,
    /// It listens.
    Listener = 3,
}

impl Role {
    /// The role a byte stands for.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            1 => Some(Self::Client),
            2 => Some(Self::Server),
            3 => Some(Self::Listener),
            _ => None,
        }
    }

    /// The name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Listener => "listener",
        }
    }
}

/// The socket was there before the programs were; its figures start when it was picked up.
pub const FLAG_ADOPTED: u8 = 1;
/// The owner was read in the context of the process that uses the socket (not inherited from the listener).
pub const FLAG_OWNER: u8 = 2;
/// The connection was established; an end before that is the outcome of the attempt.
pub const FLAG_ESTABLISHED: u8 = 4;
/// A trace filter looks at this socket.
pub const FLAG_WATCHED: u8 = 8;
/// The opening was counted (a child that never was established is not closed twice).
pub const FLAG_COUNTED: u8 = 16;

/// Who and where: what identifies a connection and its owner.
///
/// Addresses are IPv6 or IPv4-mapped IPv6, in network byte order; ports are in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Identity {
    /// The kernel's socket cookie, unique while the system runs; 0 for an attempt that failed before the socket was used.
    pub cookie: u64,
    /// When the attempt began, the child was established or the socket was picked up: `CLOCK_MONOTONIC`, nanoseconds.
    pub start_ns: u64,
    /// The owner's cgroup v2 id.
    pub cgroup: u64,
    /// The owner's process name (of the thread group's leader), padded with zeros.
    pub comm: [u8; 16],
    /// Remote address.
    pub peer: [u8; 16],
    /// Local address.
    pub local: [u8; 16],
    /// The owner's thread group id; 0 when not known yet.
    pub pid: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Remote port.
    pub peer_port: u16,
    /// Local port; 0 when none is bound yet.
    pub local_port: u16,
    /// [`Role`] as a number.
    pub role: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// `AF_INET` or `AF_INET6`: the socket's family, whatever its addresses are.
    pub family: u16,
}

/// The end of a connect attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Connect {
    /// [`RecordKind::Connect`].
    pub kind: u8,
    /// [`crate::class::Outcome`] as a number.
    pub outcome: u8,
    /// The errno, 0 for none or not known.
    pub error: u16,
    /// How often the SYN was sent again.
    pub syn_retransmits: u32,
    /// When it ended: `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// From the SYN to the end, nanoseconds.
    pub latency_ns: u64,
    /// Who.
    pub id: Identity,
}

/// A connection established on a listening port, or its failure before that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Accept {
    /// [`RecordKind::Accept`].
    pub kind: u8,
    /// [`crate::class::Outcome`] as a number.
    pub outcome: u8,
    /// The errno, 0 for none.
    pub error: u16,
    /// Zero.
    pub reserved: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Who.
    pub id: Identity,
}

/// The end of a connection. An [`Activity`] with what was not reported yet comes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Close {
    /// [`RecordKind::Close`].
    pub kind: u8,
    /// [`crate::class::CloseOutcome`] as a number.
    pub outcome: u8,
    /// The errno, 0 for none.
    pub error: u16,
    /// Segments sent again over the connection's life.
    pub retransmits: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// From established (or picked up) to closed, nanoseconds.
    pub duration_ns: u64,
    /// Payload bytes the peer acknowledged, since the start.
    pub sent_bytes: u64,
    /// Payload bytes received, since the start.
    pub received_bytes: u64,
    /// Smoothed RTT, microseconds; 0 when never measured.
    pub srtt_us: u32,
    /// Smallest RTT the kernel remembers, microseconds; `u32::MAX` or 0 when never measured.
    pub min_rtt_us: u32,
    /// Who.
    pub id: Identity,
}

/// Slots of a [`Slots`] histogram: eight octaves fit without a conflict.
pub const SLOTS: usize = 32;

/// A small histogram in a socket's own storage: a cache of buckets, direct-mapped by the low bits of the bucket number.
///
/// A [`Slot`] whose bucket differs from the observed one's, or that is full, is pushed out as a [`Spill`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slots {
    /// Sum of the observed values, nanoseconds.
    pub sum_ns: u64,
    /// Largest observed value, nanoseconds.
    pub max_ns: u64,
    /// By bucket number modulo [`SLOTS`].
    pub slots: [Slot; SLOTS],
}

/// A bucket and how often it was observed: `bucket << 25 | count`. Half the size of two words puts four octaves on a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(pub u32);

impl Slot {
    const COUNT_BITS: u32 = 25;
    /// Additions of one that several CPUs make at once after a look at the slot stay far below the bucket's bits.
    const FULL: u32 = 1 << (Self::COUNT_BITS - 1);

    /// So many observations of a bucket.
    #[inline(always)]
    #[must_use]
    pub const fn new(bucket: u8, count: u32) -> Self {
        Self((bucket as u32) << Self::COUNT_BITS | count)
    }

    /// The bucket's number, below 128.
    #[inline(always)]
    #[must_use]
    pub const fn bucket(self) -> u8 {
        (self.0 >> Self::COUNT_BITS) as u8
    }

    /// How often it was observed.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0 & ((1 << Self::COUNT_BITS) - 1)
    }

    /// Whether one more observation of the bucket may be added here.
    #[inline(always)]
    #[must_use]
    pub const fn takes(self, bucket: u8) -> bool {
        // Another bucket's number leaves a difference beyond any count.
        self.0.wrapping_sub(Self::new(bucket, 0).0) < Self::FULL
    }
}

/// What an open connection did since its last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Activity {
    /// [`RecordKind::Activity`].
    pub kind: u8,
    /// Bit 0: the report comes with the connection's end.
    pub last: u8,
    /// Zero.
    pub reserved: u16,
    /// Smoothed RTT, microseconds; 0 when never measured.
    pub srtt_us: u32,
    /// Smallest RTT the kernel remembers, microseconds.
    pub min_rtt_us: u32,
    /// Retransmits by kind: see [`crate::class::Retransmit`].
    pub retransmits: [u32; 5],
    /// Resets sent, resets received.
    pub resets: [u32; 2],
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Payload bytes the peer acknowledged.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Client: response times. Server: service times.
    pub turn: Slots,
    /// Data in the socket to the program's read.
    pub wait: Slots,
    /// Who.
    pub id: Identity,
}

/// Which of a socket's histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// Response (client) or service (server) time.
    Turn = 0,
    /// Receive wait.
    Wait = 1,
}

/// A count pushed out of a socket's [`Slots`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Spill {
    /// [`RecordKind::Spill`].
    pub kind: u8,
    /// [`Family`] as a number.
    pub family: u8,
    /// Bucket number.
    pub bucket: u16,
    /// How many observations.
    pub count: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds; 0 when the program had not read the clock.
    pub time_ns: u64,
    /// Who.
    pub id: Identity,
}

/// A listening socket's queue, once a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Listen {
    /// [`RecordKind::Listen`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// Connections established and not yet accepted.
    pub queue: u32,
    /// The most that may wait: the smaller of `listen`'s backlog and `net.core.somaxconn`.
    pub limit: u32,
    /// Connections and SYNs dropped by this socket since it listens.
    pub drops: u64,
    /// Who; `local` and `local_port` are the listening address.
    pub id: Identity,
}

/// Places of [`Port::wait`].
pub const PORT_BUCKETS: usize = BUCKETS.next_power_of_two();

/// A port that is listened on: not a record, but read by the agent once a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// Sockets that listen on it now.
    pub listeners: u32,
    /// The owner's thread group id; 0 when not known.
    pub pid: u32,
    /// The owner's process name.
    pub comm: [u8; 16],
    /// Sum of the accept waits, nanoseconds.
    pub wait_sum_ns: u64,
    /// Accept waits by bucket; the length is the next power of two, so that a mask keeps an index within.
    pub wait: [u64; PORT_BUCKETS],
}

const _: () = {
    assert!(size_of::<Port>() == 32 + 8 * PORT_BUCKETS);
    assert!(size_of::<Identity>() == 88);
    assert!(size_of::<Connect>() == 24 + 88);
    assert!(size_of::<Accept>() == 16 + 88);
    assert!(size_of::<Close>() == 48 + 88);
    assert!(size_of::<Slots>() == 144);
    assert!(size_of::<Activity>() == 40 + 24 + 288 + 88);
    assert!(size_of::<Spill>() == 16 + 88);
    assert!(size_of::<Listen>() == 24 + 88);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(slot: Slot, bucket: u8, takes: bool) {
        assert_eq!(slot.takes(bucket), takes, "{slot:?}");
    }

    #[test]
    fn a_slot_takes_its_own_bucket_only() {
        check(Slot::new(33, 7), 33, true);
        check(Slot::new(33, 7), 1, false);
        check(Slot::new(33, 7), 65, false);
        check(Slot::new(0, 0), 105, false);
        check(Slot::new(105, 0), 0, false);
    }

    #[test]
    fn a_full_slot_takes_no_more() {
        check(Slot::new(105, Slot::FULL - 1), 105, true);
        check(Slot::new(105, Slot::FULL), 105, false);
    }

    #[test]
    fn a_slot_keeps_both_its_parts() {
        let slot = Slot::new(105, Slot::FULL);
        assert_eq!((slot.bucket(), slot.count()), (105, Slot::FULL));
    }
}
