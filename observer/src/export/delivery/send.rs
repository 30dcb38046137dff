//! The sender's thread: entries of the queue out to the receiver, one at a time in each lane. It never waits for a disk itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use observer_export::Protocol;
use observer_queue::{Entry, NotNow, Queue};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    Contents, Parcel, Transport,
    counters::Counters,
    encode::Barrier,
    pace::Pace,
    post::{Fate, post},
    status::StatusCell,
};
use crate::clock;

/// How long the sender goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// As long as there may be windows.
    Run,
    /// Until the queue is empty.
    Drain,
    /// No longer.
    Stop,
}

/// What the thread works with.
pub(super) struct Sender<T> {
    pub(super) transport: Arc<T>,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
    pub(super) status: Arc<StatusCell>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) wake: Arc<Notify>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) pace: Pace,
}

/// A request that has ended.
struct Ended {
    entry: Entry,
    fate: Fate,
}

impl<T: Transport> Sender<T> {
    pub(super) async fn run(mut self) {
        let mut requests = JoinSet::new();
        let mut busy = HashSet::new();
        // How often entries were posted that have to be posted again.
        let mut attempts: HashMap<u64, u32> = HashMap::new();
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ticking, mut settling) = (None, None);
        loop {
            let is_for_disk = loop {
                match self.next(&requests, &busy) {
                    Ok(Some(entry)) => {
                        busy.insert(entry.lane);
                        let attempt = attempts.get(&entry.seq).copied().unwrap_or(0);
                        requests.spawn(self.request(entry, attempt));
                    }
                    Ok(None) => break self.queue.is_unsettled(),
                    Err(NotNow) => break true,
                }
            };
            if is_for_disk && settling.as_ref().is_none_or(JoinHandle::is_finished) {
                settling = Some(self.settle(&busy));
            }
            let now = clock::monotonic();
            let rested = self.pace.next(now).unwrap_or(now + Duration::from_secs(60));
            tokio::select! {
                Some(ended) = requests.join_next() => match ended {
                    Ok(Ended { entry, fate }) => {
                        busy.remove(&entry.lane);
                        self.ended(&entry, fate, &mut attempts);
                    }
                    // What a request that panicked had is still the queue's, and comes again with the next start.
                    Err(error) => log::error!("a request of an export ended in disorder: {error}"),
                },
                () = self.wake.notified() => {}
                () = sleep_until(rested.into()) => {}
                _ = second.tick() => {
                    let stats = self.queue.stats();
                    self.counters.queue(&stats, clock::wall_ms());
                    self.status.disk(&stats, &self.queue.damaged());
                    // The disk may take longer than a second.
                    if ticking.as_ref().is_none_or(JoinHandle::is_finished) {
                        let queue = Arc::clone(&self.queue);
                        ticking = Some(spawn_blocking(move || queue.tick()));
                    }
                }
                _ = self.phase.changed() => {}
            }
            let phase = *self.phase.borrow();
            match phase {
                Phase::Run => {}
                Phase::Drain if requests.is_empty() && (self.queue.is_empty() || self.is_stored().await) => {
                    break;
                }
                Phase::Drain => {}
                Phase::Stop => break,
            }
        }
        requests.shutdown().await;
    }

    /// The next entry that may go now.
    fn next(&self, requests: &JoinSet<Ended>, busy: &HashSet<u16>) -> Result<Option<Entry>, NotNow> {
        let now = clock::monotonic();
        if *self.phase.borrow() == Phase::Stop || requests.len() >= self.pace.allowed(now) {
            return Ok(None);
        }
        if self.barrier.is_up() {
            return if requests.is_empty() { self.next_in_order(now) } else { Ok(None) };
        }
        self.queue.try_take_free(|lane| !busy.contains(&lane) && self.pace.is_rested(lane, now))
    }

    /// The next entry of all, if it may go now.
    fn next_in_order(&self, now: Instant) -> Result<Option<Entry>, NotNow> {
        // The queue asks for the oldest first.
        let mut oldest = None;
        let entry = self
            .queue
            .try_take_free(|lane| oldest.is_none() && *oldest.insert(self.pace.is_rested(lane, now)));
        match entry {
            Ok(Some(entry)) => {
                if !self.barrier.is_before(entry.seq) {
                    self.barrier.lower(entry.seq);
                }
                Ok(Some(entry))
            }
            Err(NotNow) if oldest.is_none() => Err(NotNow),
            Ok(None) | Err(NotNow) => Ok(None),
        }
    }

    /// Lets the queue do what needs the disk, and comes back when that was worth it.
    fn settle(&self, busy: &HashSet<u16>) -> JoinHandle<()> {
        let (queue, wake) = (Arc::clone(&self.queue), Arc::clone(&self.wake));
        let held: HashSet<u16> = if self.barrier.is_up() {
            HashSet::new()
        } else {
            busy.iter().copied().chain(self.pace.resting(clock::monotonic())).collect()
        };
        spawn_blocking(move || {
            if queue.settle(|lane| !held.contains(&lane)) || queue.is_empty() {
                wake.notify_one();
            }
        })
    }

    fn request(&self, entry: Entry, attempt: u32) -> impl Future<Output = Ended> + use<T> {
        let (transport, counters) = (Arc::clone(&self.transport), Arc::clone(&self.counters));
        let status = Arc::clone(&self.status);
        async move {
            let contents = Contents::from(&entry);
            let Some(protocol) = Protocol::from_number(entry.kind) else {
                counters.dropped("unknown_protocol", contents);
                status.refused(
                    "the queue has an entry of a protocol that this version does not know",
                    contents.sum(),
                );
                return Ended { entry, fate: Fate::Done };
            };
            let parcel =
                Parcel { protocol, body: entry.body.clone(), contents, attempt, refused_lately: false };
            let fate = post(&*transport, parcel, &counters, &status).await;
            Ended { entry, fate }
        }
    }

    fn ended(&mut self, entry: &Entry, fate: Fate, attempts: &mut HashMap<u64, u32>) {
        match fate {
            Fate::Done => {
                self.queue.ack_soon(entry.seq);
                attempts.remove(&entry.seq);
                self.pace.succeeded(entry.lane);
                self.status.succeeded();
                let until = self.counters.delivered_until.get().max(entry.end_ms as f64 / 1000.0);
                self.counters.delivered_until.set(until);
            }
            Fate::Later { message, after } => {
                *attempts.entry(entry.seq).or_default() += 1;
                self.counters.retried(Contents::from(entry));
                self.pace.failed(entry.lane, after, clock::monotonic());
                self.status.failed(&message);
                self.queue.give_back_soon(entry.seq);
            }
        }
        self.counters.shards.set(i64::try_from(self.pace.shards()).unwrap_or(i64::MAX));
    }

    /// Whether a receiver that is away need not be waited for: everything is on disk now, and nothing else had to go for it.
    async fn is_stored(&self) -> bool {
        if !self.pace.is_away(clock::monotonic()) {
            return false;
        }
        let queue = Arc::clone(&self.queue);
        let stored = spawn_blocking(move || queue.has_room_for_all().then(|| queue.store_all())).await;
        matches!(stored, Ok(Some(Ok(left))) if left.entries == 0)
    }
}
