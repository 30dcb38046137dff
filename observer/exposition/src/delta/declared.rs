//! The families of a body in the text format, which may come in any order and stand in several places.

use std::{borrow::Cow, collections::HashMap};

use super::FamilyInfo;
use crate::{
    Kind,
    hash::{Hash, Names},
};

/// What the metadata up to the present line has declared.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    families: HashMap<Cow<'a, str>, Metadata<'a>, Names>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Metadata<'a> {
    pub(super) kind: Kind,
    pub(super) help: Cow<'a, str>,
}

impl<'a> Declared<'a> {
    pub(super) fn new(hash: Hash) -> Self {
        Self { families: HashMap::with_hasher(Names(hash)) }
    }

    /// Makes room for so many families at once.
    pub(super) fn reserve(&mut self, families: usize) {
        self.families.reserve(families);
    }

    /// The family of a metadata line.
    pub(super) fn declare(&mut self, name: Cow<'a, str>) -> &mut Metadata<'a> {
        self.families.entry(name).or_default()
    }

    /// The family of a sample. Metadata of exactly its name wins over that of a histogram to which it could belong;
    /// a sample that fits none is a family of its own.
    pub(super) fn family<'s>(&'s self, sample: &'s str) -> FamilyInfo<'s> {
        let fit = |name: &'s str| {
            let metadata = self.families.get(name)?;
            let suffix = &sample[name.len()..];
            has_suffix(metadata.kind, suffix).then_some(info(name, suffix, metadata))
        };
        let stem = || fit(&sample[..sample.rfind('_')?]);
        fit(sample).or_else(stem).unwrap_or(FamilyInfo { name: sample, ..FamilyInfo::default() })
    }
}

fn info<'s>(name: &'s str, suffix: &'s str, metadata: &'s Metadata<'_>) -> FamilyInfo<'s> {
    let Metadata { kind, help } = metadata;
    // The text format's counters have their whole name in the metadata.
    let (name, suffix) = match name.strip_suffix("_total") {
        Some(stem) if *kind == Kind::Counter && !stem.is_empty() => (stem, &name[stem.len()..]),
        _ => (name, suffix),
    };
    FamilyInfo { name, kind: *kind, help, unit: "", suffix }
}

/// Whether samples of a type have the suffix in the text format.
fn has_suffix(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Histogram => matches!(suffix, "_bucket" | "_sum" | "_count"),
        Kind::Summary => matches!(suffix, "" | "_sum" | "_count"),
        _ => suffix.is_empty(),
    }
}
