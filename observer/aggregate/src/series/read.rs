//! Readings that tell all of their series every time.

use std::{borrow::Borrow, collections::HashMap, sync::Arc};

use super::{Block, identity, layout::Series};
use crate::family::{Family, Sample};

impl Block {
    /// Takes the values of a reading that tells all of its series every time. The same series as the last time cost no
    /// allocation and no look-up; what is missing has ended.
    pub fn read(&mut self, families: impl Iterator<Item = impl Borrow<Family>> + Clone) {
        self.touch();
        if self.read_same(families.clone()) {
            return;
        }
        let mut buffer = String::new();
        let mut known: HashMap<u64, u32> = (self.layout.order().iter())
            .map(|&slot| {
                let Series { head, suffix, .. } = *self.layout.series.get(slot);
                (identity(head, suffix, self.layout.labels(slot).read(&mut buffer)), slot)
            })
            .collect();
        let mut slots = Vec::with_capacity(known.len());
        for family in families {
            let Family { name, kind, help, unit, samples } = family.borrow();
            let head = self.family(name, *kind, help, unit);
            for Sample { suffix, labels, value, timestamp_ms, native } in samples {
                let identity = identity(head, *suffix, labels);
                let slot = match known.remove(&identity) {
                    Some(slot) => Some(slot),
                    None => self.add(head, *suffix, labels),
                };
                if let Some(slot) = slot {
                    self.ending.remove(&identity);
                    self.set_at(slot, *value, *timestamp_ms);
                    if let Some(native) = native {
                        self.set_native(slot, *value).clone_from(native);
                    }
                    slots.push(slot);
                }
            }
        }
        for slot in known.into_values() {
            self.remove(slot);
        }
        self.arrange(slots.into_iter());
    }

    /// Takes the values as long as the series are those of the last reading, in its order.
    fn read_same(&mut self, families: impl Iterator<Item = impl Borrow<Family>>) -> bool {
        if !self.ending.is_empty() {
            return false;
        }
        let layout = Arc::clone(&self.layout);
        let mut order = layout.order.iter();
        for family in families {
            let Family { name, kind, samples, .. } = family.borrow();
            for Sample { suffix, labels, value, timestamp_ms, native } in samples {
                let Some(&slot) = order.next() else { return false };
                let head = layout.head(slot);
                let same = *head.name == **name
                    && head.kind == *kind
                    && layout.suffix(slot) == *suffix
                    && layout.labels(slot) == **labels;
                if !same {
                    return false;
                }
                self.set_at(slot, *value, *timestamp_ms);
                if let Some(native) = native {
                    self.set_native(slot, *value).clone_from(native);
                }
            }
        }
        order.next().is_none()
    }
}
