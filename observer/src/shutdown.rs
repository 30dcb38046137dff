//! The signals that end the agent.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::clock;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the signals end nothing by themselves.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How soon after the first signal one more says nothing new: a key is pressed twice, a script sends two kinds.
const SAME: Duration = Duration::from_secs(1);

impl Signals {
    /// Waits, behind a first signal at `since`, for somebody in a hurry: for an interrupt, as a person sends it. SIGTERM is what programs
    /// send, some of them again and again (`timeout` to the process and to its group), and they have SIGKILL when their patience ends.
    pub(crate) async fn hurried(mut self, since: Instant) {
        while let Some(()) = self.interrupt.recv().await {
            if clock::monotonic().duration_since(since) >= SAME {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Runs work that blocks, and raises its flag at the first signal.
pub(crate) async fn until_signal<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> io::Result<T> {
    let mut signals = Signals::install()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut work = tokio::task::spawn_blocking(move || work(&flag));
    let done = tokio::select! {
        done = &mut work => done,
        () = signals.wait() => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    };
    done.map_err(io::Error::other)
}
