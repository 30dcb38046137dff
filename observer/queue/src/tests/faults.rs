//! A disk that fails.

use std::{sync::Arc, time::Duration};

use super::{
    Hand, ends, entry, open, options,
    sham::{Fault, Sham},
};
use crate::{Cause, Damage, Fsync, Options, Queue, State};

/// No space, input or output error, read-only, permission lost.
const ERRORS: [i32; 4] = [28, 5, 30, 13];

fn setup() -> (Arc<Hand>, Arc<Sham>, Options) {
    let clock = Arc::new(Hand::default());
    let options = options(&clock);
    (clock, Arc::default(), options)
}

/// Twelve entries, three of them delivered while the others come. Gives what was delivered.
fn script(queue: &Queue, clock: &Hand) -> Vec<i64> {
    let mut delivered = Vec::new();
    for window in 1..=12 {
        queue.push(entry(0, window));
        if window % 4 == 0
            && let Some(taken) = queue.take()
        {
            delivered.push(taken.end_ms);
            queue.ack(taken.seq);
        }
        clock.advance(1000);
        queue.tick();
    }
    delivered
}

/// Delivers all that is left, as long as ticks bring more.
fn drain(queue: &Queue, clock: &Hand, delivered: &mut Vec<i64>) {
    for _ in 0..4 {
        while let Some(taken) = queue.take() {
            delivered.push(taken.end_ms);
            queue.ack(taken.seq);
        }
        clock.advance(10_000);
        queue.tick();
    }
}

#[test]
fn one_call_that_fails_loses_nothing() {
    let (clock, sham, options) = setup();
    script(&open(&sham, &options).0, &clock);
    for call in 0..sham.calls() {
        for error in ERRORS {
            let (clock, sham, options) = setup();
            sham.fail(Some(Fault { from: call, to: call + 1, error }));
            let (queue, _) = open(&sham, &options);
            let mut delivered = script(&queue, &clock);
            let (_after, recovered) = open(&Sham::with(&sham.files()), &options);
            // One of the two copies of what is done may be half written.
            let damage = Damage { states: 0, ..recovered.damage };
            assert_eq!(damage, Damage::default(), "call {call}, error {error}");
            drain(&queue, &clock, &mut delivered);
            assert_eq!(delivered, (1..=12).collect::<Vec<_>>(), "call {call}, error {error}");
            let stats = queue.stats();
            assert_eq!(stats.disk_errors, 1, "call {call}, error {error}");
            assert_eq!((stats.error, stats.durable_end_ms), (None, Some(12)), "call {call}, error {error}");
        }
    }
}

#[test]
fn calls_that_fail_from_some_point_on_lose_only_what_is_counted() {
    let (clock, sham, options) = setup();
    script(&open(&sham, &options).0, &clock);
    for call in 0..sham.calls() {
        for memory_bytes in [1000, 30] {
            let (clock, sham, options) = setup();
            sham.fail(Some(Fault { from: call, to: u64::MAX, error: 5 }));
            let (queue, _) = open(&sham, &Options { memory_bytes, ..options });
            let mut delivered = script(&queue, &clock);
            let stats = queue.stats();
            assert_eq!(stats.state, State::DiskFailing, "call {call}");
            let says = stats.error.unwrap();
            assert!(says.contains("`sham/") && says.ends_with("(os error 5)"), "{says}");
            drain(&queue, &clock, &mut delivered);
            assert!(delivered.is_sorted(), "call {call}: {delivered:?}");
            let stats = queue.stats();
            let dropped: u64 = stats.dropped.iter().map(|totals| totals.entries).sum();
            let left = stats.memory.entries + stats.disk.entries;
            assert_eq!(delivered.len() as u64 + dropped + left, 12, "call {call}: {stats:?}");
            assert_eq!(left, 0, "what cannot be read is given up at the second try");
        }
    }
}

#[test]
fn what_was_durable_before_a_fault_is_found_after_it() {
    let (clock, sham, options) = setup();
    script(&open(&sham, &options).0, &clock);
    for call in 0..sham.calls() {
        let (clock, sham, options) = setup();
        sham.fail(Some(Fault { from: call, to: call + 3, error: 28 }));
        let (queue, _) = open(&sham, &options);
        let delivered = script(&queue, &clock);
        let durable = queue.stats().durable_end_ms.unwrap_or_default();
        sham.fail(None);
        sham.power_loss(&mut super::Random::new(call + 1));
        let (queue, recovered) = open(&sham, &options);
        let found = ends(&queue);
        let expected = (1..=durable).filter(|end| !delivered.contains(end));
        for end in expected {
            assert!(found.contains(&end), "call {call}: {end} of {durable} in {found:?}, {recovered:?}");
        }
        assert!(found.is_sorted(), "call {call}: {found:?}");
    }
}

#[test]
fn a_full_disk_is_left_alone_and_used_again() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { memory_bytes: 50, ..options });
    sham.limit(Some(8192 + 200));
    (1..=10).for_each(|window| _ = queue.push(entry(0, window)));
    let stats = queue.stats();
    assert_eq!(stats.state, State::DiskFailing);
    assert_eq!((stats.disk.entries, stats.memory.entries), (3, 5));
    assert_eq!(stats.dropped(Cause::MemoryFull).samples, 20);
    sham.limit(None);
    clock.advance(9999);
    queue.tick();
    assert_eq!(queue.stats().state, State::DiskFailing, "it is not time yet");
    clock.advance(1);
    queue.tick();
    let stats = queue.stats();
    assert_eq!((stats.state, stats.error, stats.memory.entries), (State::Disk, None, 0));
    queue.push(entry(0, 11));
    assert_eq!(ends(&queue), [1, 2, 3, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_file_that_cannot_be_begun_leaves_nothing() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    sham.limit(Some(8192 + 10));
    queue.push(entry(0, 1));
    assert_eq!(sham.files().keys().collect::<Vec<_>>(), ["done"]);
    assert_eq!((queue.stats().disk_errors, queue.stats().memory.entries), (1, 1));
}

#[test]
fn a_directory_that_is_removed_is_noticed_and_made_again() {
    for fsync in [Fsync::Always, Fsync::Interval(Duration::from_secs(1)), Fsync::Never] {
        let (clock, sham, options) = setup();
        let (queue, _) = open(&sham, &Options { fsync, ..options.clone() });
        queue.push(entry(0, 1));
        sham.clear();
        queue.push(entry(0, 2));
        clock.advance(1000);
        queue.tick();
        let says = queue.stats().error.unwrap();
        assert!(says.ends_with("somebody has removed it"), "{says}");
        clock.advance(10_000);
        queue.tick();
        queue.push(entry(0, 3));
        clock.advance(1000);
        queue.tick();
        let stats = queue.stats();
        assert_eq!(stats.error, None);
        // A process that goes on still has the open file; the next one has not.
        assert!(stats.durable_end_ms < Some(2) || fsync == Fsync::Never, "{stats:?}");
        let (after, _) = open(&Sham::with(&sham.files()), &options);
        assert_eq!(ends(&after), [3]);
        assert_eq!(ends(&queue), [1, 2, 3]);
    }
}

#[test]
fn a_directory_that_cannot_be_read_at_first_is_read_later() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    (1..=3).for_each(|window| _ = queue.push(entry(0, window)));
    queue.ack(queue.take().unwrap().seq);
    clock.set(1_000_000);
    sham.fail_all(13);
    let (queue, recovered) = open(&sham, &options);
    assert_eq!(recovered.totals.entries, 0);
    assert_eq!(queue.stats().state, State::DiskFailing);
    (4..=5).for_each(|window| _ = queue.push(entry(0, window)));
    let held = queue.take().unwrap();
    assert_eq!(held.end_ms, 4);
    sham.fail(None);
    clock.advance(10_000);
    queue.tick();
    assert_eq!(queue.stats().recovered.totals.entries, 2);
    queue.give_back(held.seq);
    let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    assert_eq!(taken.iter().map(|entry| entry.end_ms).collect::<Vec<_>>(), [2, 3, 4, 5]);
    queue.ack(taken[1].seq);
    queue.ack(taken[2].seq);
    sham.kill();
    assert_eq!(ends(&open(&sham, &options).0), [2, 5]);
}

#[test]
fn a_directory_read_late_with_numbers_in_use_is_put_aside() {
    let (clock, sham, options) = setup();
    clock.set(1_000_000);
    let (queue, _) = open(&sham, &options);
    (1..=3).for_each(|window| _ = queue.push(entry(0, window)));
    queue.ack(queue.take().unwrap().seq);
    clock.set(0);
    sham.fail_all(13);
    let (queue, _) = open(&sham, &options);
    queue.push(entry(0, 4));
    sham.fail(None);
    clock.advance(10_000);
    queue.tick();
    let stats = queue.stats();
    assert_eq!(stats.damage.foreign, 2, "{stats:?}");
    assert_eq!((stats.recovered.totals.entries, stats.error), (0, None));
    assert_eq!(ends(&queue), [4]);
}

#[test]
fn what_could_not_be_synced_is_not_durable_before_it_is_delivered() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    queue.push(entry(0, 1));
    clock.advance(1000);
    queue.tick();
    queue.push(entry(0, 2));
    clock.advance(1000);
    sham.fail_syncs(Some(5));
    queue.tick();
    sham.fail_syncs(None);
    clock.advance(10_000);
    queue.tick();
    queue.push(entry(0, 3));
    clock.advance(1000);
    queue.tick();
    let stats = queue.stats();
    assert_eq!((stats.error, stats.durable_end_ms), (None, Some(1)));
    queue.ack(queue.take().unwrap().seq);
    queue.ack(queue.take().unwrap().seq);
    assert_eq!(queue.stats().durable_end_ms, Some(3));
}

#[test]
fn storing_everything_on_a_failing_disk_says_why_not() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { spill_after: Duration::from_secs(60), ..options });
    queue.push(entry(0, 1));
    sham.fail_all(30);
    let error = queue.store_all().unwrap_err();
    assert!(error.to_string().starts_with("cannot write to `sham/"), "{error}");
    sham.fail(None);
    assert_eq!(queue.store_all().unwrap().entries, 0, "it is tried at once");
    sham.kill();
    assert_eq!(ends(&queue), [1]);
}
