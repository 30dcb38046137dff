//! The groups of all rules, and how they are written.

use std::{collections::HashSet, sync::Arc};

use super::{
    OutputSeries, Sink,
    group::{Cumulative, Detail, Hot},
    plan::{Figure, Plan},
};

/// Storage of groups; a group is a position. The slot of a group that goes is used by the next one of the same rule.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub hot: Vec<Hot>,
    pub detail: Vec<Option<Box<Detail>>>,
    pub cold: Vec<Cold>,
    next_id: u32,
    /// Names and label blocks of groups whose rules may write series of the same names.
    claimed: HashSet<(Arc<str>, Arc<str>)>,
}

/// What a sample does not touch.
#[derive(Debug)]
pub(super) struct Cold {
    /// Position of the family in its rule.
    pub family: u32,
    /// The group's own label block, then those of its series with an extra label.
    pub blocks: Box<[Arc<str>]>,
    pub members: u32,
    /// Whether it takes in what finds no place or is not selected.
    pub is_other: bool,
    /// Whether it is among the heaviest.
    pub selected: bool,
    /// What it weighs, smoothed; not a number before the first interval with samples.
    pub score: f64,
    /// Whether it has added up nothing: it is new, or all was forgotten.
    pub idle: bool,
    cumulative: Cumulative,
    first_id: u32,
    /// Whether the last interval wrote the series, one a series.
    live: Box<[bool]>,
}

impl Groups {
    /// Makes a group, in an unused slot of the same rule if there is one. Nothing when no ids are left.
    pub(super) fn insert(
        &mut self,
        unused: &mut Vec<u32>,
        plan: &Plan,
        hot: Hot,
        family: u32,
        blocks: Box<[Arc<str>]>,
    ) -> Option<u32> {
        if let Some(group) = unused.pop() {
            let at = group as usize;
            self.hot[at] = hot;
            let cold = &mut self.cold[at];
            cold.cumulative.clear();
            (cold.family, cold.blocks, cold.members) = (family, blocks, 0);
            (cold.is_other, cold.selected, cold.score, cold.idle) = (false, false, f64::NAN, true);
            return Some(group);
        }
        let group = u32::try_from(self.hot.len()).ok()?;
        let first_id = self.next_id;
        self.next_id = first_id.checked_add(plan.series.len() as u32)?;
        self.detail.push(hot.has_detail().then(|| Box::new(Detail::new(plan))));
        self.hot.push(hot);
        self.cold.push(Cold {
            family,
            blocks,
            members: 0,
            is_other: false,
            selected: false,
            score: f64::NAN,
            idle: true,
            cumulative: Cumulative::new(plan),
            first_id,
            live: vec![false; plan.series.len()].into_boxed_slice(),
        });
        Some(group)
    }

    /// Reserves the series of these names and labels for one rule. False if another has one of them.
    pub(super) fn claim(&mut self, names: &[Arc<str>], labels: &Arc<str>) -> bool {
        let series = || names.iter().map(|name| (Arc::clone(name), Arc::clone(labels)));
        let free = series().all(|series| !self.claimed.contains(&series));
        if free {
            self.claimed.extend(series());
        }
        free
    }

    /// Takes back what [`Self::claim`] did.
    pub(super) fn release(&mut self, names: &[Arc<str>], labels: &Arc<str>) {
        for name in names {
            self.claimed.remove(&(Arc::clone(name), Arc::clone(labels)));
        }
    }

    /// The ids given so far are below.
    pub(super) fn ids(&self) -> u32 {
        self.next_id
    }

    /// Adds the interval of one group to that of another, and clears it.
    pub(super) fn fold(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        if let Ok([from_detail, to_detail]) = self.detail.get_disjoint_mut([from, to])
            && let (Some(from_detail), Some(to_detail)) = (from_detail, to_detail)
        {
            to_detail.merge(self.hot[to].count, from_detail, self.hot[from].count);
            from_detail.clear();
        }
        let hot = self.hot[from];
        self.hot[to].merge(&hot);
        self.hot[from].clear();
        self.cold[from].idle = false;
    }

    /// Ends the interval of a group: what lasts is added up, and its series are written unless there is no sink.
    pub(super) fn commit<S: Sink>(
        &mut self,
        group: u32,
        plan: &Plan,
        names: &[Arc<str>],
        span: u64,
        out: Option<&mut S>,
    ) {
        let at = group as usize;
        let (hot, cold) = (&mut self.hot[at], &mut self.cold[at]);
        let mut detail = self.detail[at].as_deref_mut();
        cold.idle = false;
        cold.cumulative.add(hot, detail.as_deref());
        if let Some(out) = out {
            if let Some(sketch) = detail.as_deref_mut().and_then(|detail| detail.sketch.as_mut()) {
                sketch.sort();
            }
            cold.write(plan, names, hot, detail.as_deref(), span, out);
        }
        hot.clear();
        if let Some(detail) = detail {
            detail.clear();
        }
    }

    /// Ends the interval of a group that is not written any more.
    pub(super) fn silence(&mut self, group: u32, out: &mut impl Sink) {
        self.cold[group as usize].silence(out);
    }

    /// Forgets all that a group added up to.
    pub(super) fn forget(&mut self, group: u32, out: &mut impl Sink) {
        let cold = &mut self.cold[group as usize];
        cold.cumulative.clear();
        (cold.selected, cold.score, cold.idle) = (false, f64::NAN, true);
        cold.silence(out);
    }
}

impl Cold {
    fn write(
        &mut self,
        plan: &Plan,
        names: &[Arc<str>],
        hot: &Hot,
        detail: Option<&Detail>,
        span: u64,
        out: &mut impl Sink,
    ) {
        let mut extra = 0;
        for (at, series) in plan.series.iter().enumerate() {
            extra += usize::from(series.extra.is_some());
            let id = self.first_id + at as u32;
            let value = self.cumulative.figure(series.figure, hot, detail, span);
            if let Some(value) = value {
                let labels = &self.blocks[if series.extra.is_some() { extra } else { 0 }];
                let family = &names[series.family];
                let (suffix, kind) = (series.suffix, series.kind);
                out.value(OutputSeries { id, family, suffix, labels, kind }, value);
            } else if self.live[at] {
                out.gone(id);
            }
            self.live[at] = value.is_some();
        }
    }

    fn silence(&mut self, out: &mut impl Sink) {
        for (id, live) in (self.first_id..).zip(&mut self.live) {
            if std::mem::take(live) {
                out.gone(id);
            }
        }
    }
}

impl Cumulative {
    /// What a series shows, or nothing where there is nothing to tell.
    fn figure(&self, figure: Figure, hot: &Hot, detail: Option<&Detail>, span: u64) -> Option<f64> {
        let counter = |value: f64| hot.is_counter().then_some(value);
        let sampled = |value: f64| (hot.count > 0).then_some(value);
        match figure {
            Figure::Total => counter(self.total),
            Figure::Increase => counter(hot.increase),
            Figure::Rate => counter(hot.increase / span as f64),
            Figure::Sum => sampled(hot.sum),
            Figure::Min => sampled(hot.min),
            Figure::Max => sampled(hot.max),
            Figure::Avg => sampled(hot.sum / hot.count as f64),
            Figure::Count => sampled(hot.count as f64),
            Figure::Last => sampled(hot.last),
            Figure::StdDev => sampled(detail?.deviation(hot.count)?),
            Figure::Quantile(q) => detail?.sketch.as_ref()?.quantile(q, hot.min, hot.max),
            Figure::Bucket(at) => Some(self.buckets[..=at].iter().sum::<u64>() as f64),
            Figure::BucketSum => Some(self.sum),
            Figure::BucketCount => Some(self.count as f64),
        }
    }
}
