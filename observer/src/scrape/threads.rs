//! The threads that scrape.
//!
//! Each has a runtime of its own, so no thread is woken to look whether it could help another: on an idle machine those
//! wake-ups were an eighth of what a scrape of a thousand samples costs. Requests that go out together are of one thread.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Threads that run what is spawned on their handles, until this goes.
#[derive(Debug)]
pub(super) struct Threads {
    // At least one.
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    /// The thread ends when this goes.
    stop: Option<oneshot::Sender<()>>,
    joined: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts `count` threads, and at least one.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no epoll instance.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        Ok(Self { threads: (0..count.max(1)).map(Thread::start).collect::<io::Result<_>>()? })
    }

    pub(super) const fn count(&self) -> usize {
        self.threads.len()
    }

    /// Where to run a target whose phase is that many steps: those of one step share a thread, and steps go round.
    pub(super) fn at(&self, step: u64) -> &Handle {
        let at = usize::try_from(step).unwrap_or(0) % self.threads.len();
        &self.threads[at].runtime
    }
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopping) = oneshot::channel::<()>();
        let joined = thread::Builder::new().name(format!("scrape-{number}")).spawn(move || {
            // The other end goes when everything ends.
            let _gone = runtime.block_on(stopping);
        })?;
        Ok(Self { runtime: handle, stop: Some(stop), joined: Some(joined) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.joined.take() {
            // A panic has been printed; there is nothing left to wait for.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn name_of_thread_at(threads: &Threads, step: u64) -> Option<String> {
        threads.at(step).spawn(async { thread::current().name().map(str::to_owned) }).await.unwrap()
    }

    #[tokio::test]
    async fn steps_go_round_the_threads() {
        let threads = Threads::start(3).unwrap();
        for (step, name) in
            [(0, "scrape-0"), (1, "scrape-1"), (2, "scrape-2"), (3, "scrape-0"), (89, "scrape-2")]
        {
            assert_eq!(name_of_thread_at(&threads, step).await.as_deref(), Some(name), "step {step}");
        }
    }

    #[tokio::test]
    async fn there_is_one_thread_at_least() {
        let threads = Threads::start(0).unwrap();
        assert_eq!(threads.count(), 1);
        assert_eq!(name_of_thread_at(&threads, 7).await.as_deref(), Some("scrape-0"));
    }

    #[tokio::test]
    async fn tasks_end_with_their_threads() {
        let threads = Threads::start(2).unwrap();
        let task = threads.at(1).spawn(std::future::pending::<()>());
        drop(threads);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
