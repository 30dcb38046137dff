//! Windows on their way to the exports: each has a bounded hand-off of its own, and none ever holds up the shard.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use observer_aggregate::window::Window;
use prometheus_client::metrics::counter::Counter;

use crate::telemetry::Telemetry;

/// How many windows wait for an export that is busy with one. Seconds, that is: an export behind by more loses windows.
pub(crate) const DEPTH: usize = 4;

/// The shard's end of all hand-offs.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    outlets: Vec<Outlet>,
}

#[derive(Debug)]
struct Outlet {
    windows: SyncSender<Arc<Window>>,
    lost: Counter,
}

/// An export's end: every window in its order. It ends when the shard has closed its last one.
pub(crate) type Windows = Receiver<Arc<Window>>;

impl Feed {
    /// A hand-off for one more export, called `name` in the counter of what it misses.
    pub(crate) fn add(&mut self, name: &str, telemetry: &Telemetry) -> Windows {
        let (windows, receiver) = sync_channel(DEPTH);
        let lost = telemetry.export_windows_lost.with([name, "encoder_behind"]);
        self.outlets.push(Outlet { windows, lost });
        receiver
    }

    /// The most windows that the exports hold at a time: what waits, and the one each is busy with.
    pub(crate) fn held(&self) -> usize {
        self.outlets.len() * (DEPTH + 1)
    }

    /// Offers a window to every export. One that has too many already misses it, and that is counted.
    pub(crate) fn offer(&self, window: &Arc<Window>) {
        for Outlet { windows, lost } in &self.outlets {
            match windows.try_send(Arc::clone(window)) {
                Ok(()) => {}
                // An export that has ended has said why, and its windows are as lost.
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => drop(lost.inc()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(telemetry: &Telemetry, name: &str) -> u64 {
        telemetry.export_windows_lost.with([name, "encoder_behind"]).get()
    }

    #[test]
    fn a_slow_export_misses_windows_and_the_others_do_not() {
        let telemetry = Telemetry::new();
        let mut feed = Feed::default();
        let (slow, quick) = (feed.add("slow", &telemetry), feed.add("quick", &telemetry));
        assert_eq!(feed.held(), 2 * (DEPTH + 1));
        for serial in 1..=6 {
            let mut window = Window::default();
            window.serial = serial;
            feed.offer(&Arc::new(window));
            assert_eq!(quick.recv().unwrap().serial, serial);
        }
        assert_eq!(slow.try_iter().map(|window| window.serial).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!((lost(&telemetry, "slow"), lost(&telemetry, "quick")), (2, 0));
    }

    #[test]
    fn the_end_of_the_shard_is_the_end_of_the_windows() {
        let telemetry = Telemetry::new();
        let mut feed = Feed::default();
        let windows = feed.add("one", &telemetry);
        feed.offer(&Arc::default());
        drop(feed);
        assert_eq!(windows.iter().count(), 1);
    }

    #[test]
    fn windows_for_an_export_that_has_ended_are_counted() {
        let telemetry = Telemetry::new();
        let mut feed = Feed::default();
        drop(feed.add("one", &telemetry));
        feed.offer(&Arc::default());
        assert_eq!(lost(&telemetry, "one"), 1);
    }
}
