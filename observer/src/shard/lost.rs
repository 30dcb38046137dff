//! What the kernel counted and its records could not tell.
//!
//! The per-CPU totals are raised before the ring is asked for room, so totals minus what was decoded is what was lost — but
//! also what is still on its way. Only as much as the ring is known to have refused is taken for lost, so that nothing is
//! reported lost that then arrives, and no figure ever falls.

use observer_abi::{
    class::{CloseOutcome, Outcome},
    record::RecordKind,
    totals::Totals,
};
use observer_aggregate::tcp::Decoded;

/// Cumulative figures under `(lost)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) connects: [u64; Outcome::COUNT],
    pub(crate) accepts: u64,
    pub(crate) closes: [u64; CloseOutcome::COUNT],
    /// Sent, received.
    pub(crate) bytes: [u64; 2],
    /// Response and service times, receive waits: observations whose bucket is not known.
    pub(crate) turns: [u64; 2],
    /// Refused reports and spills accounted for.
    refused_reports: u64,
}

impl Lost {
    /// Brings the figures up to date.
    pub(crate) fn update(&mut self, totals: &Totals, decoded: &Decoded) {
        let refused = |kind: RecordKind| totals.ring_full[kind as usize];
        spread(&mut self.connects, &totals.connects, &decoded.connects, refused(RecordKind::Connect));
        spread(&mut self.closes, &totals.closes, &decoded.closes, refused(RecordKind::Close));
        let mut accepts = [self.accepts];
        spread(&mut accepts, &[totals.accepts], &[decoded.accepts], refused(RecordKind::Accept));
        [self.accepts] = accepts;
        let reports = refused(RecordKind::Activity) + refused(RecordKind::Spill);
        if reports > self.refused_reports {
            self.refused_reports = reports;
            raise(&mut self.bytes, &totals.bytes, &decoded.bytes);
            raise(&mut self.turns, &totals.turns, &decoded.turns);
        }
    }
}

/// Distributes the records the ring refused over the outcomes whose totals are ahead.
fn spread<const N: usize>(lost: &mut [u64; N], totals: &[u64; N], decoded: &[u64; N], refused: u64) {
    let mut open = refused.saturating_sub(lost.iter().sum());
    for ((lost, total), decoded) in lost.iter_mut().zip(totals).zip(decoded) {
        let missing = total.saturating_sub(*decoded).saturating_sub(*lost).min(open);
        *lost += missing;
        open -= missing;
    }
}

/// Sums that were lost with whole reports.
fn raise<const N: usize>(lost: &mut [u64; N], totals: &[u64; N], decoded: &[u64; N]) {
    for ((lost, total), decoded) in lost.iter_mut().zip(totals).zip(decoded) {
        *lost = (*lost).max(total.saturating_sub(*decoded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(success: u64, refused: u64, ring_full: u64) -> Totals {
        let mut totals = Totals::default();
        totals.connects[0] = success;
        totals.connects[1] = refused;
        totals.ring_full[RecordKind::Connect as usize] = ring_full;
        totals
    }

    fn decoded(success: u64, refused: u64) -> Decoded {
        let mut decoded = Decoded::default();
        decoded.connects[0] = success;
        decoded.connects[1] = refused;
        decoded
    }

    #[test]
    fn what_is_on_its_way_is_not_lost() {
        let mut lost = Lost::default();
        lost.update(&totals(10, 0, 0), &decoded(7, 0));
        assert_eq!(lost, Lost::default());
    }
    #[test]
    fn what_the_ring_refused_is_lost_by_outcome() {
        let mut lost = Lost::default();
        lost.update(&totals(10, 5, 6), &decoded(8, 1));
        assert_eq!((lost.connects[0], lost.connects[1]), (2, 4));
    }
    #[test]
    fn sums_match_the_totals_once_the_ring_is_empty() {
        let mut lost = Lost::default();
        // Two are lost, one is on its way and counted with them for now.
        lost.update(&totals(10, 2, 2), &decoded(8, 1));
        lost.update(&totals(10, 2, 2), &decoded(8, 2));
        assert_eq!(lost.connects.iter().sum::<u64>() + 10, 12);
    }
    #[test]
    fn lost_never_falls() {
        let mut lost = Lost::default();
        lost.update(&totals(10, 0, 2), &decoded(8, 0));
        let before = lost;
        lost.update(&totals(10, 0, 2), &decoded(12, 0));
        assert_eq!(lost, before);
    }
    #[test]
    fn bytes_are_lost_with_the_reports_that_carried_them() {
        let mut totals = Totals { bytes: [100, 50], ..Totals::default() };
        let mut lost = Lost::default();
        lost.update(&totals, &Decoded::default());
        assert_eq!(lost.bytes, [0, 0]);
        totals.ring_full[RecordKind::Activity as usize] = 1;
        lost.update(&totals, &Decoded { bytes: [60, 50], ..Decoded::default() });
        assert_eq!(lost.bytes, [40, 0]);
    }
}
