//! What is remembered of a series between windows: when it began, and what it was worth.

/// A series' memory. Of a histogram, the times stand with one of its series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// The series this is about; another in the same slot starts anew.
    pub(super) birth: u32,
    /// Resource and scope.
    pub(super) group: u32,
    /// Its attributes among the encoded ones.
    pub(super) at: u32,
    pub(super) len: u32,
    /// What is counted has been counted since then. 0 before the first sample.
    pub(super) start_ns: u64,
    /// The time of the last point. 0 before the first sample.
    pub(super) last_ns: u64,
    /// The last value.
    pub(super) value: f64,
    /// It was told, and its end was not.
    pub(super) live: bool,
    /// It is a native histogram whose bounds were given one by one.
    pub(super) custom: bool,
}

/// What is known about the beginning of a series that has not been seen before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// When its source says that it began.
    pub(super) created_ns: Option<u64>,
    /// The end of the window before, if the series is known to have begun at 0 behind it.
    pub(super) born_ns: Option<u64>,
    /// When the first window began. What was created behind it has been watched as a whole.
    pub(super) watching_since_ns: u64,
}

/// A cumulative value's place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is known of what was before: a point whose start is its time (OTLP data model, "unknown start time").
    First,
    /// All of it has been counted since `start_ns`.
    Whole {
        /// When counting began.
        start_ns: u64,
    },
    /// It goes on from the last value, which was told at `last_ns`.
    On {
        /// When counting began.
        start_ns: u64,
        /// The time of the last point.
        last_ns: u64,
    },
}

impl Slot {
    /// Where the value of `time_ns` stands. `fell`: it is less than it was, so its source has begun anew.
    pub(super) fn step(&self, time_ns: u64, fell: bool, origin: Origin) -> Step {
        let Origin { created_ns, born_ns, watching_since_ns } = origin;
        let created_ns = created_ns.filter(|created| *created <= time_ns);
        if self.last_ns == 0 {
            return match (created_ns, born_ns) {
                (Some(start_ns), _) if start_ns >= watching_since_ns => Step::Whole { start_ns },
                (Some(start_ns), None) => Step::On { start_ns, last_ns: 0 },
                (_, Some(start_ns)) => Step::Whole { start_ns: start_ns.min(time_ns) },
                (None, None) => Step::First,
            };
        }
        if fell {
            let start_ns = created_ns.filter(|created| *created > self.last_ns).unwrap_or(self.last_ns);
            return Step::Whole { start_ns: start_ns.min(time_ns) };
        }
        let start_ns = created_ns.unwrap_or(self.start_ns).min(time_ns);
        Step::On { start_ns, last_ns: self.last_ns }
    }

    /// Notes what has been told.
    pub(super) fn told(&mut self, start_ns: u64, time_ns: u64) {
        (self.start_ns, self.last_ns, self.live) = (start_ns, time_ns, true);
    }

    /// The clock was set back: times that were told lie ahead of it.
    pub(super) fn set_back(&mut self, latest_ns: u64) {
        self.start_ns = self.start_ns.min(latest_ns);
        self.last_ns = self.last_ns.min(latest_ns);
    }
}

impl Step {
    /// The start of a cumulative point.
    pub(super) const fn start_ns(self, time_ns: u64) -> u64 {
        match self {
            Self::First => time_ns,
            Self::Whole { start_ns } | Self::On { start_ns, .. } => start_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Origin = Origin { created_ns: None, born_ns: None, watching_since_ns: 100 };

    #[track_caller]
    fn check(slot: Slot, fell: bool, origin: Origin, expected: Step) {
        assert_eq!(slot.step(1_000, fell, origin), expected);
    }

    fn seen() -> Slot {
        Slot { start_ns: 50, last_ns: 900, ..Slot::default() }
    }

    #[test]
    fn a_first_value_starts_where_it_is_known_to_have_begun() {
        let new = Slot::default();
        check(new, false, NOTHING, Step::First);
        check(new, false, Origin { created_ns: Some(150), ..NOTHING }, Step::Whole { start_ns: 150 });
        // Created before anybody watched: how much of it is old, nobody knows.
        check(new, false, Origin { created_ns: Some(50), ..NOTHING }, Step::On { start_ns: 50, last_ns: 0 });
        check(new, false, Origin { born_ns: Some(950), ..NOTHING }, Step::Whole { start_ns: 950 });
        check(new, false, Origin { created_ns: Some(2_000), ..NOTHING }, Step::First);
    }

    #[test]
    fn a_value_that_fell_has_begun_behind_the_last() {
        check(seen(), true, NOTHING, Step::Whole { start_ns: 900 });
        check(seen(), true, Origin { created_ns: Some(950), ..NOTHING }, Step::Whole { start_ns: 950 });
        check(seen(), true, Origin { created_ns: Some(20), ..NOTHING }, Step::Whole { start_ns: 900 });
    }

    #[test]
    fn others_go_on() {
        check(seen(), false, NOTHING, Step::On { start_ns: 50, last_ns: 900 });
        let mut ahead = seen();
        ahead.set_back(800);
        assert_eq!((ahead.start_ns, ahead.last_ns), (50, 800));
    }
}
