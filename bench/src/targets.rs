//! A machine full of exporters in one process: every address of 127/8 from 127.64.0.0 on is a target on one port.

mod body;
mod families;
mod lateness;

use std::{io::Write as _, net::Ipv4Addr, process, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    http::{self, Request, Service},
    sys,
};
pub(crate) use body::Body;
pub(crate) use body::Change;
use lateness::Grid;
pub(crate) use lateness::{Latencies, Percentiles};

/// Different bodies. Targets share them, so that rendering them costs nothing beside sending them, and they stay in the
/// cache; each is another as far as a scraper can know.
const BODIES: usize = 16;
const FIRST: u32 = 0x7f40_0000;
const SECOND: Duration = Duration::from_secs(1);

/// What the targets have, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TargetsArgs {
    /// How many targets, at 127.64.0.0, 127.64.0.1 and so on.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(crate) targets: u32,
    /// How many series each has.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) series: u32,
    /// What moves from one second to the next.
    #[arg(long, value_enum, default_value_t = Change::Real)]
    pub(crate) change: Change,
    /// With `--change churn`: how many of a hundred series are replaced a minute.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) churn_percent: f64,
    /// Answer in OpenMetrics to those who prefer it.
    #[arg(long)]
    pub(crate) openmetrics: bool,
}

impl TargetsArgs {
    /// The same on a command line.
    pub(crate) fn as_arguments(&self) -> Vec<String> {
        let Self { targets, series, change, churn_percent, openmetrics } = self;
        let mut arguments = vec![
            format!("--targets={targets}"),
            format!("--series={series}"),
            format!("--change={}", change.as_str()),
            format!("--churn-percent={churn_percent}"),
        ];
        arguments.extend(openmetrics.then(|| "--openmetrics".to_owned()));
        arguments
    }
}

/// The address of a target.
pub(crate) fn address(nth: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST + nth)
}

/// What was served since the start or the last `/-/reset`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) targets: u64,
    pub(crate) series: u64,
    pub(crate) seconds: f64,
    pub(crate) scrapes: u64,
    pub(crate) samples: u64,
    pub(crate) body_bytes: u64,
    pub(crate) bytes_a_sample: f64,
    /// Values that differ from the second before, of all.
    pub(crate) changed_share: f64,
    /// Series there have ever been.
    pub(crate) distinct_series: u64,
    /// Targets that were scraped.
    pub(crate) reached: u64,
    /// Scrapes that ended before the whole body had left.
    pub(crate) cut: u64,
    /// Whole seconds of a target in which no scrape came.
    pub(crate) missed: u64,
    /// Scrapes that came in a second that had one.
    pub(crate) extra: u64,
    /// Milliseconds behind each target's grid of whole seconds.
    pub(crate) late_ms: Percentiles,
    /// CPU of this process, since its start.
    pub(crate) cpu_seconds: f64,
}

/// Serves until standard input ends or the time is up; then says what it served.
pub(crate) fn run(args: &TargetsArgs, port: u16, seconds: u64) -> Result<()> {
    let mut targets = Targets::new(args);
    let sample = targets.served(Duration::ZERO);
    eprintln!(
        "{} targets x {} series, {:.1} bytes a sample, first http://{}:PORT/metrics; /-/report and /-/reset on any",
        args.targets,
        args.series,
        sample.bytes_a_sample,
        address(0)
    );
    http::serve(port, Duration::from_secs(seconds), &mut targets)?;
    let now = targets.now;
    println!("{}", serde_json::to_string(&targets.served(now))?);
    Ok(())
}

struct Target {
    grid: Grid,
    /// The value of `bench_scrapes_total`: a sink knows by it what is missing or came twice.
    scrapes: u64,
}

struct Targets {
    series: u32,
    targets: Vec<Target>,
    bodies: Vec<Body>,
    /// The next body to be rendered, and when.
    next: (usize, Duration),
    /// Of the latest event.
    now: Duration,
    since: Duration,
    rendered: u64,
    late: Latencies,
    served: Served,
}

impl Targets {
    fn new(args: &TargetsArgs) -> Self {
        let bodies = (0..BODIES.min(args.targets as usize)).map(|nth| {
            let series = args.series as usize - 1;
            Body::new(series, args.change, args.churn_percent / 100.0, args.openmetrics, nth as u64 + 1)
        });
        Self {
            series: args.series,
            targets: (0..args.targets).map(|_| Target { grid: Grid::default(), scrapes: 0 }).collect(),
            bodies: bodies.collect(),
            next: (0, Duration::ZERO),
            now: Duration::ZERO,
            since: Duration::ZERO,
            rendered: 0,
            late: Latencies::default(),
            served: Served::default(),
        }
    }

    fn reset(&mut self, at: Duration) {
        self.targets.iter_mut().for_each(|target| target.grid = Grid::default());
        (self.late, self.served, self.since) = (Latencies::default(), Served::default(), at);
    }

    fn served(&self, at: Duration) -> Served {
        let Self { series, targets, bodies, since, rendered, late, served, next: _, now: _ } = self;
        let mut buffer = Vec::new();
        own_series(1, false, &mut buffer);
        let bytes: usize = bodies.iter().map(|body| body.text().len() + buffer.len()).sum();
        let until = |target: &Target| target.grid.missed_until(micros(at), micros(*since));
        let reached = targets.iter().filter(|target| target.grid.is_reached()).count();
        let changed: u64 = bodies.iter().map(Body::changed).sum();
        let replaced: u64 = (0..targets.len()).map(|nth| bodies[nth % bodies.len()].replaced()).sum();
        let all = targets.len() as u64 * u64::from(*series);
        Served {
            targets: targets.len() as u64,
            series: u64::from(*series),
            seconds: (at - *since).as_secs_f64(),
            samples: (served.scrapes - served.cut) * u64::from(*series),
            bytes_a_sample: bytes as f64 / bodies.len() as f64 / f64::from(*series),
            changed_share: changed as f64 / (*rendered).max(1) as f64 / f64::from(*series),
            distinct_series: all + replaced,
            reached: reached as u64,
            missed: served.missed + targets.iter().map(until).sum::<u64>(),
            late_ms: late.percentiles(),
            cpu_seconds: sys::cpu_seconds(process::id()).unwrap_or_default(),
            ..served.clone()
        }
    }

    fn scrape(&mut self, nth: usize, openmetrics: bool, at: Duration, out: &mut Vec<u8>) -> Rc<Vec<u8>> {
        let target = &mut self.targets[nth];
        target.scrapes += 1;
        let arrival = target.grid.arrive(micros(at));
        self.late.add(arrival.late_us);
        self.served.missed += arrival.missed;
        self.served.extra += u64::from(arrival.extra);
        self.served.scrapes += 1;
        let body = &self.bodies[nth % self.bodies.len()];
        let (body, kind) = match body.openmetrics().filter(|_| openmetrics) {
            Some(body) => (body, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            None => (body.text(), "text/plain; version=0.0.4; charset=utf-8"),
        };
        let own = out.len();
        own_series(target.scrapes, openmetrics, out);
        let length = out.len() - own + body.len();
        self.served.body_bytes += length as u64;
        // The length is known last and stands first.
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        out.splice(own..own, head.bytes());
        Rc::clone(body)
    }
}

/// The series that each target has for itself.
fn own_series(value: u64, openmetrics: bool, out: &mut Vec<u8>) {
    let name = if openmetrics { "bench_scrapes" } else { "bench_scrapes_total" };
    let written = write!(
        out,
        "# HELP {name} Scrapes of this target.\n# TYPE {name} counter\nbench_scrapes_total {value}\n"
    );
    written.unwrap_or_else(|_| unreachable!("a vector takes everything"));
}

impl Service for Targets {
    fn answer(&mut self, request: &Request<'_>, at: Duration, out: &mut Vec<u8>) -> Option<Rc<Vec<u8>>> {
        self.now = at;
        match request.path {
            "/-/reset" => self.reset(at),
            "/-/report" => return Some(http::json(&self.served(at), out)),
            _ => {
                let nth = request.to.to_bits().wrapping_sub(FIRST) as usize;
                if nth < self.targets.len() {
                    let accept = request.header("accept").unwrap_or_default();
                    let openmetrics = self.bodies[0].openmetrics().is_some()
                        && accept.trim_start().starts_with("application/openmetrics-text");
                    return Some(self.scrape(nth, openmetrics, at, out));
                }
                out.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                return None;
            }
        }
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        None
    }

    fn cut(&mut self) {
        self.served.cut += 1;
    }

    /// The bodies take turns, so that no scrape waits for all of them.
    fn tick(&mut self, at: Duration) -> Duration {
        self.now = at;
        while at >= self.next.1 {
            let (nth, due) = self.next;
            self.bodies[nth].step();
            self.rendered += 1;
            self.next = ((nth + 1) % self.bodies.len(), due + SECOND / self.bodies.len() as u32);
        }
        self.next.1
    }
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}
