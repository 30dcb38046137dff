//! One who pushes, several who take, and one who ticks.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{Hand, Random, entry, open, options, sham::Sham};
use crate::{Cause, Fsync, Options, Stats};

const ENTRIES: i64 = 3000;
const LANES: u16 = 4;

#[test]
fn each_entry_is_delivered_once_and_in_the_order_of_its_lane() {
    for fsync in [Fsync::Always, Fsync::Interval(Duration::from_millis(5))] {
        let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
        let small = Options { fsync, max_bytes: 1 << 20, memory_bytes: 200, ..options(&clock) };
        let (queue, _) = open(&sham, &Options { spill_after: Duration::from_millis(20), ..small });
        let (busy, delivered) = (Mutex::new(BTreeSet::new()), Mutex::new(vec![Vec::new(); LANES.into()]));
        let (start, over) = (Barrier::new(5), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                (1..=ENTRIES).for_each(|end| _ = queue.push(entry(u16::try_from(end).unwrap() % LANES, end)));
            });
            scope.spawn(|| {
                start.wait();
                while !over.load(Relaxed) {
                    clock.advance(1);
                    queue.tick();
                    assert_eq!(queue.stats().error, None);
                }
            });
            for seed in 1..=3 {
                let (queue, start, over, busy, delivered) = (&queue, &start, &over, &busy, &delivered);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    start.wait();
                    while !over.load(Relaxed) {
                        // A lane is free until it is noted here that it is not.
                        let mut lanes = busy.lock().unwrap();
                        let Some(taken) = queue.take_free(|lane| !lanes.contains(&lane)) else { continue };
                        lanes.insert(taken.lane);
                        drop(lanes);
                        if random.once_in(4) {
                            assert!(queue.give_back(taken.seq));
                        } else {
                            let mut delivered = delivered.lock().unwrap();
                            delivered[usize::from(taken.lane)].push(taken.end_ms);
                            assert!(queue.ack(taken.seq));
                            let count: usize = delivered.iter().map(Vec::len).sum();
                            over.fetch_or(i64::try_from(count).unwrap() == ENTRIES, Relaxed);
                        }
                        busy.lock().unwrap().remove(&taken.lane);
                    }
                });
            }
        });
        for (lane, delivered) in (0..).zip(delivered.into_inner().unwrap()) {
            let expected = (1..=ENTRIES).filter(|end| end % i64::from(LANES) == lane);
            assert!(delivered.iter().copied().eq(expected), "lane {lane}, {fsync:?}: {delivered:?}");
        }
        queue.tick();
        let stats = queue.stats();
        assert_eq!((stats.memory.entries, stats.disk.entries, stats.durable_end_ms), (0, 0, Some(ENTRIES)));
        assert!(stats.written_bytes > 0, "some of it went over the disk");
    }
}

/// Offers entries while the disk does not answer, and gives what is delivered when it does again.
fn offered_to_a_slow_disk(memory_bytes: u64, count: i64) -> (Vec<i64>, Stats) {
    let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
    let (queue, _) = open(&sham, &Options { memory_bytes, ..options(&clock) });
    sham.hold_writes(true);
    queue.offer(entry(0, 1));
    thread::scope(|scope| {
        scope.spawn(|| queue.settle());
        sham.wait_for_write();
        // Each comes back though the disk does not.
        (2..=count).for_each(|end| _ = queue.offer(entry(0, end)));
        assert!(queue.is_unsettled());
        sham.hold_writes(false);
    });
    queue.settle();
    assert!(!queue.is_unsettled());
    let mut delivered = Vec::new();
    while let Some(taken) = queue.take() {
        delivered.push(taken.end_ms);
        queue.ack(taken.seq);
    }
    (delivered, queue.stats())
}

#[test]
fn a_slow_disk_does_not_hold_up_who_offers() {
    let (delivered, stats) = offered_to_a_slow_disk(1000, 50);
    assert_eq!(delivered, (1..=50).collect::<Vec<_>>());
    assert_eq!(stats.durable_end_ms, Some(50));
    assert!(stats.written_bytes > 50 * 10, "through the disk, for older ones were there: {stats:?}");
}

#[test]
fn what_a_slow_disk_leaves_no_memory_for_is_counted() {
    let (delivered, stats) = offered_to_a_slow_disk(100, 50);
    assert!(delivered.is_sorted() && delivered.first() == Some(&1) && delivered.last() == Some(&50));
    let dropped = stats.dropped(Cause::MemoryFull).entries;
    assert_eq!((delivered.len() as u64 + dropped, dropped), (50, 39), "ten of ten bytes fit: {delivered:?}");
}
