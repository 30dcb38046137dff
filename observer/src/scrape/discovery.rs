//! Which targets there are: named in the configuration, in files, or by HTTP servers, and what relabelling makes of them.
//!
//! A task for each list of targets reads it again and again and sends what it has; one task resolves the job it is for and
//! publishes the whole. A list that cannot be read leaves the targets as they were.

mod file;
mod http;
mod resolved;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

pub(crate) use self::resolved::Targets;
use self::{file::Files, http::List, resolved::Found};
use crate::{
    config::{Group, Job},
    telemetry::{Telemetry, set_count},
};

/// How often files are looked at. A `stat` costs microseconds, and works where notifications do not: over networks, through the
/// symbolic links of a mounted ConfigMap, before the folder is there.
const LOOK: Duration = Duration::from_secs(1);

/// Lists on their way to be resolved. Who finds the queue full waits; nothing is lost.
const QUEUE: usize = 64;

/// The running discovery.
#[derive(Debug)]
pub(crate) struct Discovery {
    targets: watch::Receiver<Arc<Targets>>,
    task: JoinHandle<()>,
}

/// What one list has now.
struct Update {
    job: usize,
    /// The index of the list among those of the job.
    list: usize,
    groups: Vec<Group>,
}

impl Discovery {
    /// Starts to look for the targets of the jobs, until `shutdown`; at most `limit` over all. Static ones are there at once.
    pub(crate) fn spawn(
        jobs: Vec<Arc<Job>>,
        limit: usize,
        telemetry: &Arc<Telemetry>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (sender, updates) = mpsc::channel(QUEUE);
        let mut readers = JoinSet::new();
        for (at, job) in jobs.iter().enumerate() {
            let lists = job.files.len();
            for (list, config) in job.files.iter().enumerate() {
                let files = Files::new(config.clone());
                readers.spawn(file::run(
                    files,
                    Sender::new(at, list, &sender),
                    Counters::new(telemetry, "file"),
                ));
            }
            for (list, config) in job.servers.iter().enumerate() {
                let list = Sender::new(at, lists + list, &sender);
                readers.spawn(http::run(List::new(config.clone()), list, Counters::new(telemetry, "http")));
            }
        }
        let mut found = Found::new(jobs, limit);
        let (publish, targets) = watch::channel(Arc::new(found.targets()));
        count(telemetry, &targets.borrow());
        let telemetry = Arc::clone(telemetry);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = resolve(found, updates, publish, &telemetry) => {}
                () = shutdown => {}
            }
            readers.shutdown().await;
        });
        Self { targets, task }
    }

    /// The targets of now, and of each time they change.
    pub(crate) fn targets(&self) -> watch::Receiver<Arc<Targets>> {
        self.targets.clone()
    }

    /// Waits until all tasks have ended, which they do only behind `shutdown`.
    pub(crate) async fn stopped(self) {
        // A panic has been printed; there is nothing left to wait for.
        let _ended = self.task.await;
    }
}

/// Publishes the targets whenever a list has changed, and never ends.
async fn resolve(
    mut found: Found,
    mut updates: mpsc::Receiver<Update>,
    publish: watch::Sender<Arc<Targets>>,
    telemetry: &Telemetry,
) {
    while let Some(update) = updates.recv().await {
        found.update(update.job, update.list, update.groups);
        // What has come meanwhile is published with it.
        while let Ok(update) = updates.try_recv() {
            found.update(update.job, update.list, update.groups);
        }
        let targets = found.targets();
        count(telemetry, &targets);
        publish.send_replace(Arc::new(targets));
    }
    // Nothing is left that could change; who holds a receiver keeps what there is.
    publish.closed().await;
}

fn count(telemetry: &Telemetry, targets: &Targets) {
    for (state, count) in targets.states() {
        set_count(&telemetry.discovered_targets.with([state]), count);
    }
}

/// The way of one list to where it is resolved.
struct Sender {
    job: usize,
    list: usize,
    updates: mpsc::Sender<Update>,
}

impl Sender {
    fn new(job: usize, list: usize, updates: &mpsc::Sender<Update>) -> Self {
        Self { job, list, updates: updates.clone() }
    }

    async fn send(&self, groups: Vec<Group>) {
        let Self { job, list, .. } = *self;
        // The other side is gone only when everything ends.
        let _ended = self.updates.send(Update { job, list, groups }).await;
    }
}

/// Readings of lists, by result.
struct Counters {
    success: prometheus_client::metrics::counter::Counter,
    failure: prometheus_client::metrics::counter::Counter,
}

impl Counters {
    fn new(telemetry: &Telemetry, kind: &str) -> Self {
        let result = |result| telemetry.discovery_refreshes.with([kind, result]);
        Self { success: result("success"), failure: result("failure") }
    }
}

#[cfg(test)]
mod tests;
