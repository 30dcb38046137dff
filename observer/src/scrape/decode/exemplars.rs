//! Which exemplars of a body are kept.

use super::Fill;

/// Exemplars that are not kept, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::scrape) struct Untaken {
    /// There are as many as there may be.
    pub(in crate::scrape) over_limit: usize,
    /// Their labels are longer than [`EXEMPLAR_CHARS`].
    pub(in crate::scrape) too_long: usize,
    /// Those of native histograms need a time.
    pub(in crate::scrape) untimed: usize,
}

/// The most characters that an exemplar's labels may have in all. OpenMetrics says so; protobuf does not, but its readers do
/// (Prometheus `model/exemplar/exemplar.go`, `ExemplarMaxLabelSetLength`).
pub(super) const EXEMPLAR_CHARS: usize = 128;

impl Fill<'_> {
    /// Whether there is room for an exemplar that is new.
    pub(super) fn admit_exemplar(&mut self) -> bool {
        let has_room = self.keeper.budget.take_exemplar();
        self.keeper.exemplars += usize::from(has_room);
        self.counts.exemplars.over_limit += usize::from(!has_room);
        has_room
    }

    /// The exemplar of a counter or a bucket.
    pub(super) fn put_exemplar(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) {
        if self.block.has_exemplar(slot) || self.admit_exemplar() {
            self.block.set_exemplar(slot, labels, value, time_ms);
        }
    }
}
