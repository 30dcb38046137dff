//! Per-CPU totals: what happened, counted before anything can be lost.

use crate::{
    class::{CloseOutcome, Outcome, Retransmit, TCP_STATES},
    record::RecordKind,
};

/// Room for every [`RecordKind`] by its number.
pub const KINDS: usize = RecordKind::ALL.len() + 1;

/// One CPU's totals since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Totals {
    /// Records offered to the ring, by [`RecordKind`].
    pub offered: [u64; KINDS],
    /// Records the ring had no room for, by [`RecordKind`].
    pub ring_full: [u64; KINDS],
    /// Connect attempts by [`Outcome`].
    pub connects: [u64; Outcome::COUNT],
    /// Connections established on listening ports, those that failed before included.
    pub accepts: u64,
    /// Connections ended, by [`CloseOutcome`].
    pub closes: [u64; CloseOutcome::COUNT],
    /// Segments sent again, by [`Retransmit`].
    pub retransmits: [u64; Retransmit::COUNT],
    /// Of these, the ones no connection's own figures will tell: SYN-ACKs, and segments of sockets that are not known.
    pub loose_retransmits: [u64; Retransmit::COUNT],
    /// Resets sent, resets received.
    pub resets: [u64; 2],
    /// Of these, the ones that belong to no established connection.
    pub loose_resets: [u64; 2],
    /// Payload bytes reported as sent and as received.
    pub bytes: [u64; 2],
    /// Response and service times, receive waits reported.
    pub turns: [u64; 2],
    /// Sockets by TCP state: entered minus left, as two's complement.
    pub states: [u64; TCP_STATES],
    /// Sockets whose state could not be stored.
    pub storage_failed: u64,
    /// Sockets the sweep visited.
    pub swept: u64,
    /// Idle sockets that gave their accumulators back.
    pub given_back: u64,
    /// Sockets whose place another one had.
    pub displaced: u64,
}

impl Totals {
    /// Adds another CPU's totals.
    pub fn merge(&mut self, other: &Self) {
        fn add(a: &mut [u64], b: &[u64]) {
            for (a, b) in a.iter_mut().zip(b) {
                *a = a.wrapping_add(*b);
            }
        }
        let Self {
            offered,
            ring_full,
            connects,
            accepts,
            closes,
            retransmits,
            loose_retransmits,
            resets,
            loose_resets,
            bytes,
            turns,
            states,
            storage_failed,
            swept,
            given_back,
            displaced,
        } = self;
        add(offered, &other.offered);
        add(ring_full, &other.ring_full);
        add(connects, &other.connects);
        add(closes, &other.closes);
        add(retransmits, &other.retransmits);
        add(resets, &other.resets);
        add(loose_retransmits, &other.loose_retransmits);
        add(loose_resets, &other.loose_resets);
        add(bytes, &other.bytes);
        add(turns, &other.turns);
        add(states, &other.states);
        *accepts = accepts.wrapping_add(other.accepts);
        *storage_failed = storage_failed.wrapping_add(other.storage_failed);
        *swept = swept.wrapping_add(other.swept);
        *given_back = given_back.wrapping_add(other.given_back);
        *displaced = displaced.wrapping_add(other.displaced);
    }
}
