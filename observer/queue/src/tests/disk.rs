//! Queues with a directory.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Hand, ends, entry, open, options, sham::Sham};
use crate::{Cause, Damage, Entry, Fsync, Harm, Options, Queue, State, record};

fn setup() -> (Arc<Hand>, Arc<Sham>, Options) {
    let clock = Arc::new(Hand::default());
    let options = options(&clock);
    (clock, Arc::default(), options)
}

fn sized(end_ms: i64, bytes: usize) -> Entry {
    Entry { body: Bytes::from(vec![7; bytes]), ..entry(0, end_ms) }
}

#[test]
fn a_queue_that_keeps_up_writes_nothing() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { spill_after: Duration::from_secs(5), ..options });
    for window in 1..100 {
        clock.advance(1000);
        queue.push(entry(0, window));
        queue.tick();
        assert!(queue.ack(queue.take().unwrap().seq));
    }
    let stats = queue.stats();
    assert_eq!((stats.written_bytes, stats.fsyncs, stats.state), (0, 0, State::Memory));
    assert!(sham.files().is_empty());
}

#[test]
fn what_waits_for_too_long_goes_to_disk_and_later_ones_behind_it() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { spill_after: Duration::from_secs(5), ..options });
    queue.push(entry(0, 1));
    let held = queue.take().unwrap();
    queue.push(entry(0, 2));
    clock.advance(4999);
    queue.tick();
    assert_eq!(queue.stats().state, State::Memory);
    clock.advance(1);
    queue.tick();
    let stats = queue.stats();
    assert_eq!((stats.memory.entries, stats.disk.entries, stats.state), (0, 2, State::Disk));
    queue.push(entry(0, 3));
    assert_eq!(queue.stats().disk.entries, 3);
    queue.give_back(held.seq);
    assert_eq!(ends(&queue), [1, 2, 3]);
    queue.push(entry(0, 4));
    assert_eq!(queue.stats().memory.entries, 1, "nothing waits on disk that could be overtaken");
}

#[test]
fn what_does_not_fit_in_memory_goes_to_disk() {
    let (_clock, sham, options) = setup();
    let (queue, _) =
        open(&sham, &Options { spill_after: Duration::from_secs(5), memory_bytes: 25, ..options });
    (1..=2).for_each(|window| _ = queue.push(entry(0, window)));
    assert_eq!(queue.stats().disk.entries, 0);
    queue.push(entry(0, 3));
    assert_eq!((queue.stats().memory.entries, queue.stats().disk.entries), (0, 3));
    assert_eq!(ends(&queue), [1, 2, 3]);
}

#[test]
fn files_go_when_nothing_in_them_is_needed() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    (1..=50).for_each(|window| _ = queue.push(sized(window, 200)));
    assert!(sham.files().len() > 5, "a file takes a 32nd of 32,000 bytes");
    while let Some(taken) = queue.take() {
        queue.ack(taken.seq);
    }
    clock.advance(1000);
    queue.tick();
    queue.tick();
    assert_eq!(sham.files().keys().collect::<Vec<_>>(), ["done"]);
    assert_eq!((queue.stats().file_bytes, queue.stats().disk.entries), (0, 0));
}

#[test]
fn the_oldest_file_is_dropped_for_the_newest_entry() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { max_bytes: 6400, ..options });
    for window in 1..=40 {
        queue.push(sized(window, 200));
        assert!(queue.stats().file_bytes <= 6400);
    }
    let stats = queue.stats();
    let dropped = stats.dropped(Cause::DiskFull);
    assert_eq!(dropped.entries + stats.disk.entries, 40);
    assert_eq!(dropped.samples, dropped.entries * 10);
    let left = ends(&queue);
    let first = i64::try_from(dropped.entries).unwrap() + 1;
    assert_eq!(left, (first..=40).collect::<Vec<_>>());
}

#[test]
fn what_is_handed_out_is_not_dropped_with_its_file() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { max_bytes: 6400, ..options });
    (1..=2).for_each(|window| _ = queue.push(sized(window, 200)));
    let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
    (3..=40).for_each(|window| _ = queue.push(sized(window, 200)));
    assert!(queue.stats().dropped(Cause::DiskFull).entries > 0);
    assert!(queue.ack(first.seq), "delivered all the same");
    let before = queue.stats().dropped(Cause::DiskFull).entries;
    assert!(queue.give_back(second.seq), "not delivered, so dropped now");
    let stats = queue.stats();
    assert_eq!(stats.dropped(Cause::DiskFull).entries, before + 1);
    assert_eq!(1 + before + 1 + stats.disk.entries + stats.memory.entries, 40);
}

#[test]
fn what_is_too_old_is_dropped() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &Options { max_age: Duration::from_secs(10), ..options });
    (1..=20).for_each(|second| _ = queue.push(sized(second * 1000, 200)));
    clock.set(20_500);
    assert_eq!(ends(&queue), (11..=20).map(|second| second * 1000).collect::<Vec<_>>());
    assert_eq!(queue.stats().dropped(Cause::Age).entries, 10);
}

#[test]
fn what_fits_nowhere_is_counted() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    queue.push(sized(1, 32_000));
    assert_eq!((queue.take(), queue.stats().dropped(Cause::TooLarge).entries), (None, 1));
}

#[test]
fn everything_stored_is_there_after_a_restart() {
    let (clock, sham, options) = setup();
    let lazy = Options { spill_after: Duration::from_secs(5), ..options };
    let (queue, _) = open(&sham, &lazy);
    (1..=6).for_each(|window| _ = queue.push(entry(0, window)));
    let taken = [(); 4].map(|()| queue.take().unwrap());
    queue.ack(taken[0].seq);
    queue.ack(taken[2].seq);
    assert_eq!(queue.store_all().unwrap().entries, 0);
    assert_eq!(queue.stats().durable_end_ms, Some(6));
    clock.advance(1000);
    let (queue, recovered) = open(&sham, &lazy);
    assert_eq!((recovered.totals.entries, recovered.newest_end_ms), (4, Some(6)));
    queue.push(entry(0, 7));
    let again = [(); 5].map(|()| queue.take().unwrap());
    assert_eq!(again.each_ref().map(|entry| entry.end_ms), [2, 4, 5, 6, 7]);
    assert!(again.is_sorted_by_key(|entry| entry.seq));
    assert_eq!(again[0], taken[1], "kind, lane, sums and body too");
}

#[test]
fn delivered_entries_do_not_come_again_after_a_kill() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    (1..=6).for_each(|window| _ = queue.push(entry(0, window)));
    let taken = [(); 5].map(|()| queue.take().unwrap().seq);
    [0, 1, 3].into_iter().for_each(|at| _ = queue.ack(taken[at]));
    sham.kill();
    let (again, recovered) = open(&sham, &options);
    assert_eq!(recovered.totals.entries, 3);
    sham.kill();
    let (third, _) = open(&sham, &options);
    assert_eq!(ends(&third), [3, 5, 6], "nor is it forgotten by a process that has delivered nothing");
    assert_eq!(ends(&again), [3, 5, 6]);
}

#[test]
fn windows_are_durable_once_they_are_synced() {
    let (clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    queue.push(entry(0, 1));
    assert_eq!((queue.stats().durable_end_ms, queue.stats().fsyncs), (None, 0));
    clock.advance(1000);
    queue.tick();
    assert_eq!(queue.stats().durable_end_ms, Some(1));
    queue.push(entry(0, 2));
    queue.push(Entry { last: false, ..entry(0, 3) });
    queue.tick();
    assert_eq!(queue.stats().durable_end_ms, Some(1), "it is not time yet");
    clock.advance(1000);
    queue.tick();
    assert_eq!(queue.stats().durable_end_ms, Some(2), "the third is not whole");
}

#[test]
fn each_policy_syncs_when_it_says() {
    let check = |fsync, fsyncs_at_push, durable_at_push| {
        let (_clock, sham, options) = setup();
        let (queue, _) = open(&sham, &Options { fsync, ..options });
        queue.push(entry(0, 1));
        queue.push(entry(0, 2));
        assert_eq!((queue.stats().fsyncs, queue.stats().durable_end_ms), (fsyncs_at_push, durable_at_push));
    };
    // The file and the directory, then the file.
    check(Fsync::Always, 3, Some(2));
    check(Fsync::Interval(Duration::from_secs(1)), 0, None);
    check(Fsync::Never, 0, Some(2));
}

#[test]
fn numbers_rise_from_one_process_to_the_next() {
    let (clock, sham, options) = setup();
    let first = open(&sham, &options).0.push(entry(0, 1));
    sham.kill();
    clock.set(5000);
    let second = open(&sham, &options).0.push(entry(0, 2));
    sham.kill();
    clock.set(0);
    let third = open(&sham, &options).0.push(entry(0, 3));
    assert!(first < second && second < third, "also if the clock goes back");
}

#[test]
fn another_version_is_put_aside() {
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    (1..=3).for_each(|window| _ = queue.push(sized(window, 1000)));
    let mut files = sham.files();
    let name = files.keys().find(|name| name.ends_with(".queue")).unwrap().clone();
    let newer = record::preamble(*b"obsqueue", 2);
    files.get_mut(&name).unwrap()[..newer.len()].copy_from_slice(&newer);
    let sham = Sham::with(&files);
    let (queue, _) = open(&sham, &options);
    let [place] = &queue.damaged()[..] else { panic!("{:?}", queue.stats()) };
    assert_eq!(place.harm, Harm::Foreign { version: Some(2) });
    let aside = place.path.file_name().unwrap().to_str().unwrap();
    assert_eq!(sham.files()[aside], files[&name], "nothing of it is lost");
    assert_eq!(ends(&queue).len() + 1, 3, "the other files are read");
    sham.kill();
    assert_eq!(open(&sham, &options).1.damage, Damage::default());
}

#[test]
fn what_is_stored_while_it_is_handed_out_does_not_come_again_once_it_is_delivered() {
    let (_clock, sham, options) = setup();
    let lazy = Options { spill_after: Duration::from_secs(60), memory_bytes: 20, ..options };
    let (queue, _) = open(&sham, &lazy);
    (1..=3).for_each(|window| _ = queue.push(entry(0, window)));
    // All of the file is read, so the next one stays in memory at first.
    let taken = [(); 3].map(|()| queue.take().unwrap().seq);
    queue.push(entry(0, 4));
    let held = queue.take().unwrap();
    (5..=6).for_each(|window| _ = queue.push(entry(0, window)));
    assert_eq!(queue.stats().memory.entries, 0);
    assert!(queue.ack(taken[0]) && queue.ack(held.seq));
    sham.kill();
    assert_eq!(ends(&open(&sham, &lazy).0), [2, 3, 5, 6]);
}

#[test]
fn where_there_is_room_for_all_nothing_is_dropped_for_it() {
    let mut seen = [0; 2];
    for max_bytes in [500, 1000, 3200, 6400] {
        for count in 1..60 {
            let (_clock, sham, options) = setup();
            let options =
                Options { max_bytes, memory_bytes: 1 << 20, spill_after: Duration::from_hours(1), ..options };
            let (queue, _) = open(&sham, &options);
            (0..count).for_each(|window| _ = queue.push(entry(0, window)));
            let room = queue.has_room_for_all();
            seen[usize::from(room)] += 1;
            queue.store_all().unwrap();
            let dropped = queue.stats().dropped(Cause::DiskFull).entries;
            assert!(!room || dropped == 0, "{count} entries under {max_bytes}");
        }
    }
    assert!(seen[0] > 50 && seen[1] > 50, "{seen:?}");
    let (_clock, sham, options) = setup();
    let (queue, _) = open(&sham, &options);
    assert!(queue.has_room_for_all());
    sham.fail_all(5);
    queue.push(entry(0, 1));
    assert!(!queue.has_room_for_all(), "the disk fails");
    assert!(!Queue::open(options).unwrap().0.has_room_for_all(), "there is none");
}
