//! Closed windows: what every source had at a whole second, shared by all readers and used again when the last has let go.

use std::sync::Arc;

use crate::{
    exemplars::Exemplars,
    native::Native,
    series::{ABSENT, Block, Layout, Values},
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
    /// Those behind `taken` are from an earlier time.
    parts: Vec<Part>,
    taken: usize,
    /// Values of parts of which something is hidden.
    masked: Vec<f64>,
}

#[derive(Clone, Debug)]
struct Part {
    source: Source,
    /// The block's own number.
    block: u64,
    layout: Arc<Layout>,
    /// Nothing only while it is exchanged.
    values: Option<Arc<Values>>,
    /// Where its values begin in `masked`, if they are there.
    masked: Option<usize>,
    fresh: bool,
}

static NO_EXEMPLARS: Exemplars = Exemplars::new();

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
    /// Its exemplars. A target that is down keeps them, so the value decides here too.
    pub exemplars: &'w Exemplars,
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
    /// Forgets what the window held. It keeps its memory, and what blocks share with it until it has taken as many again.
    pub fn begin(&mut self, end_ms: i64, complete: bool) {
        let Self { end_ms: end, complete: whole, serial: _, parts: _, taken, masked } = self;
        (*end, *whole, *taken) = (end_ms, complete, 0);
        masked.clear();
    }

    /// Takes a block's series and values as they are now, without a copy: both share them until the block is written again.
    pub fn take(&mut self, source: Source, block: &mut Block) {
        block.settle();
        let (id, fresh) = (block.id(), block.is_fresh());
        if self.taken == self.parts.len() {
            let layout = Arc::clone(block.layout());
            self.parts.push(Part { source, block: id, layout, values: None, masked: None, fresh });
        }
        let part = &mut self.parts[self.taken];
        (part.source, part.block, part.masked, part.fresh) = (source, id, None, fresh);
        if !Arc::ptr_eq(&part.layout, block.layout()) {
            part.layout = Arc::clone(block.layout());
        }
        if !part.values.as_ref().is_some_and(|values| block.is_now(values)) {
            // First, for they may be the ones that the block hands out next.
            part.values = None;
            part.values = Some(block.share());
        }
        self.taken += 1;
        block.told();
    }

    /// Takes what an earlier window has of a block whose writer is at work: nothing of it came in this window. `false` if that
    /// window has nothing of it.
    pub fn keep(&mut self, block: u64, before: &Self) -> bool {
        let Some(part) = before.parts[..before.taken].iter().find(|part| part.block == block) else {
            return false;
        };
        let part = Part { masked: None, fresh: false, ..part.clone() };
        match self.parts.get_mut(self.taken) {
            Some(place) => *place = part,
            None => self.parts.push(part),
        }
        self.taken += 1;
        true
    }

    /// Lets go of what was taken in earlier times only.
    fn end(&mut self) {
        self.parts.truncate(self.taken);
    }

    /// How many blocks were taken.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.taken
    }

    /// The block that was taken as the one of that number, counted from 0.
    #[must_use]
    pub fn view(&self, at: usize) -> View<'_> {
        let Part { source, block, layout, values, masked, fresh } = &self.parts[at];
        let shared = values.as_deref();
        View {
            source: *source,
            block: *block,
            layout,
            values: match masked {
                Some(from) => &self.masked[*from..*from + layout.slots()],
                None => shared.map_or(&[], |shared| &shared.values),
            },
            times: shared.map_or(&[], |shared| &shared.times),
            natives: shared.map_or(&[], Values::natives),
            exemplars: shared.map_or(&NO_EXEMPLARS, |shared| &shared.exemplars),
            fresh: *fresh,
        }
    }

    /// The blocks, in the order in which they were taken.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.taken).map(|at| self.view(at))
    }

    /// Takes the values of these slots out of a block's view.
    pub fn hide(&mut self, at: usize, slots: &[u32]) {
        if slots.is_empty() {
            return;
        }
        let Self { parts, masked, .. } = self;
        let Part { values, masked: place, .. } = &mut parts[at];
        let from = *place.get_or_insert_with(|| {
            let from = masked.len();
            masked.extend_from_slice(values.as_ref().map_or(&[], |values| &values.values));
            from
        });
        for &slot in slots {
            masked[from + slot as usize] = ABSENT;
        }
    }

    /// The number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.views().map(|view| view.layout.len()).sum()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Without what it shares with the blocks.
    fn memory_bytes(&self) -> usize {
        self.parts.capacity() * size_of::<Part>() + self.masked.capacity() * size_of::<f64>()
    }
}

/// After so many closes without it a free window lets go of what it shares.
const IDLE: u64 = 4;

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
    ///
    /// Of several the one that was used last: it shares most with the blocks as they are now. Those that were only needed
    /// while readers were slow let go of what they had, or they would keep series that are long gone.
    pub fn close(&mut self, fill: impl FnOnce(&mut Window)) -> Option<Arc<Window>> {
        let Self { windows, hits, misses } = self;
        let mut last: Option<&mut Window> = None;
        for window in windows.iter_mut().filter_map(Arc::get_mut) {
            if window.serial + IDLE < *hits {
                window.parts.clear();
            }
            if last.as_ref().is_none_or(|last| last.serial < window.serial) {
                last = Some(window);
            }
        }
        let Some(free) = last else {
            *misses += 1;
            return None;
        };
        *hits += 1;
        free.serial = *hits;
        fill(free);
        free.end();
        let serial = free.serial;
        windows.iter().find(|window| window.serial == serial).cloned()
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

    /// Bytes reserved for all windows, without what they share with the blocks.
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
