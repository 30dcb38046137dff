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
use crate::{Cause, Entry, Fsync, NotNow, Options, Queue, State, Stats};

const ENTRIES: i64 = 3000;
const LANES: u16 = 4;

#[test]
fn each_entry_is_delivered_once_and_in_the_order_of_its_lane() {
    let interval = Fsync::Interval(Duration::from_millis(5));
    for (fsync, waits) in [(Fsync::Always, true), (interval, true), (interval, false)] {
        let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
        let small = Options { fsync, max_bytes: 1 << 20, memory_bytes: 200, ..options(&clock) };
        let (queue, _) = open(&sham, &Options { spill_after: Duration::from_millis(20), ..small });
        let (busy, delivered) = (Mutex::new(BTreeSet::new()), Mutex::new(vec![Vec::new(); LANES.into()]));
        let (start, over) = (Barrier::new(5), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for end in 1..=ENTRIES {
                    let entry = entry(u16::try_from(end).unwrap() % LANES, end);
                    if waits || end % 2 == 0 {
                        queue.push(entry)
                    } else {
                        offer(&queue, entry)
                    };
                }
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
                        let free = |lane| !lanes.contains(&lane);
                        let taken = if waits { Ok(queue.take_free(free)) } else { queue.try_take_free(free) };
                        let taken = match taken {
                            Ok(Some(taken)) => taken,
                            Ok(None) => continue,
                            Err(NotNow) => {
                                queue.settle(free);
                                continue;
                            }
                        };
                        lanes.insert(taken.lane);
                        drop(lanes);
                        if random.once_in(4) {
                            if waits {
                                assert!(queue.give_back(taken.seq));
                            } else {
                                queue.give_back_soon(taken.seq);
                            }
                        } else {
                            let mut delivered = delivered.lock().unwrap();
                            delivered[usize::from(taken.lane)].push(taken.end_ms);
                            if waits {
                                assert!(queue.ack(taken.seq));
                            } else {
                                queue.ack_soon(taken.seq);
                            }
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

/// Offers an entry when there is memory for it: without that, the oldest goes.
fn offer(queue: &Queue, entry: Entry) -> u64 {
    while queue.is_unsettled() {
        thread::yield_now();
    }
    queue.offer(entry)
}

/// Offers entries while the disk does not answer, and gives what is delivered when it does again.
fn offered_to_a_slow_disk(memory_bytes: u64, count: i64) -> (Vec<i64>, Stats) {
    let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
    let (queue, _) = open(&sham, &Options { memory_bytes, ..options(&clock) });
    sham.hold_writes(true);
    queue.offer(entry(0, 1));
    thread::scope(|scope| {
        scope.spawn(|| queue.settle(|_lane| true));
        sham.wait_for_write();
        // Each comes back though the disk does not.
        (2..=count).for_each(|end| _ = queue.offer(entry(0, end)));
        assert!(queue.is_unsettled());
        sham.hold_writes(false);
    });
    queue.settle(|_lane| true);
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

/// Runs `then` while a write of what is on the porch waits for the disk.
fn while_the_disk_is_busy(queue: &Queue, sham: &Sham, at_disk: impl FnOnce() + Send, then: impl FnOnce()) {
    sham.hold_writes(true);
    thread::scope(|scope| {
        let at_disk = scope.spawn(at_disk);
        sham.wait_for_write();
        then();
        assert!(!at_disk.is_finished());
        sham.hold_writes(false);
    });
    queue.settle(|_lane| true);
}

#[test]
fn a_slow_disk_holds_up_nobody_who_does_not_ask_it() {
    let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
    let (queue, _) = open(&sham, &options(&clock));
    (1..=3).for_each(|end| _ = queue.push(entry(0, end)));
    let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
    assert_eq!(queue.stats().disk.entries, 3);
    queue.offer(entry(0, 4));
    while_the_disk_is_busy(
        &queue,
        &sham,
        || _ = queue.settle(|_lane| true),
        || {
            queue.offer(entry(0, 5));
            queue.ack_soon(first.seq);
            queue.give_back_soon(second.seq);
            assert_eq!(queue.try_take_free(|_lane| true), Err(NotNow));
            assert!(!queue.is_empty() && queue.damaged().is_empty() && queue.is_unsettled());
            let stats = queue.stats();
            assert_eq!((stats.disk.entries, stats.memory.entries), (3, 2), "as it was, and what came since");
        },
    );
    let left = std::iter::from_fn(|| {
        queue.settle(|_lane| true);
        queue.try_take_free(|_lane| true).unwrap()
    });
    assert_eq!(left.map(|entry| entry.end_ms).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(queue.stats().disk.entries, 4, "the first is acknowledged");
}

#[test]
fn while_it_is_seen_whether_the_disk_works_again_memory_goes_on() {
    let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
    let (queue, _) = open(&sham, &options(&clock));
    sham.fail_all(5);
    queue.push(entry(0, 1));
    assert_eq!(queue.stats().state, State::DiskFailing);
    queue.ack(queue.take().unwrap().seq);
    clock.advance(10_000);
    sham.fail(None);
    while_the_disk_is_busy(
        &queue,
        &sham,
        || queue.tick(),
        || {
            for end in 2..100 {
                queue.offer(entry(0, end));
                let taken = queue.try_take_free(|_lane| true).unwrap().unwrap();
                assert_eq!(taken.end_ms, end);
                assert_eq!(queue.stats().memory.entries, 1);
                queue.ack_soon(taken.seq);
                assert!(queue.is_empty());
            }
        },
    );
    assert_eq!(queue.stats().state, State::Disk);
    assert_eq!(queue.stats().durable_end_ms, Some(99));
}

#[test]
fn while_a_directory_is_opened_memory_goes_on() {
    let (clock, sham) = (Arc::new(Hand::default()), Arc::new(Sham::default()));
    let (queue, _) = open(&sham, &options(&clock));
    queue.push(entry(0, 1));
    drop(queue);
    sham.kill();
    clock.advance(1);
    sham.fail_all(5);
    let (queue, _) = open(&sham, &options(&clock));
    assert!(queue.stats().error.is_some_and(|error| error.starts_with("cannot take")));
    clock.advance(10_000);
    sham.fail(None);
    sham.hold_opening(true);
    thread::scope(|scope| {
        scope.spawn(|| queue.tick());
        sham.wait_for_write();
        queue.offer(entry(0, 2));
        let taken = queue.try_take_free(|_lane| true).unwrap().unwrap();
        assert_eq!(taken.end_ms, 2);
        queue.ack_soon(taken.seq);
        sham.hold_opening(false);
    });
    assert_eq!(queue.stats().error, None);
    assert_eq!(queue.take().unwrap().end_ms, 1, "what an earlier process has left");
}

#[test]
fn what_a_slow_disk_leaves_no_memory_for_is_counted() {
    let (delivered, stats) = offered_to_a_slow_disk(100, 50);
    assert!(delivered.is_sorted() && delivered.first() == Some(&1) && delivered.last() == Some(&50));
    let dropped = stats.dropped(Cause::MemoryFull).entries;
    assert_eq!((delivered.len() as u64 + dropped, dropped), (50, 39), "ten of ten bytes fit: {delivered:?}");
}
