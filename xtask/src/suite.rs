//! Packages of other Debians, unpacked and not installed. Nothing of this machine's own package lists changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::{Failure, Result},
    process,
};

/// apt for another suite, with lists of its own.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// With its lists in `dir`, as they are now.
    pub(crate) fn new(suite: &str, dir: PathBuf) -> Result<Self> {
        let targets = process::output(process::command("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
        ]))?;
        let mirror = targets
            .lines()
            .find(|uri| uri.ends_with("/debian/"))
            .ok_or_else(|| Failure::new("this machine's apt knows no Debian mirror"))?;
        let make = || {
            for part in ["lists/partial", "cache/archives/partial", "none"] {
                fs::create_dir_all(dir.join(part))?;
            }
            fs::write(dir.join("status"), "")?;
            let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
            fs::write(dir.join("sources.list"), format!("deb [signed-by={keys}] {mirror} {suite} main\n"))
        };
        make().map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
        let apt = Self { dir };
        process::run_quietly(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    /// Puts what is in a package under `dir`. What it depends on stays away.
    pub(crate) fn unpack(&self, package: &str, dir: &Path) -> Result<()> {
        let failed = |error| Failure::new(format!("{}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(failed)?;
        process::run_quietly(self.command("apt-get").args(["-qq", "download", package]).current_dir(dir))?;
        let downloaded = files(dir).into_iter().find(|file| file.extension().is_some_and(|end| end == "deb"));
        let deb = downloaded.ok_or_else(|| Failure::new(format!("`{package}` was not downloaded")))?;
        process::run(process::command("dpkg-deb").arg("-x").arg(&deb).arg(dir))?;
        fs::remove_file(deb).map_err(failed)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = process::command(program);
        let places = [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "none"),
            ("Dir::Etc::preferencesparts", "none"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ];
        for (key, place) in places {
            command.args(["-o", &format!("{key}={}", self.dir.join(place).display())]);
        }
        // Its usual user cannot write into the checkout.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }
}

/// What is in a directory; nothing if it is not there.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    dir.read_dir().map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}
