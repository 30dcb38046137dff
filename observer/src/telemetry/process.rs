//! The figures every Prometheus client has about its process.

use std::{error::Error, path::Path};

use log::warn;
use procfs::process::{self, LimitValue};

use crate::{metrics::own, proc::ProcFile, readings::Readings};

#[derive(Debug)]
pub(super) struct Process {
    stat: ProcFile,
    ticks_per_second: f64,
    page_size: f64,
    /// The process's directory, for the count of its descriptors.
    directory: Option<process::Process>,
    boot_time: Option<f64>,
    /// The agent does not change its limit.
    max_fds: Option<f64>,
    failed: bool,
}

/// What is used of `/proc/self/stat`.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Process {
    pub(super) fn new() -> Self {
        let directory = process::Process::myself().ok();
        let limits = directory.as_ref().and_then(|process| process.limits().ok());
        Self {
            stat: ProcFile::new(Path::new("/proc"), "self/stat"),
            ticks_per_second: procfs::ticks_per_second() as f64,
            page_size: procfs::page_size() as f64,
            directory,
            boot_time: procfs::boot_time_secs().ok().map(|seconds| seconds as f64),
            max_fds: limits.and_then(|limits| match limits.max_open_files.soft_limit {
                LimitValue::Value(limit) => Some(limit as f64),
                LimitValue::Unlimited => None,
            }),
            failed: false,
        }
    }

    /// Without `/proc` these families are missing, and the agent works on.
    pub(super) fn write(&mut self, out: &mut Readings) {
        let result = self.figures(out);
        if let Err(error) = &result
            && !self.failed
        {
            warn!("the agent's own process figures are missing: {error}");
        }
        self.failed = result.is_err();
    }

    fn figures(&mut self, out: &mut Readings) -> Result<(), Box<dyn Error>> {
        let Self { stat, ticks_per_second, page_size, directory, boot_time, max_fds, failed: _ } = self;
        let stat = stat.read(parse_stat)?;
        out.put_one(own::PROCESS_CPU.name, stat.cpu_ticks as f64 / *ticks_per_second);
        out.put_one(own::PROCESS_RESIDENT_MEMORY.name, stat.resident_pages as f64 * *page_size);
        out.put_one(own::PROCESS_VIRTUAL_MEMORY.name, stat.virtual_bytes as f64);
        out.put_one(own::PROCESS_THREADS.name, stat.threads as f64);
        if let Some(boot_time) = boot_time {
            out.put_one(
                own::PROCESS_START_TIME.name,
                *boot_time + stat.start_ticks as f64 / *ticks_per_second,
            );
        }
        if let Some(max_fds) = max_fds {
            out.put_one(own::PROCESS_MAX_FDS.name, *max_fds);
        }
        if let Some(directory) = directory {
            // A single `stat` since Linux 6.2, a walk through the directory before.
            out.put_one(own::PROCESS_OPEN_FDS.name, directory.fd_count()? as f64);
        }
        Ok(())
    }
}

/// The fields of proc_pid_stat(5), numbered as there.
fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    let (_, fields) = text.rsplit_once(')')?;
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// The running kernel's release, such as `6.1.0-18-amd64`.
pub(super) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |release| release.trim_ascii().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "1 (a) b (c)) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25\n";
        let stat = parse_stat(text).expect("it has all fields");
        assert_eq!([stat.cpu_ticks, stat.threads, stat.start_ticks], [14 + 15, 20, 22]);
        assert_eq!([stat.virtual_bytes, stat.resident_pages], [23, 24]);
    }

    #[test]
    fn stat_cut_short_is_refused() {
        assert!(parse_stat("7 (a) S 1 2 3").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn stat_agrees_with_the_crate() {
        let ours = ProcFile::new(Path::new("/proc"), "self/stat").read(parse_stat).expect("there is /proc");
        let theirs = process::Process::myself().and_then(|process| process.stat()).expect("there is /proc");
        assert_eq!(ours.start_ticks, theirs.starttime);
    }
}
