//! What came in windows that are not sent.

use std::collections::HashSet;

use observer_aggregate::window::{View, Window};

/// Blocks whose values have come since the last window that was sent.
#[derive(Debug, Default)]
pub(crate) struct Pending(HashSet<u64>);

impl Pending {
    /// Takes note of a window that is not sent.
    pub(crate) fn note(&mut self, window: &Window) {
        self.0.extend(window.views().filter(|view| view.fresh).map(|view| view.block));
    }

    /// Whether the view has values that were not sent.
    pub(crate) fn is_fresh(&self, view: &View<'_>) -> bool {
        view.fresh || (!self.0.is_empty() && self.0.contains(&view.block))
    }

    /// All of them have been sent.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
