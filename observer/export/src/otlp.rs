//! Windows as OTLP requests: `ExportMetricsServiceRequest` of `opentelemetry/proto/collector/metrics/v1`.
//! <https://opentelemetry.io/docs/specs/otlp/>, <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>
//!
//! Which metric is which follows the compatibility specification
//! (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>): counters are monotonic sums, info and
//! state sets sums that are not, gauges and unknown ones gauges; buckets, sum and count are put together again. Gauge histograms
//! have no place there, and are counted.
//!
//! # Start times and resets
//!
//! A cumulative stream starts at its `_created`, or where the agent knows that it began; else its first point has its own time
//! as its start, which says that the start is not known. A value that is less than the one before begins anew: its start is then
//! the time of the point before, or a `_created` behind that.
//!
//! # Delta
//!
//! Sums that only grow and histograms tell what came since the point before, and start at its time. A first value is told only
//! if all of it was counted while the agent watched; else it is only remembered. After a reset all of the new value is told.
//! Gauges, summaries and other sums stay as they are. A value whose time is not behind the last one's waits for the next.

mod attributes;
mod body;
mod composite;
mod ends;
mod exemplars;
mod groups;
mod name;
mod native;
mod number;
mod plan;
mod read;
pub mod response;
mod split;
mod state;
mod unit;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use observer_aggregate::{
    native::Native,
    series::{NO_TIME, is_present},
    window::{Source, View, Window},
};

use crate::{Batch, Encode, pending::Pending};
use body::{Body, Counts, Limits, Path, Stamp};
use composite::Scratch as Buckets;
use ends::Ends;
use groups::Owner;
pub use name::Names;
use plan::{Data, Metric, Plan, Scratch};
pub use split::{Identity, each_series, part};
use state::{Origin, Slot};

/// How sums and histograms are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Since they began.
    #[default]
    Cumulative,
    /// Since the point before.
    Delta,
}

/// What a histogram is sent as that has both native and classic buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Histograms {
    /// The native one, as `ExponentialHistogram`.
    #[default]
    Exponential,
    /// The classic one, as `Histogram`, for receivers that do not know the other.
    Explicit,
}

/// What an encoder is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// How sums and histograms are counted.
    pub temporality: Temporality,
    /// Which histograms are sent.
    pub histograms: Histograms,
    /// What metrics are called.
    pub names: Names,
    /// Attributes of the agent's resource: `service.name`, `service.instance.id`, `host.name` and others.
    pub agent: Vec<(String, String)>,
    /// Attributes that every target's resource has, behind its own.
    pub targets: Vec<(String, String)>,
    /// The most points of a request.
    pub max_points: u32,
    /// The most bytes of a request, uncompressed. A single point may be longer.
    pub max_bytes: usize,
    /// The most buckets of one sign of an exponential histogram; with more its scale is made coarser.
    pub max_buckets: usize,
    /// Requests that may be under way side by side. A block's series all go one lane.
    pub lanes: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            temporality: Temporality::Cumulative,
            histograms: Histograms::Exponential,
            names: Names::Prometheus,
            agent: vec![("service.name".to_owned(), "observer".to_owned())],
            targets: Vec::new(),
            max_points: 8_192,
            // Receivers over gRPC take 4 MiB unless told otherwise.
            max_bytes: 3 << 20,
            max_buckets: 1_024,
            lanes: 1,
        }
    }
}

/// What an encoder has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Points written.
    pub points: u64,
    /// Samples that OTLP has no place for: gauge histograms, parts without a whole.
    pub unsupported: u64,
    /// Histograms whose buckets contradict each other, or that count in fractions.
    pub malformed: u64,
    /// Exemplars written.
    pub exemplars: u64,
    /// Exemplars that no point has: of gauges, of what is not told, and of deltas that have nothing to tell.
    pub exemplars_untold: u64,
    /// Points that have nothing to tell yet, with delta temporality: first values, and values of no later time.
    pub withheld: u64,
    /// Exponential histograms that were made coarser to keep to the limit of buckets.
    pub coarsened: u64,
}

/// Makes OTLP requests. Once all series are known, it allocates nothing.
#[derive(Debug)]
pub struct Encoder {
    options: Options,
    plans: HashMap<u64, Plan>,
    bodies: Vec<Body>,
    scratch: Scratch,
    buckets: Buckets,
    stats: Stats,
    /// When the first window began. 0 before it.
    watching_since_ns: u64,
    /// The first window was the agent's first, or nearly.
    from_the_start: bool,
    last_end_ms: i64,
    serial: u64,
    /// Windows before the present one were not seen.
    gap: bool,
    pending: Pending,
}

/// What is the same for all points of a view.
struct Pen<'a> {
    end_ns: u64,
    delta: bool,
    origin: Origin,
    max_buckets: usize,
    /// The highest serial of an exemplar that was told.
    told_exemplars: u64,
    view: View<'a>,
}

impl Encoder {
    /// An encoder that has seen nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let bodies = (0..options.lanes.max(1)).map(Body::new).collect();
        Self {
            options,
            plans: HashMap::new(),
            bodies,
            scratch: Scratch::default(),
            buckets: Buckets::default(),
            stats: Stats::default(),
            watching_since_ns: 0,
            from_the_start: false,
            last_end_ms: 0,
            serial: 0,
            gap: false,
            pending: Pending::default(),
        }
    }

    /// What has been done so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Bytes kept for series and requests.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.plans.values().map(Plan::memory_bytes).sum::<usize>()
            + self.bodies.iter().map(Body::memory_bytes).sum::<usize>()
    }

    fn view(&mut self, view: View<'_>, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        let Self { options, plans, bodies, scratch, buckets, stats, pending, .. } = self;
        let known = plans.contains_key(&view.block);
        let plan = plans.entry(view.block).or_default();
        plan.serial = window.serial;
        let fresh = pending.is_fresh(&view);
        if !fresh && !self.gap {
            return;
        }
        let lane = view.block as usize % bodies.len();
        let limits = Limits { points: options.max_points.max(1), bytes: options.max_bytes };
        let stamp = Stamp { end_ms: window.end_ms, serial: window.serial };
        if known && (!fresh || !plan.fits(view.layout)) {
            // A new layout has other series in the slots: what was told and is not in it has ended in a window before. The same
            // series may be here again in another slot, with a value of this window.
            let lives = (!plan.fits(view.layout)).then(|| plan.lives(view.layout));
            let over = |slot: u32, _: &Slot| match &lives {
                Some(lives) => !lives[slot as usize],
                None => !is_present(view.values[slot as usize]),
            };
            let delta = options.temporality == Temporality::Delta;
            let ends = Ends { time_ns: nanos(window.end_ms - 1), delta, over };
            plan.tell(&ends, Work::new(buckets, stats, &mut bodies[lane], (limits, stamp), out));
        }
        if !fresh {
            return;
        }
        let owner = match view.source {
            Source::Scrape => Owner::Targets(&options.targets),
            _ => Owner::Agent(&options.agent),
        };
        if !plan.fits(view.layout) {
            plan.make(view.layout, &owner, (options.histograms, options.names), scratch);
        }
        // What the agent counts itself begins at 0 when it begins.
        let own = matches!(view.source, Source::Kernel | Source::Agent);
        let born_ns = (own && (known || self.from_the_start))
            .then(|| if known { nanos(self.last_end_ms) } else { self.watching_since_ns });
        let pen = Pen {
            end_ns: nanos(window.end_ms),
            delta: options.temporality == Temporality::Delta,
            origin: Origin { created_ns: None, born_ns, watching_since_ns: self.watching_since_ns },
            max_buckets: options.max_buckets.max(1),
            told_exemplars: mem::replace(&mut plan.told_exemplars, view.exemplars.newest()),
            view,
        };
        stats.unsupported += u64::from(plan.unsupported);
        let (written, new) = (stats.exemplars, pen.new_exemplars());
        // Points change the slots while the rest of the plan is only read.
        let mut work = Work {
            slots: mem::take(&mut plan.slots),
            natives: mem::take(&mut plan.natives),
            ..Work::new(buckets, stats, &mut bodies[lane], (limits, stamp), out)
        };
        pen.write(plan, &mut work);
        (plan.slots, plan.natives) = (work.slots, work.natives);
        stats.exemplars_untold += new - (stats.exemplars - written);
    }

    /// Ends what has gone without having been ended.
    fn gone(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        let Self { options, plans, bodies, buckets, stats, .. } = self;
        let limits = Limits { points: options.max_points.max(1), bytes: options.max_bytes };
        let stamp = Stamp { end_ms: window.end_ms, serial: window.serial };
        let delta = options.temporality == Temporality::Delta;
        let ends = Ends { time_ns: nanos(window.end_ms - 1), delta, over: |_: u32, _: &Slot| true };
        for (block, plan) in plans.iter_mut().filter(|(_, plan)| plan.serial != window.serial) {
            let lane = *block as usize % bodies.len();
            let body = &mut bodies[lane];
            plan.tell(&ends, Work::new(buckets, stats, body, (limits, stamp), out));
        }
    }

    /// Times that were told lie ahead of a clock that was set back: as if they had been told a second ago.
    fn set_back(&mut self, end_ms: i64) {
        let latest_ns = nanos(end_ms - 1_000);
        for plan in self.plans.values_mut() {
            plan.slots.iter_mut().for_each(|slot| slot.set_back(latest_ns));
        }
        self.watching_since_ns = self.watching_since_ns.min(latest_ns);
        self.last_end_ms = end_ms - 1_000;
    }
}

impl Encode for Encoder {
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        if self.last_end_ms == 0 {
            self.watching_since_ns = nanos(window.end_ms - 1_000);
            self.from_the_start = window.serial <= 2;
        } else if window.end_ms <= self.last_end_ms {
            self.set_back(window.end_ms);
        }
        self.gap = self.serial != 0 && window.serial != self.serial.wrapping_add(1);
        self.serial = window.serial;
        for view in window.views() {
            self.view(view, window, out);
        }
        self.gone(window, out);
        self.plans.retain(|_, plan| plan.serial == window.serial);
        let stamp = Stamp { end_ms: window.end_ms, serial: window.serial };
        let mut left = self.bodies.iter().filter(|body| !body.is_empty()).count();
        for body in self.bodies.iter_mut().filter(|body| !body.is_empty()) {
            left -= 1;
            body.hand_out(stamp, left == 0, out);
        }
        self.last_end_ms = window.end_ms;
        self.pending.clear();
    }

    fn skip(&mut self, window: &Window) {
        self.pending.note(window);
    }

    /// Nothing waits: a window's last request goes out with the window.
    fn flush(&mut self, _: &mut dyn FnMut(Batch<'_>)) {}
}

/// What changes while a view is written.
struct Work<'a> {
    slots: Vec<Slot>,
    natives: BTreeMap<u32, Native>,
    buckets: &'a mut Buckets,
    stats: &'a mut Stats,
    body: &'a mut Body,
    limits: Limits,
    stamp: Stamp,
    out: &'a mut dyn FnMut(Batch<'_>),
}

impl Plan {
    /// Tells ends, if there are any.
    fn tell<F: Fn(u32, &Slot) -> bool>(&mut self, ends: &Ends<F>, work: Work<'_>) {
        if ends.any(&self.slots) {
            let mut work = Work { slots: mem::take(&mut self.slots), ..work };
            ends.write(self, &mut work);
            self.slots = work.slots;
        }
    }
}

impl<'a> Work<'a> {
    /// Without what belongs to a plan.
    fn new(
        buckets: &'a mut Buckets,
        stats: &'a mut Stats,
        body: &'a mut Body,
        (limits, stamp): (Limits, Stamp),
        out: &'a mut dyn FnMut(Batch<'_>),
    ) -> Self {
        Self { slots: Vec::new(), natives: BTreeMap::new(), buckets, stats, body, limits, stamp, out }
    }

    /// Room for a point; see [`Body::point`].
    #[inline]
    fn point(&mut self, path: &Path<'_>, len: usize, counts: Counts) -> &mut Vec<u8> {
        self.stats.points += 1;
        self.body.point(path, (len, counts), self.limits, self.stamp, self.out)
    }

    /// Has `points` write those of every metric of a plan, each behind the heads it needs.
    #[inline]
    fn each_metric(&mut self, plan: &Plan, mut points: impl FnMut(&Metric, Path<'_>, &mut Self)) {
        let mut group = None;
        for metric in &plan.metrics {
            if group.replace(metric.group).is_some_and(|group| group != metric.group) {
                self.body.end_group();
            }
            let (resource, scope) = plan.groups.encoded(metric.group);
            let path = Path { resource, scope, metric: &plan.heads[metric.head.clone()], data: 0, how: &[] };
            points(metric, path, self);
            self.body.end_metric();
        }
        self.body.end_group();
    }

    /// The point that has room now has so many exemplars.
    fn count_exemplars(&mut self, exemplars: u32) {
        self.stats.exemplars += u64::from(exemplars);
        self.body.count_exemplars(exemplars);
    }
}

impl Pen<'_> {
    fn write(&self, plan: &Plan, work: &mut Work<'_>) {
        work.each_metric(plan, |metric, path, work| match metric.data {
            Data::Gauge | Data::Sum { .. } => self.numbers(plan, metric, path, work),
            Data::Histogram => self.histograms(plan, metric, path, work),
            Data::Summary => self.summaries(plan, metric, path, work),
            Data::Native => self.natives(plan, metric, path, work),
        });
    }

    /// The time of a slot's sample.
    fn time_ns(&self, slot: u32) -> u64 {
        let own = self.view.times.get(slot as usize).filter(|time| **time != NO_TIME);
        own.map_or(self.end_ns, |ms| nanos(*ms))
    }

    /// What is known of a series' beginning, whose `_created` is in that slot.
    fn origin(&self, created: u32) -> Origin {
        let seconds = self.view.values.get(created as usize).copied();
        let created_ns = seconds.filter(|s| is_present(*s) && *s > 0.0).map(|s| (s * 1e9) as u64);
        Origin { created_ns, ..self.origin }
    }
}

/// Nanoseconds since the Unix epoch.
fn nanos(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000)
}
