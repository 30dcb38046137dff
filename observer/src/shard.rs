//! One writer: everything that is read goes through this thread into the core, and a window closes at each whole second.

mod kernel;
mod listen;
mod lost;

use std::{
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    thread,
    time::Duration,
};

use observer_abi::{record::RecordKind, totals::Totals};
use observer_aggregate::{
    family::Family,
    rules::Rules,
    series::Block,
    tcp::Table,
    window::{Pool, Source, Window},
};
use tokio::sync::watch;

use crate::{
    bpf::{Level, Programs, Ring},
    clock,
    decode::{self, Record},
    export::feed::Feed,
    node::Node,
    scrape::{Memory, Progress, Scraper},
    telemetry::{Reader, Telemetry, set_count},
};
use kernel::Families;
use listen::Listeners;
use lost::Lost;

/// How often the ring is looked at; it wakes the shard by itself when it fills up faster.
const TICK: Duration = Duration::from_millis(100);
const SECOND_NS: u64 = 1_000_000_000;

/// What others ask of the shard.
pub(crate) enum Command {
    /// Which level is on?
    Level(SyncSender<Level>),
    /// Switch the level.
    SetLevel(Level, SyncSender<Level>),
    /// Drain, close the last window, end.
    Stop,
}

/// What a shard is made of.
pub(crate) struct Parts {
    pub(crate) capture: Option<(Programs, Ring)>,
    pub(crate) node: Option<Node>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) scraper: Arc<Scraper>,
    pub(crate) windows: watch::Sender<Arc<Window>>,
    /// The exports that get every window.
    pub(crate) feed: Feed,
    /// How many windows go round, without those that the exports hold.
    pub(crate) pool: usize,
    pub(crate) rules: Option<Rules>,
    pub(crate) commands: Receiver<Command>,
    /// The most label groups of the TCP families.
    pub(crate) groups: usize,
}

/// Starts the shard's thread.
///
/// # Errors
/// When no thread can be had.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("observer-shard".into()).spawn(move || Shard::new(parts).run())
}

struct Shard {
    capture: Option<Capture>,
    node: Option<Node>,
    telemetry: Arc<Telemetry>,
    reader: Reader,
    scraper: Arc<Scraper>,
    pool: Pool,
    node_block: Block,
    own_block: Block,
    rules: Option<Rules>,
    /// The last second that was closed, since the Unix epoch.
    closed: u64,
    /// The end of the last window, since the Unix epoch.
    last_end_ns: u64,
    windows: watch::Sender<Arc<Window>>,
    feed: Feed,
    commands: Receiver<Command>,
    /// Scrapes due and done when the last window closed.
    scrapes: (u64, u64),
}

/// The kernel side and what was made of it.
struct Capture {
    programs: Programs,
    ring: Ring,
    table: Table,
    listeners: Listeners,
    families: Families,
    block: Block,
    lost: Lost,
    totals: Totals,
    buffer: Vec<u8>,
    /// When the open window began, in the kernel's time.
    window_began_ns: u64,
}

impl Shard {
    fn new(parts: Parts) -> Self {
        let Parts { capture, node, telemetry, scraper, windows, feed, pool, rules, commands, groups } = parts;
        set_count(&telemetry.tcp_groups_limit, groups);
        let capture = capture.map(|(programs, ring)| Capture {
            programs,
            ring,
            table: Table::new(groups),
            listeners: Listeners::default(),
            families: Families::new(),
            block: Block::default(),
            lost: Lost::default(),
            totals: Totals::default(),
            buffer: vec![0; 64 << 10],
            window_began_ns: 0,
        });
        let reader = Reader::new(Arc::clone(&telemetry));
        let (node_block, own_block, pool) =
            (Block::default(), Block::default(), Pool::new(pool + feed.held()));
        Self {
            capture,
            node,
            telemetry,
            reader,
            scraper,
            pool,
            node_block,
            own_block,
            rules,
            closed: 0,
            last_end_ns: 0,
            windows,
            feed,
            commands,
            scrapes: (0, 0),
        }
    }

    fn run(mut self) {
        let mut log = self.capture.as_mut().and_then(|c| c.programs.take_log());
        self.note_features();
        // The window the agent starts in is not a whole one.
        let mut complete = false;
        let mut end_ns = next_second(clock::wall_ns());
        loop {
            let now_ns = clock::wall_ns();
            if now_ns >= end_ns {
                self.close(end_ns, complete);
                // A clock that was set back or forward, or a close that took long, starts anew at the next whole second.
                let next = next_second(clock::wall_ns());
                complete = next == end_ns + SECOND_NS;
                end_ns = next;
                continue;
            }
            match self.command() {
                Wish::Stop => break,
                Wish::None => {}
            }
            // A clock that is set back far would otherwise keep the window open for as long.
            let left = Duration::from_nanos(end_ns - now_ns).min(TICK);
            match &mut self.capture {
                Some(capture) => {
                    capture.ring.wait(left);
                    capture.drain(&self.telemetry);
                }
                None => thread::sleep(left),
            }
            if let Some(log) = &mut log {
                log.flush();
            }
            if clock::wall_ns() + 2 * SECOND_NS < end_ns {
                end_ns = next_second(clock::wall_ns());
                complete = false;
            }
        }
        if let Some(capture) = &mut self.capture {
            capture.programs.detach();
        }
        // Behind the last one, even within its millisecond: a receiver takes one sample a millisecond.
        self.close(clock::wall_ns().max(self.last_end_ns + 1_000_000), false);
    }

    fn command(&mut self) -> Wish {
        let (wanted, reply) = match self.commands.try_recv() {
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Wish::Stop,
            Err(TryRecvError::Empty) => return Wish::None,
            Ok(Command::Level(reply)) => (None, reply),
            Ok(Command::SetLevel(level, reply)) => (Some(level), reply),
        };
        if let Some(capture) = &mut self.capture {
            if let Some(level) = wanted {
                capture.programs.set_level(level);
            }
            // Whoever asked may have gone.
            let _gone = reply.try_send(capture.programs.level());
            self.note_features();
        }
        Wish::None
    }

    fn note_features(&self) {
        let features = self.capture.iter().flat_map(|c| c.programs.features());
        for feature in features {
            self.telemetry.feature_available.with([feature.name]).set(i64::from(feature.is_available()));
        }
    }

    /// Closes the window that ends at `end_ns` (wall clock) and publishes it. If readers hold every window, it stays open.
    fn close(&mut self, end_ns: u64, complete: bool) {
        self.telemetry.shard_lag.close.observe(clock::wall_ns().saturating_sub(end_ns));
        let mut completeness = 1.0_f64;
        if let Some(capture) = &mut self.capture {
            completeness = completeness.min(capture.close(&self.telemetry));
        }
        let end_ms = i64::try_from(end_ns / 1_000_000).unwrap_or(i64::MAX);
        self.last_end_ns = end_ns;
        if let Some(node) = &mut self.node {
            let families: Vec<&Family> = node.read(end_ms, |name| self.scraper.shows(name)).collect();
            self.node_block.read(families.into_iter());
        }
        completeness = completeness.min(self.scrapes_done());
        self.telemetry.windows.inc();
        self.telemetry.window_completeness.set(completeness);
        self.note_memory();
        self.note_rules();
        let own: Vec<&Family> = self.reader.read().collect();
        self.own_block.read(own.into_iter());
        let Self { capture, node, node_block, own_block, scraper, pool, rules, closed, windows, .. } = self;
        let before = Arc::clone(&windows.borrow());
        // The last one, which ends within a second, has that second's number.
        let number = end_ns.div_ceil(SECOND_NS);
        let closed = pool.close(|window| {
            window.begin(end_ms, complete);
            if let Some(capture) = capture {
                window.take(Source::Kernel, &mut capture.block);
            }
            if node.is_some() {
                window.take(Source::Node, node_block);
            }
            window.take(Source::Agent, own_block);
            // Last: where an exporter uses a name of ours, ours decides its type.
            scraper.take(window, &before);
            if let Some(rules) = rules {
                if *closed != 0 {
                    rules.skip(number.saturating_sub(*closed + 1));
                }
                rules.close(window, number);
            }
            *closed = number;
        });
        match closed {
            Some(window) => {
                self.feed.offer(&window);
                drop(self.windows.send_replace(window));
            }
            None => log::warn!(
                "readers hold all {} windows: this one stays open for another second",
                self.pool.capacity()
            ),
        }
        self.telemetry.window_close.observe(clock::wall_ns().saturating_sub(end_ns));
    }

    fn note_rules(&self) {
        let Some(rules) = &self.rules else { return };
        for rule in rules.rules() {
            set_count(&self.telemetry.rule_groups.with([rule.name]), rule.groups);
            set_count(&self.telemetry.rule_groups_limit.with([rule.name]), rule.max_groups);
            let series = |what| self.telemetry.rule_series_turned_away.with([rule.name, what]);
            series("folded").inner().store(rule.folded, Relaxed);
            series("refused").inner().store(rule.refused, Relaxed);
        }
        let stats = rules.stats();
        let noticed = [("not_finite", stats.not_finite), ("stale", stats.stale), ("reset", stats.resets)];
        for (what, n) in noticed {
            self.telemetry.rule_samples_noticed.with([what]).inner().store(n, Relaxed);
        }
    }

    fn note_memory(&self) {
        let Telemetry {
            arena_used,
            arena_capacity,
            arena_limit,
            pool_capacity,
            pool_in_use,
            series,
            series_limit,
            exemplars,
            exemplars_limit,
            ..
        } = &*self.telemetry;
        for ((held, limit), (used, of)) in [
            ((series, series_limit), self.scraper.series()),
            ((exemplars, exemplars_limit), self.scraper.exemplars()),
        ] {
            set_count(held, used);
            set_count(limit, of);
        }
        let blocks =
            [&self.node_block, &self.own_block].into_iter().chain(self.capture.iter().map(|c| &c.block));
        let (own_used, own_reserved) = blocks.map(Block::memory).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let (Memory { used, reserved }, limit) = self.scraper.memory();
        set_count(arena_used, own_used + used);
        set_count(arena_capacity, own_reserved + reserved + self.pool.memory_bytes());
        set_count(arena_limit, limit);
        set_count(pool_capacity, self.pool.capacity());
        set_count(pool_in_use, self.pool.in_use());
        let (hits, misses) = self.pool.hits_and_misses();
        self.telemetry.pool_hits.inner().store(hits, Relaxed);
        self.telemetry.pool_misses.inner().store(misses, Relaxed);
    }

    /// The share of the scrapes due in the last window that were done. One that is under way over the end of a window counts in
    /// the next, as its successor does in the one after.
    fn scrapes_done(&mut self) -> f64 {
        let Progress { due, done } = self.scraper.progress();
        let (due_before, done_before) = std::mem::replace(&mut self.scrapes, (due, done));
        let due = self.scrapes.0.saturating_sub(due_before);
        let done = self.scrapes.1.saturating_sub(done_before);
        if due == 0 { 1.0 } else { (done as f64 / due as f64).min(1.0) }
    }
}

enum Wish {
    None,
    Stop,
}

/// The next whole second of the wall clock.
fn next_second(now_ns: u64) -> u64 {
    (now_ns / SECOND_NS + 1) * SECOND_NS
}

impl Capture {
    fn drain(&mut self, telemetry: &Telemetry) {
        let Self { ring, table, window_began_ns, .. } = self;
        let (mut late, mut oldest) = (0, None);
        let now_ns = clock::kernel_ns();
        ring.drain(usize::MAX, |bytes| match decode::record(bytes) {
            Some(record) => {
                let time = record.time_ns();
                late += u64::from(time.is_some_and(|t| t < *window_began_ns));
                oldest = oldest.into_iter().chain(time).min();
                take(table, &record);
            }
            None => drop(telemetry.decode_errors.inc()),
        });
        telemetry.late_records.inc_by(late);
        if let Some(oldest) = oldest {
            telemetry.shard_lag.ring.observe(now_ns.saturating_sub(oldest));
        }
    }

    /// Reads everything the kernel has up to now. Returns the share of the input that arrived.
    fn close(&mut self, telemetry: &Telemetry) -> f64 {
        // The totals before the last records: what is counted then is in the ring, or lost.
        let totals = self.programs.totals().unwrap_or(self.totals);
        self.drain(telemetry);
        let swept = self.sweep(telemetry);
        let mut ports = Vec::new();
        self.programs.ports(|netns, port, figures| ports.push((netns, port, *figures)));
        for (netns, port, figures) in &ports {
            self.listeners.waited(*netns, *port, figures);
            if figures.listeners == 0 {
                self.listeners.gone(*netns, *port);
            }
        }
        self.window_began_ns = clock::kernel_ns();
        self.lost.update(&totals, self.table.decoded());
        let share = self.note(telemetry, &totals, swept);
        kernel::groups(&self.table, &mut self.families);
        kernel::totals(&totals, &self.lost, &mut self.families);
        self.listeners.write(&mut self.families);
        self.block.read(self.families.finish());
        share
    }

    fn sweep(&mut self, telemetry: &Telemetry) -> bool {
        let Self { programs, table, listeners, buffer, .. } = self;
        let started = clock::monotonic();
        listeners.begin_sweep();
        let result = programs.sweep(buffer, |bytes| {
            decode::reports(bytes, |record| match record {
                Some(Record::Listen(listen)) => listeners.found(&listen),
                Some(record) => take(table, &record),
                None => drop(telemetry.decode_errors.inc()),
            });
        });
        listeners.end_sweep();
        telemetry.sweep.observe(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if let Err(error) = &result {
            log::warn!("the sweep over open sockets ended early: {error}");
        }
        result.is_ok()
    }

    /// Tells how this window went.
    fn note(&mut self, telemetry: &Telemetry, totals: &Totals, swept: bool) -> f64 {
        for kind in RecordKind::ALL {
            telemetry.events.with([kind.as_str()]).inner().store(totals.offered[kind as usize], Relaxed);
        }
        let lost = [
            ("ring", totals.ring_full.iter().sum()),
            ("storage", totals.storage_failed),
            ("nested", self.programs.missed()),
        ];
        for (cause, n) in lost {
            telemetry.events_lost.with([cause]).inner().store(n, Relaxed);
        }
        let sockets = totals.swept.saturating_sub(self.totals.swept);
        telemetry.sweep_sockets.set(i64::try_from(sockets).unwrap_or(i64::MAX));
        set_count(&telemetry.tcp_groups, self.table.len());
        telemetry.tcp_sockets_displaced.inner().store(totals.displaced, Relaxed);
        telemetry.tcp_groups_folded.inner().store(self.table.folded(), Relaxed);
        let sum = |of: &Totals| (of.offered.iter().sum::<u64>(), of.ring_full.iter().sum::<u64>());
        let ((offered, full), (offered_before, full_before)) = (sum(totals), sum(&self.totals));
        self.totals = *totals;
        let (offered, full) = (offered.saturating_sub(offered_before), full.saturating_sub(full_before));
        let records = if offered == 0 { 1.0 } else { 1.0 - full as f64 / offered as f64 };
        if swept { records } else { 0.0 }
    }
}

fn take(table: &mut Table, record: &Record) {
    match record {
        Record::Connect(r) => table.connect(r),
        Record::Accept(r) => table.accept(r),
        Record::Close(r) => table.close(r),
        Record::Activity(r) => table.activity(r),
        Record::Spill(r) => table.spill(r),
        // Only a sweep reports listening sockets, and hands them elsewhere.
        Record::Listen(_) => {}
    }
}
