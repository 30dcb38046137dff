//! Families that many blocks have: ten thousand exporters of one kind tell the same names and help texts.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::Head;
use crate::family::Kind;

/// Families that a block somewhere has, by the hash of all they are.
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

#[derive(Default)]
struct Shared {
    heads: HashMap<u64, Weak<Head>>,
    /// How many there may be before those that nobody has any more are left out.
    most: usize,
}

/// The family, in the memory that others have it in.
pub(super) fn shared(name: &str, kind: Kind, help: &str, unit: &str) -> Arc<Head> {
    let make = || Arc::new(Head { name: name.into(), kind, help: help.into(), unit: unit.into() });
    let is_it =
        |head: &Arc<Head>| (&*head.name, head.kind, &*head.help, &*head.unit) == (name, kind, help, unit);
    let mut hasher = DefaultHasher::new();
    (name, kind, help, unit).hash(&mut hasher);
    // An entry is whole after every single step.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let Shared { heads, most } = shared.get_or_insert_default();
    let entry = heads.entry(hasher.finish()).or_default();
    if let Some(head) = entry.upgrade().filter(is_it) {
        return head;
    }
    let head = make();
    *entry = Arc::downgrade(&head);
    if heads.len() > *most {
        heads.retain(|_, head| head.strong_count() > 0);
        *most = 64 + 2 * heads.len();
    }
    head
}

/// The hash of what tells the families of a block apart.
pub(super) fn key(name: &str, kind: Kind) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, kind).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_family_is_there_once_and_goes_with_the_last() {
        let one = shared("heads_test", Kind::Gauge, "Help.", "");
        assert!(Arc::ptr_eq(&one, &shared("heads_test", Kind::Gauge, "Help.", "")));
        assert!(!Arc::ptr_eq(&one, &shared("heads_test", Kind::Gauge, "Other.", "")));
        assert!(!Arc::ptr_eq(&one, &shared("heads_test", Kind::Counter, "Help.", "")));
        let gone = Arc::downgrade(&one);
        drop(one);
        assert!(gone.upgrade().is_none());
        assert_eq!(&*shared("heads_test", Kind::Gauge, "Help.", "").help, "Help.");
    }
}
