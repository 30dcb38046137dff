//! Random sequences of calls, kills, power failures and faults, beside a plain list of what has to be there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    Hand, Random, open, options,
    sham::{Fault, Sham},
};
use crate::{Cause, Damage, Entry, Fsync, Harm, Options, Queue};

const LANES: u16 = 3;

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    faults: bool,
    power: bool,
    small: bool,
    fsync: Fsync,
    spill_after: Duration,
}

/// The queue and what is known about it. An entry is known by its end.
struct Run {
    plan: Plan,
    random: Random,
    clock: Arc<Hand>,
    sham: Arc<Sham>,
    options: Options,
    queue: Queue,
    /// What is queued, and in which lane.
    queued: BTreeMap<i64, u16>,
    /// What each lane has in flight, by number.
    flying: BTreeMap<u16, (i64, u64)>,
    delivered: BTreeSet<i64>,
    /// The first and the next end of this life.
    first: i64,
    next: i64,
    /// What the queue must have dropped, in this life.
    missed: u64,
    /// What the power failure before it has damaged, none of it durable.
    damaged: u64,
}

fn body(end: i64) -> Bytes {
    let len = 5 + end.unsigned_abs().wrapping_mul(31) % 90;
    Bytes::from(end.to_le_bytes().repeat(13)).slice(..usize::try_from(len).unwrap())
}

impl Run {
    fn new(plan: Plan) -> Self {
        let clock = Arc::new(Hand::default());
        let (max_bytes, memory_bytes) = if plan.small { (3000, 300) } else { (1 << 20, 1 << 20) };
        let Plan { fsync, spill_after, .. } = plan;
        let options = Options { max_bytes, memory_bytes, fsync, spill_after, ..options(&clock) };
        let sham = Arc::new(Sham::default());
        let queue = open(&sham, &options).0;
        Self {
            plan,
            random: Random::new(plan.seed),
            clock,
            sham,
            options,
            queue,
            queued: BTreeMap::new(),
            flying: BTreeMap::new(),
            delivered: BTreeSet::new(),
            first: 1,
            next: 1,
            missed: 0,
            damaged: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..12 => self.push(),
            12..22 => self.take(),
            22..30 => self.settle(true),
            30..33 => self.settle(false),
            33..38 => {
                self.clock.advance(700);
                self.queue.tick();
            }
            38 if self.plan.faults => self.fault(),
            39 if self.random.once_in(5) => self.restart(),
            _ => {}
        }
    }

    fn push(&mut self) {
        let (end_ms, lane) = (self.next, u16::try_from(self.random.below(LANES.into())).unwrap());
        self.next += 1;
        let body = body(end_ms);
        let entry = Entry { body, ..super::entry(lane, end_ms) };
        if self.random.once_in(2) {
            self.queue.push(entry)
        } else {
            self.queue.offer(entry)
        };
        self.queued.insert(end_ms, lane);
    }

    fn take(&mut self) {
        let flying = &self.flying;
        let Some(entry) = self.queue.take_free(|lane| !flying.contains_key(&lane)) else { return };
        self.came(&entry);
        self.flying.insert(entry.lane, (entry.end_ms, entry.seq));
    }

    /// An entry came: what was before it in its lane was dropped.
    fn came(&mut self, entry: &Entry) {
        let Entry { end_ms, lane, ref body, .. } = *entry;
        assert_eq!(self.queued.get(&end_ms), Some(&lane), "{:?}: unknown, or it came twice", self.plan);
        assert_eq!(*body, self::body(end_ms));
        let before = self.queued.iter().filter(|(end, other)| **end < end_ms && **other == lane);
        let dropped: Vec<i64> = before.map(|(end, _lane)| *end).collect();
        self.missed += dropped.len() as u64;
        dropped.iter().for_each(|end| _ = self.queued.remove(end));
    }

    /// Something in flight is delivered, or not.
    fn settle(&mut self, delivered: bool) {
        let lane = u16::try_from(self.random.below(LANES.into())).unwrap();
        let Some((end_ms, seq)) = self.flying.remove(&lane) else { return };
        if delivered {
            assert!(self.queue.ack(seq));
            self.queued.remove(&end_ms);
            self.delivered.insert(end_ms);
        } else {
            assert!(self.queue.give_back(seq));
        }
    }

    fn fault(&mut self) {
        let from = self.sham.calls() + self.random.below(5);
        let error = [28, 5, 30, 13][usize::try_from(self.random.below(4)).unwrap()];
        self.sham.fail(Some(Fault { from, to: from + 1 + self.random.below(6), error }));
    }

    /// The process ends one way or another, and the next one finds what has to be there.
    fn restart(&mut self) {
        let power = self.plan.power && self.random.once_in(2);
        let stored = self.random.once_in(3) && self.queue.store_all().is_ok();
        let stats = self.queue.stats();
        let durable = stats.durable_end_ms.unwrap_or(0);
        assert!(!stored || stats.memory.entries == 0 || self.plan.small);
        self.sham.fail(None);
        if power {
            self.sham.power_loss(&mut self.random);
        } else {
            self.sham.kill();
        }
        self.clock.advance(1000);
        let (queue, recovered) = open(&self.sham, &self.options);
        assert_eq!(queue.stats().error, None);
        let found: Vec<Entry> = std::iter::from_fn(|| queue.take()).collect();
        let damaged = queue.stats().dropped(Cause::Damaged).entries;
        let torn = queue.damaged().into_iter().map(|place| match place.harm {
            Harm::Torn { known, .. } => known.entries,
            _ => 0,
        });
        assert_eq!(found.len() as u64 + damaged, recovered.totals.entries + torn.sum::<u64>());
        assert!(found.is_sorted_by(|before, after| before.end_ms < after.end_ms), "{:?}", self.plan);
        if !self.plan.power && !self.plan.faults {
            assert_eq!(recovered.damage, Damage::default(), "{:?}: a kill harms no file", self.plan);
        }
        let ends: BTreeSet<i64> = found.iter().map(|entry| entry.end_ms).collect();
        // What small bounds dropped was durable, and is counted; nobody knows which.
        if !self.plan.small && !self.plan.faults {
            let lost = self.queued.keys().find(|end| (stored || **end <= durable) && !ends.contains(*end));
            assert_eq!(lost, None, "{:?}: durable up to {durable}, found {ends:?}, {recovered:?}", self.plan);
        }
        let twice = ends.iter().find(|end| !self.queued.contains_key(*end) && !power && !self.plan.faults);
        assert_eq!(twice, None, "{:?}: delivered before the kill", self.plan);
        let unknown = ends.iter().find(|end| **end >= self.next);
        assert_eq!(unknown, None);
        let mut order: Vec<u64> = found.iter().map(|entry| entry.seq).collect();
        while !order.is_empty() {
            let at = usize::try_from(self.random.below(order.len() as u64)).unwrap();
            assert!(queue.give_back(order.swap_remove(at)));
        }
        self.queued = found.iter().map(|entry| (entry.end_ms, entry.lane)).collect();
        self.flying.clear();
        (self.missed, self.damaged) = (damaged, damaged);
        self.first = self.next;
        self.queue = queue;
    }

    /// Everything left is delivered, and the sums are right.
    fn finish(mut self) {
        self.sham.fail(None);
        for (_lane, (_end, seq)) in std::mem::take(&mut self.flying) {
            self.queue.give_back(seq);
        }
        for _ in 0..5 {
            while let Some(entry) = self.queue.take() {
                self.came(&entry);
                assert!(self.queue.ack(entry.seq));
                self.queued.remove(&entry.end_ms);
            }
            self.clock.advance(10_000);
            self.queue.tick();
        }
        let stats = self.queue.stats();
        let dropped: u64 = stats.dropped.iter().map(|totals| totals.entries).sum();
        assert_eq!(dropped, self.missed + self.queued.len() as u64, "{:?}: {stats:?}", self.plan);
        assert!(self.plan.faults || self.plan.small || dropped == self.damaged, "{:?}: {stats:?}", self.plan);
        assert_eq!((stats.memory.entries, stats.disk.entries, stats.taken), (0, 0, 0));
        assert_eq!((stats.file_bytes, stats.error), (0, None));
        let newest = (self.next > self.first).then_some(self.next - 1);
        assert_eq!(stats.durable_end_ms, newest, "{:?}", self.plan);
    }
}

fn check(seeds: u64, plan: Plan) {
    for seed in 1..=seeds {
        // What was written and not synced is lost with the power, and says nothing then.
        let never = (!plan.power).then_some(Fsync::Never);
        for fsync in [Fsync::Always, Fsync::Interval(Duration::from_secs(1))].into_iter().chain(never) {
            for spill_after in [0, 2] {
                let spill_after = Duration::from_secs(spill_after);
                let mut run = Run::new(Plan { seed, fsync, spill_after, ..plan });
                (0..400).for_each(|_| run.step());
                run.finish();
            }
        }
    }
}

const PLAN: Plan = Plan {
    seed: 0,
    faults: false,
    power: false,
    small: false,
    fsync: Fsync::Always,
    spill_after: Duration::ZERO,
};

#[test]
fn nothing_is_lost_over_kills() {
    check(40, PLAN);
}

#[test]
fn nothing_durable_is_lost_over_power_failures() {
    check(40, Plan { power: true, ..PLAN });
}

#[test]
fn small_bounds_drop_the_oldest_and_count_them() {
    check(40, Plan { power: true, small: true, ..PLAN });
}

#[test]
fn faults_lose_nothing_that_is_not_counted() {
    check(40, Plan { faults: true, ..PLAN });
    check(20, Plan { faults: true, small: true, power: true, ..PLAN });
}
