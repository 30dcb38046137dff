//! Text that stands in the file itself, or in a file of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    section::{At, Secret},
    yaml::Fault,
};

/// Text, or the file that has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    /// The text.
    Text(Secret),
    /// The file.
    File(PathBuf),
}

impl Content {
    /// What is said by one of two keys, `what` and `what_file`; nothing if neither is there. A relative path starts at `base`.
    pub(super) fn either<T: Into<Secret>>(
        what: &str,
        text: Option<At<'_, T>>,
        file: Option<At<'_, PathBuf>>,
        base: &Path,
    ) -> Result<Option<Self>, Fault> {
        match (text, file) {
            (Some(_), Some(file)) => Err(file.node.fault(format!("`{what}_file` together with `{what}`"))),
            (Some(text), None) => Ok(Some(Self::Text(text.value.into()))),
            (None, Some(file)) => Ok(Some(Self::File(base.join(file.value)))),
            (None, None) => Ok(None),
        }
    }

    /// Whether it may be another at each use.
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The text as it is now, without what editors put around it. Blocks on reading a file.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read.
    pub(crate) fn read(&self) -> io::Result<String> {
        match self {
            Self::Text(Secret(text)) => Ok(text.clone()),
            Self::File(path) => {
                let failed = |error: io::Error| {
                    io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display()))
                };
                // Prometheus too leaves out what editors put at the end.
                fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(failed)
            }
        }
    }

    /// Where it is, for messages about a key.
    pub(crate) fn place(&self, key: &str) -> String {
        match self {
            Self::Text(_) => format!("`{key}`"),
            Self::File(path) => format!("`{}`", path.display()),
        }
    }
}
