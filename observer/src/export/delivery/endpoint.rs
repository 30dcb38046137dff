//! One receiver and all that works for it.

use std::{fmt, io, sync::Arc, thread, time::Duration};

use observer_export::Protocol;
use observer_queue::{self as queue, Queue, Recovered};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout_at,
};

use super::{
    Status, Transport,
    backoff::Backoff,
    counters::Counters,
    encode::{Barrier, Encoding, Factory},
    pace::Pace,
    schedule::Schedule,
    send::{Phase, Sender},
    status::{StatusCell, counted},
};
use crate::{clock, export::feed::Windows, telemetry::Telemetry};

/// How an endpoint is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    /// What messages and counters call it.
    pub(crate) name: String,
    /// Where it posts to, for people.
    pub(crate) url: String,
    /// What the first window is encoded in.
    pub(crate) protocol: Protocol,
    /// The requests on their way at a time when all is well, at least.
    pub(crate) min_shards: usize,
    /// And at most.
    pub(crate) max_shards: usize,
    /// The first ceiling of the wait for another try.
    pub(crate) min_backoff: Duration,
    /// The last.
    pub(crate) max_backoff: Duration,
    /// Which windows are sent, and when.
    pub(crate) schedule: Schedule,
}

/// Why an endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("cannot open the queue of export `{name}`")]
    Queue {
        name: String,
        #[source]
        source: queue::Error,
    },
    #[error("cannot start a thread for export `{name}`")]
    Thread {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// A receiver that is served.
pub(crate) struct Endpoint {
    name: String,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    encoder: thread::JoinHandle<()>,
    sender: thread::JoinHandle<()>,
    phase: watch::Sender<Phase>,
    ended: oneshot::Receiver<()>,
    status: Arc<dyn Fn() -> Status + Send + Sync>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All receivers.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Vec<Endpoint>);

struct Clock;

impl queue::Clock for Clock {
    fn wall_ms(&self) -> i64 {
        clock::wall_ms()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(clock::kernel_ns())
    }
}

/// A queue's options with what the system and nobody else decides.
pub(crate) fn queue_options() -> queue::Options {
    queue::Options::new(Arc::new(Clock))
}

impl Endpoint {
    /// Opens the queue and starts the threads.
    pub(crate) fn spawn<T: Transport>(
        sending: &Sending,
        windows: Windows,
        factory: Factory,
        transport: T,
        mut options: queue::Options,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, EndpointError> {
        let Sending { name, url, protocol, min_shards, max_shards, min_backoff, max_backoff, schedule } =
            sending;
        let wake = Arc::new(Notify::new());
        let notify = Arc::clone(&wake);
        options.notify = Some(Arc::new(move || notify.notify_one()));
        let (memory, disk) = (options.memory_bytes, options.dir.as_ref().map_or(0, |_| options.max_bytes));
        let (queue, recovered) =
            Queue::open(options).map_err(|source| EndpointError::Queue { name: name.clone(), source })?;
        tell(name, &recovered);
        let queue = Arc::new(queue);
        let counters = Arc::new(Counters::new(name, telemetry));
        let status = Arc::new(StatusCell::new(name));
        status.disk(&queue.stats(), &queue.damaged());
        let barrier = Arc::new(Barrier::new(recovered.totals.entries > 0));
        let transport = Arc::new(transport);
        for (place, bytes) in [("memory", memory), ("disk", disk)] {
            let limit = telemetry.export_queue_limit.with([&**name, place]);
            limit.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        telemetry.export_shards_limit.with([&**name]).set(i64::try_from(*max_shards).unwrap_or(i64::MAX));

        counters.shards.set(i64::try_from(*min_shards).unwrap_or(i64::MAX));
        let encoding = Encoding {
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
            status: Arc::clone(&status),
            barrier: Arc::clone(&barrier),
            factory,
            first: *protocol,
            schedule: *schedule,
            newest_ms: recovered.newest_end_ms,
        };
        let wanted = Arc::clone(&transport);
        let failed = |source| EndpointError::Thread { name: name.clone(), source };
        let encoder = thread::Builder::new()
            .name(thread_name("enc", name))
            .spawn(move || encoding.run(&windows, || wanted.wanted()))
            .map_err(failed)?;

        let (phase, phases) = watch::channel(Phase::Run);
        let (end, ended) = oneshot::channel();
        let sender = Sender {
            transport,
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
            status: Arc::clone(&status),
            barrier,
            wake,
            phase: phases,
            pace: Pace::new(*min_shards, *max_shards, &Backoff::new(*min_backoff, *max_backoff)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let sender = thread::Builder::new()
            .name(thread_name("send", name))
            .spawn(move || {
                runtime.block_on(sender.run());
                // Who waits for it may have given up.
                let _gone = end.send(());
            })
            .map_err(failed)?;
        let (url, shown) = (url.clone(), Arc::clone(&queue));
        let status = Arc::new(move || status.with(&url, shown.stats()));
        Ok(Self { name: name.clone(), queue, counters, encoder, sender, phase, ended, status })
    }

    /// Stores what is left, and says what is lost if that cannot be.
    fn store(self) {
        let Self { name, queue, counters, encoder, sender, phase, ended: _, status: _ } = self;
        phase.send_replace(Phase::Stop);
        if encoder.join().is_err() {
            log::error!("the encoder of export `{name}` did not end in order");
        }
        if sender.join().is_err() {
            log::error!("the sender of export `{name}` did not end in order");
        }
        let stored = queue.store_all();
        let stats = queue.stats();
        counters.queue(&stats, clock::wall_ms());
        match stored {
            Err(error) => {
                let lost = counted(stats.memory.samples + stats.memory.histograms, "sample");
                let reason = crate::bpf::chain(&error);
                log::error!("export `{name}`: {lost} lost with this process: {reason}");
            }
            Ok(lost) if lost.entries > 0 => {
                let lost = counted(lost.samples + lost.histograms, "sample");
                log::error!("export `{name}`: {lost} lost with this process: it has no queue on disk");
            }
            Ok(_) => log::info!("export `{name}`: on disk: {}", counted(stats.disk.samples, "sample")),
        }
    }
}

impl Endpoints {
    pub(crate) fn push(&mut self, endpoint: Endpoint) {
        self.0.push(endpoint);
    }

    /// What tells how each is.
    pub(crate) fn statuses(&self) -> impl Fn() -> Vec<Status> + Send + Sync + 'static {
        let all: Vec<_> = self.0.iter().map(|endpoint| Arc::clone(&endpoint.status)).collect();
        move || all.iter().map(|status| status()).collect()
    }

    /// Delivers what there is until `grace` is over or `enough` says so, and stores the rest. The shard has ended.
    pub(crate) async fn finish(mut self, grace: Duration, enough: impl Future<Output = ()>) {
        let deadline = tokio::time::Instant::from_std(clock::monotonic() + grace);
        let drained = async {
            for endpoint in &mut self.0 {
                // It ends with the shard: there is no window left but those it has.
                while !endpoint.encoder.is_finished() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                endpoint.phase.send_replace(Phase::Drain);
            }
            for endpoint in &mut self.0 {
                // A sender that panicked is found when it is joined.
                let _ended = (&mut endpoint.ended).await;
            }
        };
        tokio::select! {
            _in_time = timeout_at(deadline, drained) => {}
            () = enough => {}
        }
        let stored = tokio::task::spawn_blocking(move || self.0.into_iter().for_each(Endpoint::store));
        if stored.await.is_err() {
            log::error!("an export did not end in order");
        }
    }
}

/// Says what an earlier process has left.
fn tell(name: &str, recovered: &Recovered) {
    // Each damaged place has a line of its own.
    let Recovered { totals, newest_end_ms: _, damage: _ } = recovered;
    if totals.entries > 0 {
        let samples = counted(totals.samples, "sample");
        log::info!("export `{name}`: on disk: {samples} of an earlier process");
    }
}

/// The kernel takes 15 bytes.
fn thread_name(what: &str, name: &str) -> String {
    format!("{what}-{name}").chars().take(15).collect()
}
