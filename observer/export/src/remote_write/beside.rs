//! What the series of a family are to each other: a native histogram beside a classic one, and the time both began.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use observer_aggregate::{
    family::Suffix,
    series::{Layout, Text},
};
use observer_exposition::Labels;

use super::{
    build::is_classic,
    store::{Part, Rare},
};

/// What has to be known of a block's series beyond themselves.
pub(crate) struct Beside {
    send_native: bool,
    /// Classic slots that a native histogram stands for.
    replaced: HashSet<u32>,
    /// By slot, the slot that says when its series was created.
    created: HashMap<u32, u32>,
}

impl Beside {
    /// Looks at families that have native histograms or times of creation.
    pub(crate) fn of(layout: &Layout, send_native: bool, classic_beside_native: bool) -> Self {
        let mut beside = Self { send_native, replaced: HashSet::new(), created: HashMap::new() };
        let replace = send_native && !classic_beside_native;
        for (_, slots) in layout.families() {
            let of = |wanted| {
                let slots = slots.iter().filter(move |slot| layout.suffix(**slot) == wanted);
                slots.map(|slot| (identity(layout.labels(*slot), ""), *slot))
            };
            let natives: HashSet<u64> = match replace {
                true => of(Suffix::Native).map(|(identity, _)| identity).collect(),
                false => HashSet::new(),
            };
            let created: HashMap<u64, u32> = of(Suffix::Created).collect();
            if !created.is_empty() || !natives.is_empty() {
                beside.family(layout, slots, &natives, &created);
            }
        }
        beside
    }

    fn family(
        &mut self,
        layout: &Layout,
        slots: &[u32],
        natives: &HashSet<u64>,
        created: &HashMap<u64, u32>,
    ) {
        for &slot in slots {
            let suffix = layout.suffix(slot);
            let except = match suffix {
                Suffix::Bucket => "le",
                // Quantiles of a summary.
                Suffix::None => "quantile",
                _ => "",
            };
            let identity = identity(layout.labels(slot), except);
            if is_classic(suffix) && natives.contains(&identity) {
                self.replaced.insert(slot);
            }
            if suffix != Suffix::Created
                && let Some(created) = created.get(&identity)
            {
                self.created.insert(slot, *created);
            }
        }
    }

    /// Whether the endpoint does not get the slot: a native histogram it does not take, or a classic one told natively.
    pub(crate) fn is_left_out(&self, layout: &Layout, slot: u32) -> bool {
        self.replaced.contains(&slot) || (!self.send_native && layout.suffix(slot) == Suffix::Native)
    }

    pub(crate) fn is_native(&self, layout: &Layout, slot: u32) -> bool {
        layout.suffix(slot) == Suffix::Native
    }

    /// Notes for a part which slots say when its series were created.
    pub(crate) fn created(&self, part: &mut Part) {
        let slots = (part.first as u32..).take(part.entries.len());
        let created = slots.map(|slot| self.created.get(&slot).copied().unwrap_or(u32::MAX));
        let has = !self.created.is_empty() && created.clone().any(|slot| slot != u32::MAX);
        if has || part.rare.as_ref().is_some_and(|rare| !rare.created.is_empty()) {
            let rare = part.rare.get_or_insert_with(|| Box::new(Rare::default()));
            rare.created.clear();
            if has {
                rare.created.extend(created);
            }
        }
    }
}

/// The hash of a label block without one label, whatever the order.
fn identity(block: Text<'_>, except: &str) -> u64 {
    let mut buffer = String::new();
    let labels = Labels::unchecked(block.read(&mut buffer));
    let hash = |name: &str, value: &str| {
        let mut hasher = DefaultHasher::new();
        (name, value).hash(&mut hasher);
        hasher.finish()
    };
    (labels.iter().filter(|label| label.name != except))
        .fold(0, |sum: u64, label| sum.wrapping_add(hash(&label.name, label.value)))
}
