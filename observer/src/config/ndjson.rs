//! Lines of JSON: where they go, and which.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use observer_aggregate::stream::{Conditions, Matcher};

use super::{
    job::set,
    keys::NdjsonKeys,
    section::{At, Section as _, Size},
    selector,
    yaml::Fault,
};

/// An entry of `export: ndjson`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ndjson {
    /// What messages and metrics call it.
    pub(crate) name: String,
    /// Where lines go.
    pub(crate) place: Place,
    /// Selectors; a series that one of them takes is written.
    pub(crate) select: Vec<Vec<Matcher>>,
    /// Leave out what did not change.
    pub(crate) changed_only: bool,
    /// When a file begins anew.
    pub(crate) rotation: Rotation,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `-`
    Stdout,
    /// `unix:PATH`
    Socket(PathBuf),
    /// `PATH`
    File(PathBuf),
}

/// When a file begins anew, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Once it has so many bytes; 0 for never.
    pub(crate) bytes: u64,
    /// Once it is so old.
    pub(crate) age: Option<Duration>,
    /// How many earlier files are kept.
    pub(crate) files: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { bytes: 100 << 20, age: None, files: 5 }
    }
}

impl Rotation {
    /// Whether a file of so many bytes and milliseconds of age is to begin anew.
    pub(crate) fn is_due(&self, bytes: u64, age_ms: i64) -> bool {
        let Self { bytes: most, age, files: _ } = self;
        let age_ms = u64::try_from(age_ms).unwrap_or(0);
        (*most > 0 && bytes >= *most) || age.is_some_and(|age| Duration::from_millis(age_ms) >= age)
    }
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("unix:") {
            _ if text == "-" => Self::Stdout,
            Some(path) => Self::Socket(path.into()),
            None => Self::File(text.into()),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Ndjson {
    /// All lines to one place.
    pub(crate) fn to(place: Place) -> Self {
        let name = match &place {
            Place::Stdout => "ndjson".to_owned(),
            place => format!("ndjson {place}"),
        };
        Self { name, place, select: Vec::new(), changed_only: false, rotation: Rotation::default() }
    }

    /// Relative paths start at `base`.
    pub(super) fn new(keys: NdjsonKeys<'_>, base: &Path) -> Result<Self, Fault> {
        let Some(At { node, value: path }) = &keys.path else {
            return Err(keys.place().fault("lines of JSON without a `path`"));
        };
        let place = match path.parse::<Place>().unwrap_or_else(|never| match never {}) {
            Place::Socket(path) | Place::File(path) if path.as_os_str().is_empty() => {
                return Err(node.fault("expected a path, `unix:` and a path, or `-`"));
            }
            Place::Stdout => Place::Stdout,
            Place::Socket(path) => Place::Socket(base.join(path)),
            Place::File(path) => Place::File(base.join(path)),
        };
        let mut ndjson = Self::to(place);
        if let Some(At { value: name, .. }) = keys.name {
            ndjson.name = name;
        }
        for At { node, value } in keys.select.into_iter().flat_map(|at| at.value) {
            let matchers = selector::parse(&value).map_err(|message| node.fault(message))?;
            Conditions::compile(matchers.clone()).map_err(|reason| node.fault(reason.to_string()))?;
            ndjson.select.push(matchers);
        }
        set(&mut ndjson.changed_only, &keys.changed_only);
        let Rotation { bytes, age, files } = &mut ndjson.rotation;
        if let Some(At { value: Size(size), .. }) = keys.max_size {
            *bytes = size as u64;
        }
        *age = keys.max_age.map(|at| at.value);
        set(files, &keys.max_files);
        Ok(ndjson)
    }

    /// The selectors, ready to use. They were found good when they were read.
    pub(crate) fn conditions(&self) -> Vec<Conditions> {
        self.select.iter().filter_map(|matchers| Conditions::compile(matchers.clone()).ok()).collect()
    }
}
