//! Pure decisions shared by both sides: how a connect attempt or a connection ended.

/// How a connect attempt ended. Every attempt ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Established.
    Success = 0,
    /// The peer answered with a reset, or its host with ICMP port unreachable.
    Refused = 1,
    /// Nobody answered.
    Timeout = 2,
    /// The network or a neighbour said that there is no way, or a firewall that there must be none.
    Unreachable = 3,
    /// Reset after an answer.
    Reset = 4,
    /// The program gave up first: its own timeout, or its end.
    Canceled = 5,
    /// This host refused before anything was sent: no route, no free port, a policy.
    LocalError = 6,
}

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Success,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::Reset,
        Self::Canceled,
        Self::LocalError,
    ];

    /// The outcome a number stands for.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Success),
            1 => Some(Self::Refused),
            2 => Some(Self::Timeout),
            3 => Some(Self::Unreachable),
            4 => Some(Self::Reset),
            5 => Some(Self::Canceled),
            6 => Some(Self::LocalError),
            _ => None,
        }
    }

    /// The name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Canceled => "canceled",
            Self::LocalError => "local_error",
        }
    }
}

/// How an established connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CloseOutcome {
    /// One side closed it, whatever data was left.
    Closed = 0,
    /// The peer reset it.
    Reset = 1,
    /// The peer stopped answering.
    Timeout = 2,
    /// The network said that there is no way any more.
    Unreachable = 3,
    /// Any other error.
    Error = 4,
}

impl CloseOutcome {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Closed, Self::Reset, Self::Timeout, Self::Unreachable, Self::Error];

    /// The outcome a number stands for.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Closed),
            1 => Some(Self::Reset),
            2 => Some(Self::Timeout),
            3 => Some(Self::Unreachable),
            4 => Some(Self::Error),
            _ => None,
        }
    }

    /// The name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Error => "error",
        }
    }
}

/// Why a segment was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Retransmit {
    /// The SYN of a connect.
    Syn = 0,
    /// The SYN-ACK of a listening port.
    SynAck = 1,
    /// The retransmission timer fired.
    Timeout = 2,
    /// Duplicate acknowledgements or SACK.
    Fast = 3,
    /// A tail loss probe, or any other while nothing was known to be lost.
    Probe = 4,
}

impl Retransmit {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::Syn, Self::SynAck, Self::Timeout, Self::Fast, Self::Probe];

    /// The name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "synack",
            Self::Timeout => "rto",
            Self::Fast => "fast",
            Self::Probe => "probe",
        }
    }

    /// From the socket's state and its congestion state (`icsk_ca_state`; `enum tcp_ca_state` of `include/uapi/linux/tcp.h`).
    #[must_use]
    #[inline(always)]
    pub const fn classify(state: u8, congestion: u8) -> Self {
        match (state, congestion) {
            (TCP_SYN_SENT, _) => Self::Syn,
            (TCP_SYN_RECV, _) => Self::SynAck,
            (_, 4) => Self::Timeout,
            (_, 2 | 3) => Self::Fast,
            _ => Self::Probe,
        }
    }
}

/// States of `include/net/tcp_states.h`.
pub const TCP_ESTABLISHED: u8 = 1;
/// A SYN was sent.
pub const TCP_SYN_SENT: u8 = 2;
/// A SYN was received.
pub const TCP_SYN_RECV: u8 = 3;
/// Closed.
pub const TCP_CLOSE: u8 = 7;
/// Listening.
pub const TCP_LISTEN: u8 = 10;
/// How many numbers a state may have.
pub const TCP_STATES: usize = 13;

/// The state's name in labels, after `include/net/tcp_states.h`.
#[must_use]
pub const fn state_name(state: usize) -> Option<&'static str> {
    Some(match state {
        1 => "established",
        2 => "syn_sent",
        3 => "syn_recv",
        4 => "fin_wait1",
        5 => "fin_wait2",
        8 => "close_wait",
        9 => "last_ack",
        10 => "listen",
        11 => "closing",
        _ => return None,
    })
}

const EPERM: u16 = 1;
const EACCES: u16 = 13;
const EPIPE: u16 = 32;
const ENONET: u16 = 64;
const EPROTO: u16 = 71;
const ENOPROTOOPT: u16 = 92;
const EOPNOTSUPP: u16 = 95;
const ENETDOWN: u16 = 100;
const ENETUNREACH: u16 = 101;
const ECONNRESET: u16 = 104;
const ETIMEDOUT: u16 = 110;
const ECONNREFUSED: u16 = 111;
const EHOSTDOWN: u16 = 112;
const EHOSTUNREACH: u16 = 113;

/// Errors that ICMP and ICMPv6 turn into (`icmp_err_convert` in `net/ipv4/icmp.c`, `icmpv6_err_convert` in `net/ipv6/icmp.c`).
#[inline(always)]
const fn is_unreachable(error: u16) -> bool {
    matches!(
        error,
        EACCES
            | EPERM
            | ENONET
            | EPROTO
            | ENOPROTOOPT
            | EOPNOTSUPP
            | ENETDOWN
            | ENETUNREACH
            | EHOSTDOWN
            | EHOSTUNREACH
    )
}

/// The outcome of an attempt that went from SYN_SENT (or SYN_RECV) to CLOSE.
///
/// `error` is `sk_err`, `shutdown` is `sk_shutdown`; `in_call` says that the connecting task is still inside its own connect.
#[must_use]
#[inline(always)]
pub const fn connect_failure(error: u16, shutdown: u8, in_call: bool) -> Outcome {
    match error {
        0 if in_call && shutdown == 0 => Outcome::LocalError,
        0 => Outcome::Canceled,
        ECONNREFUSED => Outcome::Refused,
        ETIMEDOUT => Outcome::Timeout,
        ECONNRESET | EPIPE => Outcome::Reset,
        e if is_unreachable(e) => Outcome::Unreachable,
        _ => Outcome::LocalError,
    }
}

/// How an established connection ended, from `sk_err`.
///
/// Closing with unread data, closing an idle connection and closing a listener are not failures: they leave `sk_err` at 0.
#[must_use]
#[inline(always)]
pub const fn close_outcome(error: u16) -> CloseOutcome {
    match error {
        0 => CloseOutcome::Closed,
        ECONNRESET | EPIPE | ECONNREFUSED => CloseOutcome::Reset,
        ETIMEDOUT => CloseOutcome::Timeout,
        e if is_unreachable(e) => CloseOutcome::Unreachable,
        _ => CloseOutcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn failure(error: u16, shutdown: u8, in_call: bool, expected: Outcome) {
        assert_eq!(connect_failure(error, shutdown, in_call), expected);
    }

    #[test]
    fn reset_in_answer_to_a_syn_is_refused() {
        failure(ECONNREFUSED, 0, false, Outcome::Refused);
    }
    #[test]
    fn silence_is_a_timeout() {
        failure(ETIMEDOUT, 0, false, Outcome::Timeout);
    }
    #[test]
    fn icmp_and_neighbour_failures_are_unreachable() {
        for e in [EHOSTUNREACH, ENETUNREACH, EACCES, ENOPROTOOPT, EPROTO] {
            failure(e, 0, false, Outcome::Unreachable);
        }
    }
    #[test]
    fn closing_first_is_canceled() {
        failure(0, 3, false, Outcome::Canceled);
        failure(0, 3, true, Outcome::Canceled);
    }
    #[test]
    fn ending_without_error_inside_the_call_is_local() {
        failure(0, 0, true, Outcome::LocalError);
    }
    #[test]
    fn ordinary_ends_are_closed() {
        assert_eq!(close_outcome(0), CloseOutcome::Closed);
    }
    #[test]
    fn a_reset_is_a_reset_in_every_state() {
        assert_eq!(close_outcome(ECONNRESET), CloseOutcome::Reset);
        // A reset that arrives in CLOSE_WAIT leaves EPIPE (tcp_reset in net/ipv4/tcp_input.c).
        assert_eq!(close_outcome(EPIPE), CloseOutcome::Reset);
    }
    #[test]
    fn numbers_and_values_agree() {
        for (n, o) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(Outcome::from_u8(u8::try_from(n).unwrap()), Some(o));
        }
        for (n, o) in CloseOutcome::ALL.into_iter().enumerate() {
            assert_eq!(CloseOutcome::from_u8(u8::try_from(n).unwrap()), Some(o));
        }
        assert_eq!(Outcome::from_u8(7), None);
    }
    #[test]
    fn loss_recovery_names_the_retransmit() {
        assert_eq!(Retransmit::classify(TCP_SYN_SENT, 0), Retransmit::Syn);
        assert_eq!(Retransmit::classify(TCP_ESTABLISHED, 4), Retransmit::Timeout);
        assert_eq!(Retransmit::classify(TCP_ESTABLISHED, 3), Retransmit::Fast);
        assert_eq!(Retransmit::classify(TCP_ESTABLISHED, 0), Retransmit::Probe);
    }
}
