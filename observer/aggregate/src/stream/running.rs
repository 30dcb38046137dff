//! A rule at work: its families, its groups, its interval.

use std::{collections::HashMap, sync::Arc};

use super::{
    RuleStats, Sink, group::Hot, groups::Groups, labels::block, plan::Plan, rule::Top, top::Candidate,
};

/// A rule and what it has found so far.
#[derive(Debug)]
pub(super) struct Running {
    pub plan: Plan,
    pub refused: u64,
    pub folded: u64,
    /// Whether another rule may write series of the same names.
    pub rival: bool,
    families: Vec<Family>,
    unused_families: Vec<u32>,
    by_metric: HashMap<Arc<str>, u32>,
    by_labels: HashMap<(u32, Arc<str>), u32>,
    /// The groups there are.
    groups: Vec<u32>,
    unused_groups: Vec<u32>,
    /// Groups that take in the rest of their family.
    others: usize,
    candidates: Vec<Candidate>,
    /// Whether counters that begin now count from zero.
    count_first: bool,
    /// The first window of the open interval.
    opened: Option<u64>,
    /// Whether the open interval began at a multiple of its length.
    complete: bool,
}

/// The groups of one metric.
#[derive(Debug)]
struct Family {
    metric: Arc<str>,
    /// Of the output families.
    names: Box<[Arc<str>]>,
    /// Groups with labels of their own.
    own: usize,
    other: Option<u32>,
}

impl Running {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            refused: 0,
            folded: 0,
            rival: false,
            families: Vec::new(),
            unused_families: Vec::new(),
            by_metric: HashMap::new(),
            by_labels: HashMap::new(),
            groups: Vec::new(),
            unused_groups: Vec::new(),
            others: 0,
            candidates: Vec::new(),
            count_first: false,
            opened: None,
            complete: false,
        }
    }

    pub(super) fn stats(&self) -> RuleStats<'_> {
        RuleStats {
            name: &self.plan.name,
            groups: self.groups.len() - self.others,
            max_groups: self.plan.max_groups,
            folded: self.folded,
            refused: self.refused,
        }
    }

    /// The group of a series, made if need be. Nothing when there is no room even for a group that takes in the rest.
    pub(super) fn join(
        &mut self,
        groups: &mut Groups,
        name: &str,
        labels: &[(&str, &str)],
        counter: bool,
    ) -> Option<u32> {
        let group = self.group(groups, name, labels);
        match group {
            Some(group) => {
                groups.cold[group as usize].members += 1;
                if counter {
                    groups.hot[group as usize].has_counter();
                }
            }
            None => self.refused += 1,
        }
        group
    }

    fn group(&mut self, groups: &mut Groups, name: &str, labels: &[(&str, &str)]) -> Option<u32> {
        let family = self.family(name);
        let labels = self.plan.group_labels(labels);
        let key = (family, block(&mut labels.clone()));
        let group = match self.by_labels.get(&key).copied() {
            Some(group) => Some(group),
            None if self.has_room() && self.may_fold(groups, family, &labels) => {
                self.own(groups, &key, &labels)
            }
            None => {
                let other = self.other(groups, family, &labels);
                self.folded += u64::from(other.is_some());
                other
            }
        };
        self.drop_family_if_empty(family);
        group
    }

    fn has_room(&self) -> bool {
        self.groups.len() - self.others < self.plan.max_groups
    }

    /// Whether a further group of a family can be unselected: there must be one that takes it in.
    fn may_fold(&mut self, groups: &mut Groups, family: u32, labels: &[(&str, &str)]) -> bool {
        match self.plan.top {
            Some(Top { k, .. }) if self.families[family as usize].own >= k => {
                self.other(groups, family, labels).is_some()
            }
            _ => true,
        }
    }

    fn own(&mut self, groups: &mut Groups, key: &(u32, Arc<str>), labels: &[(&str, &str)]) -> Option<u32> {
        // The group that takes in the others may have been made meanwhile, and be this one.
        if let Some(&group) = self.by_labels.get(key) {
            return Some(group);
        }
        let group = self.insert(groups, key.0, self.plan.blocks(labels))?;
        self.families[key.0 as usize].own += 1;
        Some(group)
    }

    fn other(&mut self, groups: &mut Groups, family: u32, labels: &[(&str, &str)]) -> Option<u32> {
        if let Some(other) = self.families[family as usize].other {
            return Some(other);
        }
        let blocks = self.plan.blocks(&self.plan.other_labels(labels));
        let group = match self.by_labels.get(&(family, Arc::clone(&blocks[0]))) {
            // What was folded before it came here is in a group of these labels already.
            Some(&group) => {
                self.families[family as usize].own -= 1;
                group
            }
            None if self.others < self.plan.max_groups => self.insert(groups, family, blocks)?,
            None => return None,
        };
        self.others += 1;
        groups.cold[group as usize].is_other = true;
        self.families[family as usize].other = Some(group);
        Some(group)
    }

    fn insert(&mut self, groups: &mut Groups, family: u32, blocks: Box<[Arc<str>]>) -> Option<u32> {
        let key = (family, Arc::clone(&blocks[0]));
        if self.rival && !groups.claim(&self.families[family as usize].names, &key.1) {
            return None;
        }
        let hot = Hot::new(&self.plan, self.count_first);
        let group = groups.insert(&mut self.unused_groups, &self.plan, hot, family, blocks)?;
        self.by_labels.insert(key, group);
        self.groups.push(group);
        if self.plan.top.is_some() {
            self.candidates.reserve(self.groups.len() - self.candidates.len());
        }
        Some(group)
    }

    fn family(&mut self, name: &str) -> u32 {
        let metric = self.plan.output_name.as_deref().unwrap_or(name);
        if let Some(&family) = self.by_metric.get(metric) {
            return family;
        }
        let names = self.plan.names(metric);
        let metric: Arc<str> = metric.into();
        let family = Family { metric: Arc::clone(&metric), names, own: 0, other: None };
        let at = match self.unused_families.pop() {
            Some(at) => {
                self.families[at as usize] = family;
                at
            }
            None => {
                self.families.push(family);
                self.families.len() as u32 - 1
            }
        };
        self.by_metric.insert(metric, at);
        at
    }

    fn drop_family_if_empty(&mut self, at: u32) {
        let family = &self.families[at as usize];
        // An unused slot keeps its name, which may be that of another family now.
        if family.own == 0 && family.other.is_none() && self.by_metric.get(&family.metric) == Some(&at) {
            self.by_metric.remove(&family.metric);
            self.unused_families.push(at);
        }
    }

    /// Notes that a window has passed, and ends the interval if that was its last.
    pub(super) fn close(&mut self, groups: &mut Groups, window: u64, tick: u32, out: &mut impl Sink) {
        let interval = u64::from(self.plan.interval);
        let opened = *self.opened.get_or_insert_with(|| {
            self.complete = window.is_multiple_of(interval);
            window
        });
        // A clock that was set back begins a new interval, and what came before is in it.
        let opened = opened.min(window);
        self.opened = Some(opened);
        let next = window.saturating_add(1);
        if next / interval == opened / interval {
            return;
        }
        self.end(groups, next - opened, tick, out);
        self.opened = Some(next);
        self.complete = true;
    }

    fn end(&mut self, groups: &mut Groups, span: u64, tick: u32, out: &mut impl Sink) {
        if let Some(top) = self.plan.top {
            self.select(groups, top, tick);
            for &group in &self.groups {
                let cold = &groups.cold[group as usize];
                let other = self.families[cold.family as usize].other;
                if let Some(other) = other.filter(|_| !cold.is_other && !cold.selected) {
                    groups.silence(group, out);
                    groups.fold(group, other);
                }
            }
        }
        let mut empty = false;
        for &group in &self.groups {
            let (hot, cold) = (&groups.hot[group as usize], &groups.cold[group as usize]);
            if hot.is_stale(tick) {
                empty |= cold.members == 0;
                groups.forget(group, out);
            } else if self.plan.top.is_none() || cold.is_other || cold.selected {
                let names = &self.families[cold.family as usize].names;
                groups.commit(group, &self.plan, names, span, self.complete.then_some(&mut *out));
            }
        }
        if empty {
            self.remove_empty(groups);
        }
    }

    fn select(&mut self, groups: &mut Groups, top: Top, tick: u32) {
        self.candidates.clear();
        for &group in &self.groups {
            let (hot, cold) = (&groups.hot[group as usize], &mut groups.cold[group as usize]);
            cold.score = top.by.score(cold.score, hot);
            if !cold.is_other && !hot.is_stale(tick) {
                self.candidates.push(Candidate::new(cold.family, group, cold.score, cold.selected));
            }
        }
        top.select(&mut self.candidates, |group, selected| groups.cold[group as usize].selected = selected);
    }

    /// Removes the groups that have neither members nor recent samples, nor can be needed to take in others.
    fn remove_empty(&mut self, groups: &mut Groups) {
        let Self { groups: all, families, by_labels, unused_groups, others, plan, rival, .. } = self;
        let k = plan.top.map_or(usize::MAX, |top| top.k);
        // Own groups go first, as others wait for them.
        for is_other in [false, true] {
            all.retain(|&group| {
                let cold = &groups.cold[group as usize];
                let at = cold.family;
                let family = &mut families[at as usize];
                let empty = cold.members == 0 && cold.idle;
                if !empty || cold.is_other != is_other || (is_other && family.own > k) {
                    return true;
                }
                if is_other {
                    family.other = None;
                    *others -= 1;
                } else {
                    family.own -= 1;
                }
                let labels = Arc::clone(&cold.blocks[0]);
                if *rival {
                    groups.release(&family.names, &labels);
                }
                by_labels.remove(&(at, labels));
                unused_groups.push(group);
                false
            });
        }
        for family in 0..self.families.len() as u32 {
            self.drop_family_if_empty(family);
        }
    }

    /// From now on counters that begin count from zero, if the rule says so.
    pub(super) fn count_first(&mut self, groups: &mut Groups, elapsed: u64) {
        if !self.count_first && !self.plan.ignore_first && elapsed >= u64::from(self.plan.staleness) {
            self.count_first = true;
            for &group in &self.groups {
                groups.hot[group as usize].count_first();
            }
        }
    }
}
