//! What is read again does not allocate.

#[path = "support/bodies.rs"]
mod bodies;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bodies::{NODE_0, NODE_1, PROMETHEUS};
use observer_exposition::{Delta, Dialect, FamilyInfo, Sample, Sink};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, and how often this thread asked it.
struct Counting;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same contract, and `place` came from `alloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Default)]
struct Slots {
    asked: u32,
    sum: f64,
}

impl Sink for Slots {
    fn resolve(&mut self, _: &FamilyInfo<'_>, _: &Sample<'_>) -> Option<u32> {
        self.asked += 1;
        Some(self.asked - 1)
    }

    fn value(&mut self, _: u32, value: f64, _: Option<i64>) {
        self.sum += value;
    }
}

/// Allocations of reading the bodies in turn, 30 times each, after the first was read.
fn allocations(dialect: Dialect, bodies: &[&str]) -> u64 {
    let (mut delta, mut slots) = (Delta::new(dialect), Slots::default());
    delta.decode(bodies[0].as_bytes(), &mut slots).unwrap();
    let before = ALLOCATIONS.get();
    for body in bodies.iter().cycle().take(bodies.len() * 30) {
        let stats = delta.decode(body.as_bytes(), &mut slots).unwrap();
        assert!(!stats.layout_changed && stats.samples > 0);
    }
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(100)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn bodies_with_the_same_lines_are_read_without() {
    assert_eq!(allocations(Dialect::Text, &[NODE_0, NODE_1]), 0);
    let grown = PROMETHEUS.replace(" 0\n", " 12345.75\n").replace(" 1\n", " 2 1700000000000\n");
    assert_eq!(allocations(Dialect::Text, &[PROMETHEUS, &grown]), 0);
    let exemplar = "# TYPE a counter\na_total 1 # {t=\"x\"} 1\nb 2\n# EOF\n";
    let other = exemplar.replace("t=\"x\"", "t=\"another\"").replace("b 2", "b 3 17.5");
    assert_eq!(allocations(Dialect::OpenMetrics, &[exemplar, &other]), 0);
}
