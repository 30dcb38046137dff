//! Closed windows: what every source had at a whole second, shared by all readers and used again when the last has let go.

use std::{ops::Range, sync::Arc};

use crate::{
    native::Native,
    series::{Block, Layout},
};

/// Where series come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The kernel programs.
    Kernel,
    /// `/proc`.
    Node,
    /// A scraped target.
    Scrape,
    /// Rules that aggregate other series.
    Aggregate,
    /// The agent about itself.
    Agent,
}

impl Source {
    /// Every source, in the order of a page.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Node, Self::Agent, Self::Aggregate, Self::Scrape];

    /// The name by which a reader selects it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Node => "node",
            Self::Scrape => "scrape",
            Self::Aggregate => "aggregate",
            Self::Agent => "self",
        }
    }
}

/// A closed window. Immutable as long as anybody else has it.
#[derive(Debug, Default)]
pub struct Window {
    /// When the window ended, in milliseconds since the Unix epoch. 0 before the first.
    pub end_ms: i64,
    /// Whether the window covered its whole second.
    pub complete: bool,
    /// The number of the window, counted from 1; 0 before the first.
    pub serial: u64,
    parts: Vec<Part>,
    values: Vec<f64>,
    times: Vec<i64>,
    /// By part and slot. What lies behind `native` is memory to be used again.
    natives: Vec<(u32, Native)>,
    native: usize,
}

#[derive(Debug)]
struct Part {
    source: Source,
    /// The block's own number.
    block: u64,
    layout: Arc<Layout>,
    values: usize,
    times: Option<usize>,
    natives: Range<usize>,
    fresh: bool,
}

/// One block in a window.
#[derive(Clone, Copy, Debug)]
pub struct View<'w> {
    /// Where it comes from.
    pub source: Source,
    /// A number that no other block of the process has.
    pub block: u64,
    /// Its series.
    pub layout: &'w Arc<Layout>,
    /// Their values by slot; see [`crate::series::is_present`].
    pub values: &'w [f64],
    /// Their own times by slot, in milliseconds since the Unix epoch; empty if none has one.
    pub times: &'w [i64],
    /// Its native histograms by slot, slots rising. What one was worth when its series ended stays here: the value decides.
    pub natives: &'w [(u32, Native)],
    /// Whether the values came in this window; otherwise they are those of an earlier one.
    pub fresh: bool,
}

impl<'w> View<'w> {
    /// The native histogram of a slot whose suffix says that it has one.
    #[must_use]
    pub fn native(&self, slot: u32) -> Option<&'w Native> {
        let at = self.natives.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(&self.natives[at].1)
    }
}

impl Window {
    /// Forgets what the window held. It keeps its memory.
    pub fn begin(&mut self, end_ms: i64, complete: bool) {
        let Self { end_ms: end, complete: whole, serial: _, parts, values, times, natives: _, native } = self;
        (*end, *whole, *native) = (end_ms, complete, 0);
        parts.clear();
        values.clear();
        times.clear();
    }

    /// Takes a block's series and values as they are now.
    pub fn take(&mut self, source: Source, block: &mut Block) {
        block.settle();
        let times = (!block.times().is_empty()).then_some(self.times.len());
        let natives = self.native;
        for (slot, native) in block.natives() {
            match self.natives.get_mut(self.native) {
                Some((at, copy)) => {
                    *at = slot;
                    copy.clone_from(native);
                }
                None => self.natives.push((slot, native.clone())),
            }
            self.native += 1;
        }
        self.parts.push(Part {
            source,
            block: block.id(),
            layout: Arc::clone(block.layout()),
            values: self.values.len(),
            times,
            natives: natives..self.native,
            fresh: block.is_fresh(),
        });
        self.values.extend_from_slice(block.values());
        self.times.extend_from_slice(block.times());
        block.told();
    }

    /// The blocks, in the order in which they were taken.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.parts.iter().map(|Part { source, block, layout, values, times, natives, fresh }| View {
            source: *source,
            block: *block,
            layout,
            natives: &self.natives[natives.clone()],
            values: &self.values[*values..values + layout.slots()],
            times: times.map_or(&[], |times| &self.times[times..times + layout.slots()]),
            fresh: *fresh,
        })
    }

    /// As [`Self::views`], with values that can be changed as long as nobody reads them.
    pub fn each_mut(&mut self, mut visit: impl FnMut(u64, &Arc<Layout>, &mut [f64], bool)) {
        for Part { block, layout, values, fresh, .. } in &self.parts {
            visit(*block, layout, &mut self.values[*values..values + layout.slots()], *fresh);
        }
    }

    /// The number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.layout.len()).sum()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn memory_bytes(&self) -> usize {
        let Self { parts, values, times, natives, .. } = self;
        parts.capacity() * size_of::<Part>()
            + (values.capacity() + times.capacity()) * size_of::<f64>()
            + natives.iter().map(|(_, native)| native.memory_bytes()).sum::<usize>()
    }
}

/// A fixed number of windows that go round.
#[derive(Debug)]
pub struct Pool {
    windows: Vec<Arc<Window>>,
    hits: u64,
    misses: u64,
}

impl Pool {
    /// Makes the windows. Two are the least: one that is read and one that is filled.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { windows: (0..capacity.max(2)).map(|_| Arc::default()).collect(), hits: 0, misses: 0 }
    }

    /// Fills a window that nobody reads and hands it out, to be shared. `None` if readers hold all of them.
    pub fn close(&mut self, fill: impl FnOnce(&mut Window)) -> Option<Arc<Window>> {
        let free = self.windows.iter_mut().position(|window| Arc::get_mut(window).is_some());
        let Some(window) = free.map(|at| &mut self.windows[at]) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        let free = Arc::get_mut(window)?;
        free.serial = self.hits;
        fill(free);
        Some(Arc::clone(window))
    }

    /// How many windows there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.windows.len()
    }

    /// How many somebody holds.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.windows.iter().filter(|window| Arc::strong_count(window) > 1).count()
    }

    /// Closes that found a free window, and those that did not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }

    /// Bytes reserved for all windows.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.windows.iter().map(|window| window.memory_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_goes_round_when_its_last_reader_has_let_go() {
        let mut pool = Pool::new(2);
        let fill = |end| move |window: &mut Window| window.begin(end, true);
        let first = pool.close(fill(1)).expect("one is free");
        let second = pool.close(fill(2)).expect("one is free");
        assert_eq!((first.end_ms, second.end_ms, pool.in_use()), (1, 2, 2));
        assert!(pool.close(fill(3)).is_none());
        drop(first);
        assert_eq!(pool.close(fill(3)).map(|window| window.end_ms), Some(3));
        assert_eq!((second.end_ms, pool.hits_and_misses()), (2, (3, 1)));
    }
}
