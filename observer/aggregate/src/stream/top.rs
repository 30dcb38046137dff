//! Which groups keep labels of their own when only the heaviest do.

use std::cmp::Ordering;

use super::{
    group::Hot,
    rule::{Top, Weight},
};

/// What an interval's weight changes of the score.
const FRESH: f64 = 0.25;
/// How much heavier a group must be than one that is selected to take its place.
const LEAD: f64 = 0.2;

/// A group that could be selected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub family: u32,
    /// Its score, and its lead if it is selected.
    pub score: f64,
    pub group: u32,
}

impl Weight {
    /// The score behind an interval. Without samples there is nothing to weigh, and it stays.
    pub(super) fn score(self, score: f64, hot: &Hot) -> f64 {
        if hot.count == 0 {
            return score;
        }
        let weight = match self {
            Self::Increase => hot.increase,
            Self::Sum => hot.sum,
            Self::Max => hot.max,
            Self::Count => hot.count as f64,
            Self::Last => hot.last,
        };
        if score.is_nan() { weight } else { score + (weight - score) * FRESH }
    }
}

impl Candidate {
    pub(super) fn new(family: u32, group: u32, score: f64, selected: bool) -> Self {
        let lead = if selected { score.abs() * LEAD } else { 0.0 };
        Self { family, score: score + lead, group }
    }

    /// By family, the heaviest first, among equals the elder one.
    fn order(&self, other: &Self) -> Ordering {
        let family = self.family.cmp(&other.family);
        family.then(other.score.total_cmp(&self.score)).then(self.group.cmp(&other.group))
    }
}

impl Top {
    /// Tells of each candidate whether it is selected.
    pub(super) fn select(self, candidates: &mut [Candidate], mut tell: impl FnMut(u32, bool)) {
        candidates.sort_unstable_by(Candidate::order);
        for family in candidates.chunk_by(|a, b| a.family == b.family) {
            for (rank, candidate) in family.iter().enumerate() {
                tell(candidate.group, rank < self.k);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups selected of (family, score, already selected), a group being the position.
    #[track_caller]
    fn check(k: usize, groups: &[(u32, f64, bool)], expected: &[u32]) {
        let candidate = |(at, &(family, score, selected)): (usize, &(u32, f64, bool))| {
            Candidate::new(family, at as u32, score, selected)
        };
        let mut candidates: Vec<_> = groups.iter().enumerate().map(candidate).collect();
        let mut found = Vec::new();
        Top { k, by: Weight::Sum }.select(&mut candidates, |group, selected| {
            if selected {
                found.push(group);
            }
        });
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_heaviest_of_each_family_are_selected() {
        check(2, &[(0, 1.0, false), (0, 3.0, false), (1, 0.1, false), (0, 2.0, false)], &[1, 2, 3]);
    }

    #[test]
    fn a_selected_group_stays_until_another_leads_by_a_fifth() {
        check(1, &[(0, 10.0, true), (0, 11.9, false)], &[0]);
        check(1, &[(0, 10.0, true), (0, 12.1, false)], &[1]);
        check(1, &[(0, -10.0, true), (0, -8.1, false)], &[0]);
        check(1, &[(0, -10.0, true), (0, -7.9, false)], &[1]);
    }

    #[test]
    fn among_equals_the_elder_one_is_selected() {
        check(1, &[(0, 5.0, false), (0, 5.0, false)], &[0]);
    }
}
