//! `observer trace`: live connections, and where their time went.

mod filter;
mod output;
mod row;
mod summary;
mod table;
mod verdict;

use std::{
    collections::HashMap,
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use observer_abi::record::Family;

use crate::{
    bpf::{self, Level, LoadError, Programs, Ring},
    clock,
    decode::{self, Record},
    say,
};
pub(crate) use filter::duration;
use filter::{FilterArgs, FilterError};
use output::{Format, Output};
use row::{Life, Row};
use summary::Summary;

/// How often the ring is looked at; it wakes the trace by itself when it fills up faster.
const TICK: Duration = Duration::from_millis(50);
/// How often open connections report what they did.
const SWEEP: Duration = Duration::from_secs(1);
/// Connections whose exchanges are remembered until they close.
const LIVES: usize = 65_536;

/// The command line of `observer trace`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Stop after this long, such as 30s.
    #[arg(long, value_name = "DURATION", value_parser = filter::duration)]
    duration: Option<Duration>,
    /// Stop after this many rows.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How to write the rows; all but table are a contract for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Size of the ring buffer in bytes; records that do not fit are counted as lost.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    ring_size: u32,
    /// How much of each connection to watch: with `outcomes`, nothing runs per request and no exchange is timed.
    #[arg(long, value_enum, default_value_t)]
    tcp_level: Level,
    /// Show what the kernel programs themselves log.
    #[arg(long)]
    pub(crate) kernel_log: bool,
}

/// Why a trace ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot sweep the sockets")]
    Sweep(#[source] io::Error),
    #[error("cannot write the trace")]
    Write(#[source] io::Error),
}

impl TraceError {
    /// The documented exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Filter(_) => 2,
            Self::Load(_) => 3,
            Self::Sweep(_) | Self::Write(_) => 1,
        })
    }
}

/// Traces until it is told to stop, or has shown enough. Blocks.
pub(crate) fn run(args: &TraceArgs, stop: &AtomicBool) -> Result<(), TraceError> {
    let options = bpf::Options {
        ring_bytes: args.ring_size,
        places: bpf::PLACES,
        level: args.tcp_level,
        filter: args.filter.build()?,
        kernel_log: args.kernel_log,
    };
    let (programs, ring) = Programs::load(&options)?;
    for feature in programs.features() {
        if let Some(reason) = &feature.missing {
            say(format_args!("`{}` is not available: {reason}", feature.name));
        }
    }
    let out = io::stdout();
    let colour = out.is_terminal();
    let output = Output::new(args.output, BufWriter::new(out.lock()), colour).map_err(TraceError::Write)?;
    say(format_args!("ready"));
    let trace = Trace {
        programs,
        ring,
        output,
        summary: Summary::default(),
        lives: HashMap::new(),
        count: args.count.unwrap_or(u64::MAX),
        buffer: vec![0; 64 << 10],
    };
    match trace.run(args.duration, stop) {
        // Whoever read the trace has seen enough.
        Err(TraceError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

struct Trace<W: Write> {
    programs: Programs,
    ring: Ring,
    output: Output<W>,
    summary: Summary,
    /// By socket cookie.
    lives: HashMap<u64, Life>,
    count: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Trace<W> {
    fn run(mut self, duration: Option<Duration>, stop: &AtomicBool) -> Result<(), TraceError> {
        let started = clock::monotonic();
        let log = self.programs.take_log();
        let mut log = log;
        let mut sweep_at = started + SWEEP;
        while !stop.load(Ordering::Relaxed) && self.summary.rows < self.count {
            let now = clock::monotonic();
            if duration.is_some_and(|d| now.duration_since(started) >= d) {
                break;
            }
            let until = duration.map_or(sweep_at, |d| sweep_at.min(started + d));
            self.ring.wait(until.saturating_duration_since(now).min(TICK));
            self.drain().map_err(TraceError::Write)?;
            if clock::monotonic() >= sweep_at {
                self.sweep()?;
                sweep_at += SWEEP;
            }
            if let Some(log) = &mut log {
                log.flush();
            }
            self.output.flush().map_err(TraceError::Write)?;
        }
        // What open connections did until now belongs to the summary too.
        self.programs.detach();
        self.drain().map_err(TraceError::Write)?;
        self.sweep()?;
        self.summary.seconds = clock::monotonic().duration_since(started).as_secs_f64();
        if let Ok(totals) = self.programs.totals() {
            self.summary.lost += totals.ring_full.iter().sum::<u64>();
        }
        self.output.finish(&self.summary, &mut io::stderr()).map_err(TraceError::Write)
    }

    fn drain(&mut self) -> io::Result<()> {
        let Self { ring, output, summary, lives, count, .. } = self;
        let wall = clock::wall_minus_monotonic_ns();
        let mut result = Ok(());
        ring.drain(usize::MAX, |bytes| match decode::record(bytes) {
            Some(record) => {
                let row = take(&record, summary, lives, wall);
                if let Some(row) = row.filter(|_| summary.rows < *count && result.is_ok()) {
                    summary.rows += 1;
                    result = output.row(&row);
                }
            }
            None => summary.lost += 1,
        });
        result
    }

    fn sweep(&mut self) -> Result<(), TraceError> {
        let Self { programs, summary, lives, buffer, .. } = self;
        programs
            .sweep(buffer, |bytes| {
                decode::reports(bytes, |record| match record {
                    Some(record) => drop(take(&record, summary, lives, 0)),
                    None => summary.lost += 1,
                });
            })
            .map_err(TraceError::Sweep)
    }
}

/// Takes a record in, and makes its row if it has one.
fn take(record: &Record, summary: &mut Summary, lives: &mut HashMap<u64, Life>, wall: i64) -> Option<Row> {
    match record {
        Record::Connect(r) => {
            summary.connect(r);
            Row::connect(r, wall)
        }
        Record::Accept(r) => {
            summary.accept(r);
            Row::accept(r, wall)
        }
        Record::Close(r) => {
            summary.close(r);
            let life = lives.remove(&r.id.cookie);
            Row::close(r, wall, life.as_ref())
        }
        Record::Activity(r) => {
            summary.activity(r);
            let life = life(lives, r.id.cookie)?;
            life.turn.merge(&r.turn);
            life.wait.merge(&r.wait);
            None
        }
        Record::Spill(r) => {
            summary.spill(r);
            let life = life(lives, r.id.cookie)?;
            let into = if r.family == Family::Turn as u8 { &mut life.turn } else { &mut life.wait };
            into.add(r.bucket, r.count);
            None
        }
        Record::Listen(_) => None,
    }
}

/// The memory of a connection. Beyond the limit a connection's row has no quantiles; the summary has them all the same.
fn life(lives: &mut HashMap<u64, Life>, cookie: u64) -> Option<&mut Life> {
    if lives.len() >= LIVES && !lives.contains_key(&cookie) {
        return None;
    }
    Some(lives.entry(cookie).or_default())
}
