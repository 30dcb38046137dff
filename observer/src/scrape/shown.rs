//! Which families targets show, for collectors of ours that then are silent: asked every second, and of all targets.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use observer_aggregate::series::{Block, is_present};

use crate::node;

/// The number of targets that show each family that anybody asks about.
#[derive(Debug, Default)]
pub(super) struct Shown([AtomicUsize; node::FIRST.len()]);

/// Which of the families one target shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask(u32);

impl Shown {
    /// Whether a target shows the family of that name (without `_total`).
    pub(super) fn shows(&self, name: &str) -> bool {
        let at = node::FIRST.iter().position(|known| *known == name);
        at.is_some_and(|at| self.0[at].load(Relaxed) > 0)
    }

    /// A target shows other families than before.
    pub(super) fn change(&self, before: Mask, now: Mask) {
        for (at, targets) in self.0.iter().enumerate() {
            match (before.0 >> at & 1, now.0 >> at & 1) {
                (0, 1) => drop(targets.fetch_add(1, Relaxed)),
                (1, 0) => drop(targets.fetch_sub(1, Relaxed)),
                _ => {}
            }
        }
    }
}

impl Mask {
    /// What the block shows now.
    pub(super) fn of(block: &Block) -> Self {
        let (layout, values) = (block.layout(), block.values());
        let shown = layout.families().filter_map(|(head, slots)| {
            let at = node::FIRST.iter().position(|known| **known == *head.name)?;
            slots.iter().any(|slot| is_present(values[*slot as usize])).then_some(1 << at)
        });
        Self(shown.fold(0, |mask, bit| mask | bit))
    }
}

#[cfg(test)]
mod tests {
    use observer_aggregate::{family::Kind, family::Suffix};

    use super::*;

    #[test]
    fn a_family_is_shown_as_long_as_one_target_has_values_of_it() {
        let name = node::FIRST[3];
        let mut block = Block::default();
        let family = block.family(name, Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, "").unwrap();
        assert_eq!(Mask::of(&block), Mask::default());
        block.set(slot, 1.0);
        let (mask, shown) = (Mask::of(&block), Shown::default());
        shown.change(Mask::default(), mask);
        shown.change(Mask::default(), mask);
        shown.change(mask, Mask::default());
        assert!(shown.shows(name) && !shown.shows(node::FIRST[0]) && !shown.shows("other"));
        shown.change(mask, Mask::default());
        assert!(!shown.shows(name));
    }
}
