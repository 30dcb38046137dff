//! What is known of each series that some rule takes in: structure of arrays, a handle is a position.

use std::slice;

/// The handle of a series in an engine: four bytes, to be kept beside the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership(u32);

/// Series, their groups and the last value of each.
#[derive(Debug, Default)]
pub(super) struct Members {
    previous: Vec<f64>,
    /// The tick of the previous value.
    seen: Vec<u32>,
    links: Vec<Link>,
    free: Vec<u32>,
    /// Groups of series that are in several.
    runs: Vec<u32>,
    /// Starts of unused runs by their length.
    free_runs: Vec<Vec<u32>>,
}

/// The groups of one series.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The group when there is one, else where the run of groups starts.
    start: u32,
    /// 0 when the position is unused.
    len: u8,
    counter: bool,
}

/// A sample, compared with the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// What a counter rose by; all of the value when it fell, as it then began again from 0.
    pub rise: f64,
    pub fell: bool,
    /// Ticks since the sample before.
    pub gap: u32,
    pub counter: bool,
}

impl Membership {
    /// No rule takes the series in.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether any rule takes the series in.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

impl Members {
    /// Takes in a series that is in these groups. There are at most 255, and handles for `u32::MAX - 1` series.
    pub(super) fn insert(&mut self, groups: &[u32], counter: bool) -> Membership {
        let len = u8::try_from(groups.len()).unwrap_or(u8::MAX);
        let start = match groups {
            [] => return Membership::NONE,
            [group] => *group,
            groups => self.run(groups),
        };
        let link = Link { start, len, counter };
        if let Some(at) = self.free.pop() {
            self.links[at as usize] = link;
            self.seen[at as usize] = 0;
            return Membership(at);
        }
        self.links.push(link);
        self.previous.push(0.0);
        self.seen.push(0);
        Membership(self.links.len() as u32 - 1)
    }

    /// Lets a series go, and tells its groups.
    pub(super) fn remove(&mut self, membership: Membership, mut left: impl FnMut(u32)) {
        let Some(link) = self.links.get_mut(membership.0 as usize).filter(|link| link.len > 0) else {
            return;
        };
        let Link { start, len, .. } = *link;
        link.len = 0;
        self.free.push(membership.0);
        if len == 1 {
            return left(start);
        }
        self.runs[start as usize..][..usize::from(len)].iter().for_each(|&group| left(group));
        self.free_runs[usize::from(len)].push(start);
    }

    /// Notes a sample. The groups it goes to.
    #[inline]
    pub(super) fn step(&mut self, membership: Membership, value: f64, tick: u32) -> Option<(Step, &[u32])> {
        let at = membership.0 as usize;
        let link = self.links.get(at)?;
        let (previous, seen) = (self.previous.get_mut(at)?, self.seen.get_mut(at)?);
        let fell = value < *previous;
        let rise = if fell { value } else { value - *previous };
        let step = Step { rise, fell, gap: tick - *seen, counter: link.counter };
        (*previous, *seen) = (value, tick);
        let groups = match link.len {
            1 => slice::from_ref(&link.start),
            len => self.runs.get(link.start as usize..)?.get(..usize::from(len))?,
        };
        Some((step, groups))
    }

    fn run(&mut self, groups: &[u32]) -> u32 {
        if self.free_runs.len() <= groups.len() {
            self.free_runs.resize(groups.len() + 1, Vec::new());
        }
        if let Some(start) = self.free_runs[groups.len()].pop() {
            self.runs[start as usize..][..groups.len()].copy_from_slice(groups);
            return start;
        }
        self.runs.extend_from_slice(groups);
        (self.runs.len() - groups.len()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_runs_are_used_again() {
        let mut members = Members::default();
        let first = members.insert(&[1, 2, 3], true);
        let second = members.insert(&[4], true);
        members.step(first, 5.0, 9).unwrap();
        let mut left = Vec::new();
        members.remove(first, |group| left.push(group));
        members.remove(first, |group| left.push(group));
        assert_eq!(left, [1, 2, 3]);
        let third = members.insert(&[7, 8, 9], true);
        assert_eq!(third, first);
        assert_eq!(members.runs.len(), 3);
        let (step, groups) = members.step(third, 5.0, 10).unwrap();
        assert_eq!((step.gap, groups), (10, &[7, 8, 9][..]), "nothing is left of the series before");
        assert_eq!(members.step(second, 1.0, 3).unwrap().1, [4]);
    }

    #[test]
    fn a_series_without_groups_has_no_handle() {
        let mut members = Members::default();
        assert_eq!(members.insert(&[], true), Membership::NONE);
        assert!(members.step(Membership::NONE, 1.0, 1).is_none());
    }

    #[test]
    fn a_fall_is_a_rise_from_zero() {
        let mut members = Members::default();
        let series = members.insert(&[0], true);
        members.step(series, 10.0, 1);
        let (step, _) = members.step(series, 12.0, 2).unwrap();
        assert_eq!((step.rise, step.fell, step.gap), (2.0, false, 1));
        let (step, _) = members.step(series, 3.0, 4).unwrap();
        assert_eq!((step.rise, step.fell, step.gap), (3.0, true, 2));
    }
}
