//! The encoder's thread: windows in, entries of the queue out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use observer_aggregate::window::Window;
use observer_export::{Batch, Encode, Protocol};
use observer_queue::{Entry, Queue};

use super::{Contents, counters::Counters, schedule::Schedule, status::StatusCell};
use crate::{clock, export::feed::Windows};

/// Makes an encoder for a protocol.
pub(crate) type Factory = Box<dyn FnMut(Protocol) -> Box<dyn Encode> + Send>;

/// How far the clock may go back before its new time is taken for the truth. Less than that is waited for: what is exported meanwhile
/// would be out of order for every receiver.
const PATIENCE: Duration = Duration::from_secs(300);

/// The next window; behind the last of all the one before it, if it has not been sent, and that it is the last.
fn next(
    windows: &Windows,
    following: &mut Option<Arc<Window>>,
    unsent: &mut Option<Arc<Window>>,
) -> Option<(Arc<Window>, bool)> {
    let next = following.take().or_else(|| windows.recv().ok());
    next.map(|window| (window, false)).or_else(|| unsent.take().map(|window| (window, true)))
}

/// Up to which entry requests go one by one, in the order of the queue. Which lane a series takes is an encoder's own choice: those
/// of another process, or of an encoder before, have to be through before the next may count on lanes.
#[derive(Debug)]
pub(super) struct Barrier(AtomicU64);

impl Barrier {
    /// Of a queue that has entries already, or has none.
    pub(super) const fn new(entries: bool) -> Self {
        Self(AtomicU64::new(if entries { u64::MAX } else { 0 }))
    }

    /// Whether the entry comes from an encoder before the present one.
    pub(super) fn is_before(&self, seq: u64) -> bool {
        seq < self.0.load(Relaxed)
    }

    /// Whether there may be such entries.
    pub(super) fn is_up(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// None are left.
    pub(super) fn lower(&self, seq: u64) {
        // Unless another one was put up meanwhile.
        let _other = self.0.fetch_update(Relaxed, Relaxed, |barrier| (barrier <= seq).then_some(0));
    }

    /// From the next entry on there is another encoder.
    fn put_up(&self) {
        self.0.store(u64::MAX, Relaxed);
    }

    fn pushed(&self, seq: u64) {
        let _already = self.0.compare_exchange(u64::MAX, seq, Relaxed, Relaxed);
    }
}

/// What the thread works with.
pub(super) struct Encoding {
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
    pub(super) status: Arc<StatusCell>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) factory: Factory,
    pub(super) first: Protocol,
    pub(super) schedule: Schedule,
    /// The end of the newest window that an earlier process has queued.
    pub(super) newest_ms: Option<i64>,
}

impl Encoding {
    /// Encodes every window until there are no more. `wanted` is what the receiver understands, once that is known.
    pub(super) fn run(mut self, windows: &Windows, wanted: impl Fn() -> Option<Protocol>) {
        let mut protocol = self.first;
        let mut encoder = (self.factory)(protocol);
        self.status.speaks(protocol);
        let (mut following, mut unsent) = (None, None);
        while let Some((window, is_last)) = next(windows, &mut following, &mut unsent) {
            if let Some(other) = wanted().filter(|other| *other != protocol) {
                encoder.flush(&mut |batch| self.push(batch));
                self.barrier.put_up();
                protocol = other;
                encoder = (self.factory)(protocol);
                self.status.speaks(protocol);
            }
            if !is_last {
                if !self.is_next(&window) {
                    self.counters.window_lost("clock");
                    continue;
                }
                if !self.schedule.is_due(window.end_ms) {
                    encoder.skip(&window);
                    unsent = Some(window);
                    continue;
                }
                unsent = None;
                // One that is there already has waited long enough for both.
                let wait = self.schedule.wait(window.end_ms, clock::wall_ms());
                if !wait.is_zero() && following.is_none() {
                    following = windows.recv_timeout(wait).ok();
                }
            }
            encoder.window(&window, &mut |batch| self.push(batch));
            // The window goes back to its pool before anything else is done.
            drop(window);
            encoder.flush(&mut |batch| self.push(batch));
        }
    }

    /// Whether the window is behind those before it.
    fn is_next(&mut self, window: &Window) -> bool {
        let Some(newest) = self.newest_ms else {
            self.newest_ms = Some(window.end_ms);
            return true;
        };
        let back = newest.saturating_sub(window.end_ms);
        if (0..i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX)).contains(&back) {
            self.status.refused(
                &format!("the clock is {back} ms before the newest window that was exported"),
                window.len() as u64,
            );
            return false;
        }
        self.newest_ms = Some(window.end_ms);
        true
    }

    fn push(&self, batch: Batch<'_>) {
        let Batch { protocol, lane, end_ms, serial: _, last, samples, histograms, exemplars, body } = batch;
        let body = Bytes::copy_from_slice(body);
        let entry =
            Entry { seq: 0, kind: protocol as u8, lane, end_ms, last, samples, histograms, exemplars, body };
        self.counters.encoded(Contents::from(&entry));
        self.barrier.pushed(self.queue.offer(entry));
    }
}
