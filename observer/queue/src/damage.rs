//! Where the files were not as they should be.

use std::{fmt, path::PathBuf};

use crate::Totals;

/// What was not as it should be in the files, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Ends of files that are no whole records, and were cut off. A process that is killed while it writes leaves one.
    pub torn: u64,
    /// Places where bytes had to be passed over to find the next record.
    pub gaps: u64,
    /// Records whose head is whole and whose body is not, but for those at the end of a file, which are torn.
    pub bodies: u64,
    /// Files that are gone though there are later ones, and nothing says that what they held was done.
    pub missing: u64,
    /// Copies of the list of entries that were done. There are two; without both, entries come once more.
    pub states: u64,
    /// Files of another version, which were set aside.
    pub foreign: u64,
    /// The bytes cut off and passed over.
    pub bytes: u64,
}

/// One such place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// What was wrong there.
    pub harm: Harm,
}

/// What was wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// [`Damage::torn`]: the end of the file from `at` on, and what is known to have been in it.
    Torn {
        /// Where it begins.
        at: u64,
        /// How long it was.
        bytes: u64,
        /// Entries of which the head could be read.
        known: Totals,
    },
    /// [`Damage::gaps`].
    Gap {
        /// Where it begins.
        at: u64,
        /// How long it is.
        bytes: u64,
    },
    /// [`Damage::bodies`].
    Body {
        /// Where the record begins.
        at: u64,
        /// How long it is.
        bytes: u64,
        /// What was in it.
        known: Totals,
    },
    /// [`Damage::missing`].
    Missing,
    /// [`Damage::states`].
    State {
        /// Where it begins.
        at: u64,
    },
    /// [`Damage::foreign`].
    Foreign {
        /// Its version, if it has one; otherwise its entries have numbers that are in use.
        version: Option<u32>,
    },
}

/// So many places are kept until somebody asks for them. More are counted only.
const PLACES: usize = 64;

/// All damage, and the places that nobody was told yet.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) damage: Damage,
    places: Vec<Place>,
}

impl Found {
    pub(crate) fn note(&mut self, path: PathBuf, harm: Harm) {
        self.damage.count(harm);
        if self.places.len() < PLACES {
            self.places.push(Place { path, harm });
        }
    }

    /// The places since the last call.
    pub(crate) fn take(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.places)
    }
}

impl Damage {
    /// How many causes there are.
    pub const CAUSES: usize = 6;

    /// The counts by cause, with the causes' names as values of a label.
    #[must_use]
    pub const fn by_cause(&self) -> [(&'static str, u64); Self::CAUSES] {
        let Self { torn, gaps, bodies, missing, states, foreign, bytes: _ } = *self;
        [
            ("torn", torn),
            ("gap", gaps),
            ("body", bodies),
            ("missing", missing),
            ("state", states),
            ("foreign", foreign),
        ]
    }

    fn count(&mut self, harm: Harm) {
        let (cause, bytes) = match harm {
            Harm::Torn { bytes, .. } => (&mut self.torn, bytes),
            Harm::Gap { bytes, .. } => (&mut self.gaps, bytes),
            Harm::Body { bytes, .. } => (&mut self.bodies, bytes),
            Harm::Missing => (&mut self.missing, 0),
            Harm::State { .. } => (&mut self.states, 0),
            Harm::Foreign { .. } => (&mut self.foreign, 0),
        };
        *cause += 1;
        self.bytes += bytes;
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.harm {
            Harm::Torn { at, bytes, known } => {
                write!(f, "`{path}` ends at {at} in what is no whole record (bytes: {bytes}")?;
                if known.samples > 0 {
                    write!(f, ", samples: at least {})", known.samples)
                } else {
                    f.write_str(")")
                }
            }
            Harm::Gap { at, bytes } => {
                write!(f, "`{path}` has at {at} what is no record (bytes: {bytes})")
            }
            Harm::Body { at, bytes, known } => {
                let samples = known.samples + known.histograms;
                write!(f, "`{path}` has a damaged record at {at} (bytes: {bytes}, samples: {samples})")
            }
            Harm::Missing => write!(f, "`{path}` is missing, and nothing says that it was delivered"),
            Harm::State { at } => write!(f, "`{path}` is damaged at {at}: what was delivered may come again"),
            Harm::Foreign { version: Some(version) } => {
                write!(f, "`{path}` is set aside: it has version {version}, which is not known here")
            }
            Harm::Foreign { version: None } => {
                write!(f, "`{path}` is set aside: it has numbers that are in use, for the clock went back")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let mut found = Found::default();
        for at in 0..100 {
            found.note(PathBuf::from("/q/1"), Harm::Gap { at, bytes: 3 });
        }
        assert_eq!((found.damage.gaps, found.damage.bytes), (100, 300));
        let places = found.take();
        assert_eq!(places.len(), PLACES);
        assert_eq!(places[1].to_string(), "`/q/1` has at 1 what is no record (bytes: 3)");
        assert_eq!(found.take(), []);
    }
}
