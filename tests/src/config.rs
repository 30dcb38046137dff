//! Configuration files and directories that go when the test is over.

use std::{fs, path::PathBuf};

use crate::daemon::scratch;

/// A file.
pub struct Config(PathBuf);

impl Config {
    /// With this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let path = scratch("yml");
        fs::write(&path, text).expect("a temporary file can be written");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path of ours")
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // What is left is temporary anyway.
        let _ = fs::remove_file(&self.0);
    }
}

/// A directory.
pub struct Directory(PathBuf);

impl Directory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let path = scratch("dir");
        fs::create_dir(&path).expect("a temporary directory can be made");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path of ours")
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left is temporary anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}
