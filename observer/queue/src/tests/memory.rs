//! Queues without a directory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Hand, ends, entry};
use crate::{Cause, Clock, Entry, Options, Queue};

fn memory(bytes: u64) -> (Arc<Hand>, Queue) {
    let clock = Arc::new(Hand::default());
    let options = Options { memory_bytes: bytes, ..Options::new(Arc::clone(&clock) as Arc<dyn Clock>) };
    (clock, Queue::open(options).unwrap().0)
}

#[test]
fn entries_come_in_order_and_keep_their_body() {
    let (_clock, queue) = memory(100);
    let pushed = entry(0, 1000);
    let body = pushed.body.as_ptr();
    queue.push(pushed);
    queue.push(entry(0, 2000));
    let first = queue.take().unwrap();
    assert_eq!(first.body.as_ptr(), body, "the body is not copied");
    assert_eq!((first.end_ms, queue.take().unwrap().end_ms, queue.take()), (1000, 2000, None));
}

#[test]
fn what_is_given_back_comes_before_later_ones() {
    let (_clock, queue) = memory(100);
    (1..=4).for_each(|window| _ = queue.push(entry(0, window)));
    let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
    assert!(queue.give_back(second.seq) && queue.give_back(first.seq));
    assert!(!queue.give_back(first.seq), "it is here already");
    assert_eq!(ends(&queue), [1, 2, 3, 4]);
}

#[test]
fn busy_lanes_are_passed_over() {
    let (_clock, queue) = memory(100);
    [0, 0, 1, 0, 1].into_iter().zip(1..).for_each(|(lane, end)| _ = queue.push(entry(lane, end)));
    assert_eq!(queue.take().unwrap().end_ms, 1);
    assert_eq!(queue.take_free(|lane| lane != 0).unwrap().end_ms, 3);
    assert_eq!(queue.take_free(|lane| lane > 1), None);
    assert_eq!(ends(&queue), [2, 4, 5]);
}

#[test]
fn the_oldest_is_dropped_for_the_newest() {
    let (_clock, queue) = memory(30);
    (1..=3).for_each(|window| _ = queue.push(entry(0, window)));
    let held = queue.take().unwrap();
    queue.push(entry(0, 4));
    let stats = queue.stats();
    assert_eq!((stats.memory.entries, stats.memory.bytes, stats.taken), (3, 30, 1));
    assert_eq!(stats.dropped(Cause::MemoryFull).samples, 10);
    assert_eq!(ends(&queue), [3, 4], "what is handed out is not dropped");
    queue.push(entry(0, 5));
    assert_eq!(queue.stats().dropped(Cause::MemoryFull).entries, 2, "everything else is handed out");
    assert!(queue.ack(held.seq) && !queue.ack(held.seq));
    assert_eq!(queue.stats().memory.entries, 2);
}

#[test]
fn what_fits_nowhere_is_counted() {
    let (_clock, queue) = memory(9);
    queue.push(entry(0, 1));
    assert_eq!((queue.take(), queue.stats().dropped(Cause::TooLarge).entries), (None, 1));
}

#[test]
fn old_entries_are_dropped() {
    let (clock, queue) = memory(100);
    [1000, 2000, 3000].into_iter().for_each(|end| _ = queue.push(entry(0, end)));
    clock.set(2500 + 6 * 3_600_000);
    queue.tick();
    assert_eq!(queue.stats().dropped(Cause::Age).entries, 2);
    assert_eq!(ends(&queue), [3000]);
}

#[test]
fn a_window_is_durable_when_all_before_it_is_delivered() {
    let (_clock, queue) = memory(100);
    let durable = || queue.stats().durable_end_ms;
    queue.push(Entry { last: false, ..entry(0, 1000) });
    queue.push(entry(1, 1000));
    queue.push(entry(0, 2000));
    let [a, b, c] = [(); 3].map(|()| queue.take().unwrap().seq);
    assert!(queue.ack(b) && durable().is_none());
    assert!(queue.ack(a) && durable() == Some(1000));
    assert!(queue.ack(c) && durable() == Some(2000));
}

#[test]
fn takers_are_told() {
    let told = Arc::new(AtomicU64::new(0));
    let notify = {
        let told = Arc::clone(&told);
        Arc::new(move || _ = told.fetch_add(1, Relaxed))
    };
    let options = Options { notify: Some(notify), ..Options::new(Arc::new(Hand::default())) };
    let (queue, _recovered) = Queue::open(options).unwrap();
    let seq = queue.push(entry(0, 1));
    queue.take();
    assert_eq!(told.load(Relaxed), 1);
    queue.give_back(seq);
    assert_eq!(told.load(Relaxed), 1, "who gives back waits before another try");
}
