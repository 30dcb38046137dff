//! The exemplars of a block's series, as its writer gives them.

use super::Block;

impl Block {
    /// Whether a series has an exemplar.
    pub fn has_exemplar(&mut self, slot: u32) -> bool {
        !self.exemplars().is_empty() && self.store.write_exemplars().has(slot)
    }

    /// The exemplar of a counter or a bucket, in place of the one it has. `labels` is a block without braces, `time_ms` in
    /// milliseconds since the Unix epoch.
    pub fn set_exemplar(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) {
        self.store.write_exemplars().set(slot, labels, value, time_ms);
    }

    /// Begins a reading of all exemplars of a native histogram. Each goes to [`Self::keep_exemplar`], and if that does not know
    /// it, to [`Self::add_exemplar`]; then [`Self::finish_exemplars`].
    pub fn begin_exemplars(&mut self, slot: u32) {
        self.store.write_exemplars().begin(slot);
    }

    /// Keeps an exemplar of a native histogram. False if it has no such one.
    pub fn keep_exemplar(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) -> bool {
        self.store.write_exemplars().keep(slot, labels, value, time_ms)
    }

    /// A new exemplar of a native histogram; as [`Self::set_exemplar`], beside those it has.
    pub fn add_exemplar(&mut self, slot: u32, labels: &str, value: f64, time_ms: Option<i64>) {
        self.store.write_exemplars().add(slot, labels, value, time_ms);
    }

    /// Ends the exemplars of a native histogram that did not come since [`Self::begin_exemplars`].
    pub fn finish_exemplars(&mut self, slot: u32) {
        self.store.write_exemplars().finish(slot);
    }

    /// Ends the exemplars of a series.
    pub fn end_exemplars(&mut self, slot: u32) {
        if !self.exemplars().is_empty() {
            self.store.write_exemplars().end(slot);
        }
    }

    /// Ends all exemplars.
    pub fn clear_exemplars(&mut self) {
        if !self.exemplars().is_empty() {
            self.store.write_exemplars().clear();
        }
    }
}
