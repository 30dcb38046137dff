//! The figures every Prometheus client has about its process.

use log::warn;
use procfs::{ProcResult, process};

use crate::{metrics::own, readings::Readings};

#[derive(Debug)]
pub(super) struct Process {
    ticks_per_second: f64,
    page_size: f64,
    /// Does not change, and costs a reading of the whole of `/proc/stat`.
    boot_time: Option<f64>,
    failed: bool,
}

struct Figures {
    stat: process::Stat,
    open_fds: usize,
    max_fds: process::LimitValue,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            ticks_per_second: procfs::ticks_per_second() as f64,
            page_size: procfs::page_size() as f64,
            boot_time: procfs::boot_time_secs().ok().map(|seconds| seconds as f64),
            failed: false,
        }
    }

    /// Without `/proc` these families are missing, and the agent works on.
    pub(super) fn write(&mut self, out: &mut Readings) {
        let Self { ticks_per_second, page_size, boot_time, failed } = self;
        let Figures { stat, open_fds, max_fds } = match figures() {
            Ok(figures) => figures,
            Err(error) => {
                if !*failed {
                    warn!("cannot read the agent's own process figures: {error}");
                }
                *failed = true;
                return;
            }
        };
        *failed = false;
        out.put_one(own::PROCESS_CPU.name, (stat.utime + stat.stime) as f64 / *ticks_per_second);
        out.put_one(own::PROCESS_RESIDENT_MEMORY.name, stat.rss as f64 * *page_size);
        out.put_one(own::PROCESS_VIRTUAL_MEMORY.name, stat.vsize as f64);
        out.put_one(own::PROCESS_OPEN_FDS.name, open_fds as f64);
        out.put_one(own::PROCESS_THREADS.name, stat.num_threads as f64);
        if let process::LimitValue::Value(limit) = max_fds {
            out.put_one(own::PROCESS_MAX_FDS.name, limit as f64);
        }
        if let Some(boot_time) = boot_time {
            out.put_one(own::PROCESS_START_TIME.name, *boot_time + stat.starttime as f64 / *ticks_per_second);
        }
    }
}

fn figures() -> ProcResult<Figures> {
    let process = process::Process::myself()?;
    Ok(Figures {
        stat: process.stat()?,
        open_fds: process.fd_count()?,
        max_fds: process.limits()?.max_open_files.soft_limit,
    })
}

/// The running kernel's release, such as `6.1.0-18-amd64`.
pub(super) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |release| release.trim_ascii().to_owned())
}
