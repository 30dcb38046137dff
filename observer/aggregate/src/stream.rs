//! Stream aggregation: rules that make few series of many before they are exported.
//!
//! A series [joins](Engine::join) the groups of all rules that match it when it comes to be; its samples are
//! [observed](Engine::observe) by a handle without hashing or allocation; when a window [closes](Engine::close), the rules whose
//! interval ends with it write their groups. What each case means is written down in docs/stream-aggregation.md.

mod error;
mod group;
mod groups;
mod labels;
mod matcher;
mod members;
mod plan;
mod rule;
mod running;
mod sketch;
mod top;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::{Reason, RuleError};
pub use matcher::Conditions;
pub use members::Membership;
pub use rule::{Grouping, Matcher, Op, Output, Rule, Top, UnknownWord, Weight};

use self::{groups::Groups, members::Members, plan::Plan, running::Running};
use crate::family::{Kind, Suffix};

/// The most rules of an engine.
pub const MAX_RULES: usize = 255;
/// The most output series of one group.
pub const MAX_SERIES: usize = 256;
/// The most groups of a rule that keep labels of their own; as many may take in the rest of their metrics.
pub const MAX_GROUPS: usize = 1 << 20;
/// The longest interval and staleness in windows: 194 days.
pub const MAX_WINDOWS: u32 = 1 << 24;

/// The first tick. Far enough from zero that a series that was never seen is stale.
const FIRST_TICK: u32 = MAX_WINDOWS + 1;

/// All rules and their groups. One writer.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Running>,
    members: Members,
    groups: Groups,
    /// Counts windows; never falls.
    tick: u32,
    found: Vec<u32>,
    stats: Stats,
}

/// What becomes of a series that came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The handle to observe it by.
    pub membership: Membership,
    /// Whether it is also exported as it is: no rule takes it in, or one that does keeps its input.
    pub keep_input: bool,
}

/// A series that a rule writes. The shared parts stay the same as long as the series is there, and can be kept.
#[derive(Clone, Copy, Debug)]
pub struct OutputSeries<'a> {
    /// Dense, and the series' own until it is [gone](Sink::gone).
    pub id: u32,
    /// The family's name; the series' name is this and the suffix.
    pub family: &'a Arc<str>,
    /// What follows the family's name.
    pub suffix: Suffix,
    /// `a="b",c="d"`, sorted by name, values escaped as in the text formats. Empty for none.
    pub labels: &'a Arc<str>,
    /// The family's type: counter, gauge or histogram.
    pub kind: Kind,
}

/// Where outputs go.
pub trait Sink {
    /// The value of a series at the end of its interval.
    fn value(&mut self, series: OutputSeries<'_>, value: f64);

    /// The series has no value in this interval: it is stale. Its id may come again, for the same series or another.
    fn gone(&mut self, id: u32);
}

/// What an engine left out, and what it noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples left out because they were NaN or infinite.
    pub not_finite: u64,
    /// Stale markers.
    pub stale: u64,
    /// Counters that fell, and so began again.
    pub resets: u64,
}

/// How full a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleStats<'a> {
    /// The rule's name.
    pub name: &'a str,
    /// Groups with labels of their own.
    pub groups: usize,
    /// The most there can be.
    pub max_groups: usize,
    /// Series that went to `(other)` when they came, because there were no more groups.
    pub folded: u64,
    /// Series that were not taken in, because there was no room for another `(other)` either, or another rule writes series of
    /// the same name and labels.
    pub refused: u64,
}

impl Engine {
    /// Makes the rules ready.
    ///
    /// # Errors
    ///
    /// The first rule that cannot be used, and why.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RuleError> {
        let mut running: Vec<Running> = Vec::with_capacity(rules.len());
        for rule in rules {
            let name = rule.name.clone();
            let plan = if running.len() < MAX_RULES { Plan::new(rule) } else { Err(Reason::TooManyRules) };
            let mut new = Running::new(plan.map_err(|reason| RuleError { rule: name, reason })?);
            for rival in running.iter_mut().filter(|other| other.plan.is_rival(&new.plan)) {
                (rival.rival, new.rival) = (true, true);
            }
            running.push(new);
        }
        Ok(Self {
            rules: running,
            members: Members::default(),
            groups: Groups::default(),
            tick: FIRST_TICK,
            found: Vec::new(),
            stats: Stats::default(),
        })
    }

    /// A series came to be. Its labels are without its name, each there once, in any order.
    pub fn join(&mut self, name: &str, labels: &[(&str, &str)], kind: Kind) -> Joined {
        let counter = is_counter(name, labels, kind);
        let mut kept = false;
        self.found.clear();
        for rule in self.rules.iter_mut().filter(|rule| rule.plan.conditions.hold(name, labels)) {
            if let Some(group) = rule.join(&mut self.groups, name, labels, counter) {
                self.found.push(group);
                kept |= rule.plan.keep_input;
            }
        }
        let membership = self.members.insert(&self.found, counter);
        Joined { membership, keep_input: kept || self.found.is_empty() }
    }

    /// A series is gone. Its handle is another's from now on; what it added to its groups stays in them.
    pub fn leave(&mut self, membership: Membership) {
        let cold = &mut self.groups.cold;
        self.members.remove(membership, |group| cold[group as usize].members -= 1);
    }

    /// A sample of a series in the open window. Samples of one series come in the order of their times.
    #[inline]
    pub fn observe(&mut self, membership: Membership, value: f64, stale: bool) {
        if !membership.is_some() {
            return;
        }
        if stale || !value.is_finite() {
            return self.leave_out(stale);
        }
        let Some((step, groups)) = self.members.step(membership, value, self.tick) else { return };
        if step.fell && step.counter {
            self.stats.resets += 1;
        }
        for &group in groups {
            let hot = &mut self.groups.hot[group as usize];
            if step.counter {
                hot.rise(step.rise, value, step.gap);
            }
            if hot.add(value, self.tick)
                && let Some(detail) = &mut self.groups.detail[group as usize]
            {
                detail.add(value, hot.count);
            }
        }
    }

    #[cold]
    fn leave_out(&mut self, stale: bool) {
        if stale {
            self.stats.stale += 1;
        } else {
            self.stats.not_finite += 1;
        }
    }

    /// A window closes. `window` counts windows since any fixed time, so that intervals begin at its multiples. Does not
    /// allocate.
    pub fn close(&mut self, window: u64, out: &mut impl Sink) {
        for rule in &mut self.rules {
            rule.close(&mut self.groups, window, self.tick, out);
        }
        self.skip(1);
    }

    /// Windows have passed in which nothing could be observed, as when the machine slept: samples age by so many more.
    pub fn skip(&mut self, windows: u64) {
        self.tick = self.tick.saturating_add(windows.min(u64::from(FIRST_TICK)) as u32);
        let elapsed = u64::from(self.tick - FIRST_TICK);
        for rule in &mut self.rules {
            rule.count_first(&mut self.groups, elapsed);
        }
    }

    /// All ids of output series are below this: what has them for positions needs so much room.
    #[must_use]
    pub fn ids(&self) -> u32 {
        self.groups.ids()
    }

    /// What was left out and noticed so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How full the rules are, in their order.
    pub fn rules(&self) -> impl Iterator<Item = RuleStats<'_>> {
        self.rules.iter().map(Running::stats)
    }
}

/// Whether a series only grows until its source restarts. Of a family of counters, `_created` is a time; of a summary, the
/// quantiles are gauges.
fn is_counter(name: &str, labels: &[(&str, &str)], kind: Kind) -> bool {
    match kind {
        Kind::Unknown => true,
        Kind::Counter | Kind::Histogram => !name.ends_with("_created"),
        Kind::Summary => !name.ends_with("_created") && labels.iter().all(|(label, _)| *label != "quantile"),
        Kind::Gauge | Kind::GaugeHistogram | Kind::Info | Kind::StateSet => false,
    }
}
