//! Types, help and units of version 1, which go apart from the samples.
//! <https://github.com/prometheus/prometheus/blob/main/prompb/types.proto>, `MetricMetadata`

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use observer_aggregate::{
    family::Suffix,
    series::{Head, Layout},
    window::Window,
};

use super::{
    build::kind_number,
    output::{Out, Output, Target},
    wire::number,
};
use crate::wire;

/// Sends the metadata of every family now and then.
pub(crate) struct Metadata {
    interval: u64,
    next: u64,
    told: HashSet<u64>,
    hasher: RandomState,
    name: String,
    message: Vec<u8>,
    field: Vec<u8>,
}

impl Metadata {
    /// Every `interval` windows; never if that is 0.
    pub(crate) fn new(interval: u64) -> Self {
        Self {
            interval,
            next: 0,
            told: HashSet::new(),
            hasher: RandomState::new(),
            name: String::new(),
            message: Vec::new(),
            field: Vec::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.told.capacity() * 10 + self.message.capacity() + self.field.capacity()
    }

    /// Whether this window is one of those.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.interval == 0 {
            return false;
        }
        let due = self.next == 0;
        self.next = (self.next + 1) % self.interval;
        due
    }

    /// Writes each name once, as the first block has it.
    pub(crate) fn write(
        &mut self,
        window: &Window,
        output: &mut Output,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        self.told.clear();
        for view in window.views() {
            for (head, slots) in view.layout.families() {
                self.name(head, view.layout, slots);
                if self.told.insert(self.hasher.hash_one(&self.name)) {
                    self.family(head);
                    output.metadata(target, &self.field, out);
                }
            }
        }
    }

    /// The name that the type stands for in the text format, which is where receivers expect it.
    fn name(&mut self, head: &Head, layout: &Layout, slots: &[u32]) {
        let of = |wanted| slots.iter().any(|slot| layout.suffix(*slot) == wanted);
        let suffix = [Suffix::Total, Suffix::Info].into_iter().find(|suffix| of(*suffix));
        self.name.clear();
        self.name.push_str(&head.name);
        self.name.push_str(suffix.map_or("", Suffix::as_str));
    }

    fn family(&mut self, head: &Head) {
        let Self { name, message, field, .. } = self;
        message.clear();
        number(message, 1, kind_number(head.kind));
        wire::bytes(message, 2, name.as_bytes());
        for (field, text) in [(4, &head.help), (5, &head.unit)] {
            if !text.is_empty() {
                wire::bytes(message, field, text.as_bytes());
            }
        }
        field.clear();
        wire::bytes(field, 3, message);
    }
}
