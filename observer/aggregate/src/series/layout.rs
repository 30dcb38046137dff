//! What the series of a block are.

use std::sync::Arc;

use super::{
    pages::Pages,
    text::{Text, Texts},
};
use crate::family::{Kind, Suffix};

/// What all samples of a family have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The name without any [`Suffix`].
    pub name: Box<str>,
    /// The type.
    pub kind: Kind,
    /// The help text, unescaped. Empty for none.
    pub help: Box<str>,
    /// The unit, which the name then ends in. Empty for none.
    pub unit: Box<str>,
}

/// One series: 16 bytes, and its labels in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    pub(super) head: u32,
    /// Where its text is.
    pub(super) at: u32,
    pub(super) len: u16,
    pub(super) suffix: Suffix,
    /// Tells a slot's series from the one that had the slot before.
    pub(super) birth: u32,
}

/// The series of a block. Immutable once a window has it.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub(super) heads: Arc<Vec<Arc<Head>>>,
    pub(super) series: Pages,
    /// Slots in the order of their source; those of one family together.
    pub(super) order: Vec<u32>,
    pub(super) texts: Texts,
}

impl Layout {
    /// The number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// One more than the largest slot.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.series.len()
    }

    /// The slots that have a series, family by family.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The family of a slot.
    #[must_use]
    pub fn head(&self, slot: u32) -> &Head {
        &self.heads[self.series.get(slot).head as usize]
    }

    /// The label block of a slot: without braces, values escaped as in the text formats.
    #[must_use]
    pub fn labels(&self, slot: u32) -> Text<'_> {
        let Series { at, len, .. } = *self.series.get(slot);
        self.texts.get(at, usize::from(len))
    }

    /// What the name of a slot's samples has behind the family's.
    #[must_use]
    pub fn suffix(&self, slot: u32) -> Suffix {
        self.series.get(slot).suffix
    }

    /// Different for each series that ever had the slot.
    #[must_use]
    pub fn birth(&self, slot: u32) -> u32 {
        self.series.get(slot).birth
    }

    /// The slots, family by family: runs of [`Self::order`] that have one head.
    pub fn families(&self) -> impl Iterator<Item = (&Head, &[u32])> {
        let head = |slot: &u32| self.series.get(*slot).head;
        self.order.chunk_by(move |a, b| head(a) == head(b)).map(|slots| (self.head(slots[0]), slots))
    }
}
