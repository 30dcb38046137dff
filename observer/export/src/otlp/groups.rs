//! Which resource and which scope a series belongs to.
//!
//! What the agent measures itself belongs to its own resource. A scraped series belongs to its target: its `job` is
//! `service.name`, its `instance` is `service.instance.id`, and the labels of `target_info` are attributes beside them
//! (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>, "Resource Attributes").

use std::{collections::HashMap, ops::Range};

use observer_exposition::{Labels, unescape};

use super::attributes;

/// Labels that scraped series have as resource or scope.
const TAKEN: [&str; 4] = ["job", "instance", "otel_scope_name", "otel_scope_version"];

/// Whom the series of a block belong to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// The agent: its attributes.
    Agent(&'a [(String, String)]),
    /// Targets; attributes that all of them have.
    Targets(&'a [(String, String)]),
}

/// The resources and scopes of a block.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// By the values of the labels that make them.
    places: HashMap<Key, u32>,
    /// `job`, `instance` and labels of `target_info`.
    targets: Vec<(Box<str>, Box<str>, Box<str>)>,
    bytes: Vec<u8>,
}

/// Values of [`TAKEN`], as they stand in label blocks.
type Key = [Box<str>; 4];

#[derive(Debug)]
struct Group {
    key: Key,
    resource: Range<usize>,
    scope: Range<usize>,
}

impl Owner<'_> {
    pub(super) const fn scraped(&self) -> bool {
        matches!(self, Self::Targets(_))
    }

    /// Whether a label is not an attribute of its series.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.scraped() && TAKEN.contains(&name)
    }
}

impl Groups {
    pub(super) const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Forgets all, so that what is no longer there does not add up.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.places.clear();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let text = |key: &Key| key.iter().map(|value| value.len()).sum::<usize>();
        self.bytes.capacity()
            + self.groups.iter().map(|group| size_of::<Group>() + 2 * text(&group.key)).sum::<usize>()
    }

    pub(super) fn forget_targets(&mut self) {
        self.targets.clear();
    }

    /// Notes what a `target_info` says.
    pub(super) fn add_target(&mut self, labels: &str) {
        let [job, instance, ..] = taken(labels);
        self.targets.push((job.into(), instance.into(), labels.into()));
    }

    /// The group of a series.
    pub(super) fn of(&mut self, labels: &str, owner: &Owner<'_>) -> u32 {
        let key = if owner.scraped() { taken(labels) } else { [""; 4] };
        let same = |group: &Group| group.key.iter().zip(key).all(|(mine, other)| **mine == *other);
        // A target's series nearly always have one resource.
        if let Some(last) = self.groups.len().checked_sub(1).filter(|last| same(&self.groups[*last])) {
            return last as u32;
        }
        let key = key.map(Box::from);
        if let Some(at) = self.places.get(&key) {
            return *at;
        }
        let at = self.groups.len() as u32;
        self.places.insert(key.clone(), at);
        self.groups.push(Group { key, resource: 0..0, scope: 0..0 });
        at
    }

    /// Encodes all resources and scopes.
    pub(super) fn encode(&mut self, owner: &Owner<'_>) {
        let Self { groups, targets, bytes, .. } = self;
        bytes.clear();
        for Group { key: [job, instance, name, version], resource, scope } in groups {
            let start = bytes.len();
            match owner {
                Owner::Agent(own) => attributes::resource(bytes, &pairs(own).collect::<Vec<_>>()),
                Owner::Targets(common) => {
                    let mut all = vec![
                        ("service.name".to_owned(), unescape(job).into_owned()),
                        ("service.instance.id".to_owned(), unescape(instance).into_owned()),
                    ];
                    for (_, _, labels) in targets.iter().filter(|(j, i, _)| j == job && i == instance) {
                        let labels = Labels::unchecked(labels).iter();
                        all.extend(
                            labels
                                .filter(|label| !owner.takes(&label.name))
                                .map(|label| (label.name.into_owned(), unescape(label.value).into_owned())),
                        );
                    }
                    attributes::resource(bytes, &pairs(&all).chain(pairs(common)).collect::<Vec<_>>());
                }
            }
            *resource = start..bytes.len();
            if name.is_empty() && version.is_empty() {
                attributes::scope(bytes, "observer", env!("CARGO_PKG_VERSION"));
            } else {
                attributes::scope(bytes, &unescape(name), &unescape(version));
            }
            *scope = resource.end..bytes.len();
        }
    }

    /// A group's resource and scope, encoded.
    pub(super) fn encoded(&self, group: u32) -> (&[u8], &[u8]) {
        let Group { resource, scope, .. } = &self.groups[group as usize];
        (&self.bytes[resource.clone()], &self.bytes[scope.clone()])
    }
}

fn taken(block: &str) -> [&str; 4] {
    let mut values = [""; 4];
    for label in Labels::unchecked(block).iter() {
        if let Some(at) = TAKEN.iter().position(|name| *name == label.name) {
            values[at] = label.value;
        }
    }
    values
}

fn pairs(all: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    all.iter().map(|(key, value)| (&**key, &**value))
}
