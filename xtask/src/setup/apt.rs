//! System packages, where the system is Debian's kind.

use std::{fs, io::ErrorKind, os::unix::fs::OpenOptionsExt as _, path::Path, process::Command};

use super::host;
use crate::{
    failure::{Failure, Result},
    process,
};

/// Whether packages can be had, be they installed or not.
pub(crate) fn offers(packages: &[&str]) -> bool {
    let known = || {
        packages
            .iter()
            .all(|package| process::succeeds(process::command("apt-cache").args(["show", package])))
    };
    // On a new machine the lists are empty, and only root can fetch them.
    known() || (host::is_root() && update().is_ok() && known())
}

/// Installs those that are missing, for the reason given. Services among them are not started.
pub(crate) fn install(reason: &str, packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !process::succeeds(process::command("apt-get").arg("--version")) {
        return Err(Failure::new(format!("{reason}: no apt-get here; install what Debian calls {list}")));
    }
    if !host::is_root() {
        return Err(Failure::new(format!(
            "{reason}: run `sudo apt-get install --no-install-recommends {list}`"
        )));
    }
    eprintln!("setup: installing {list}: {reason}");
    let _quiet = NoServices::begin()?;
    let fetch =
        || process::run(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing));
    // Lists that are missing or out of date make the first attempt fail.
    fetch().or_else(|_| update().and_then(|()| fetch()))
}

fn update() -> Result<()> {
    process::run_quietly(apt_get().args(["update", "-qq"]))
}

fn apt_get() -> Command {
    let mut apt = process::command("apt-get");
    apt.args(["-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn is_installed(package: &str) -> bool {
    process::output(process::command("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]))
        .is_ok_and(|status| status == "installed")
}

/// Debian starts a service when its package is installed, unless this script forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Forbids services to start for as long as it lives. A policy that the machine already has stands.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        let written =
            created.and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"));
        match written {
            Ok(()) => Ok(Self { ours: true }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(Failure::new(format!("{POLICY}: {error}"))),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(Path::new(POLICY))
        {
            eprintln!("setup: remove {POLICY} by hand, services do not start while it is there: {error}");
        }
    }
}
