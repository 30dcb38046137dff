//! Programs in the kernel: empty ones to measure against, and what the kernel counts of each.

use std::{collections::BTreeSet, os::fd::OwnedFd, time::Duration};

use aya::{
    Btf,
    programs::{loaded_links, loaded_programs},
    sys::{Stats, enable_stats},
};
use aya_obj::btf::BtfKind;

use crate::{Result, sys};

/// Where the per-exchange programs hang: our program's name, the tracepoint.
pub(crate) const EXCHANGES: [(&str, &str); 3] =
    [("send", "sock_send_length"), ("receive", "sock_recv_length"), ("data_ready", "sk_data_ready")];

/// Programs that return at once, on their hooks until this is dropped.
pub(crate) struct Empty(#[expect(dead_code, reason = "dropping them detaches")] Vec<[OwnedFd; 2]>);

impl Empty {
    pub(crate) fn attach(btf: &Btf, hooks: &[(&str, &str)]) -> Result<Self> {
        let attach = |(name, hook): &(&str, &str)| {
            let id = btf.id_by_type_name_kind(&format!("btf_trace_{hook}"), BtfKind::Typedef)?;
            let program = sys::load_empty(&format!("e_{name}"), id)?;
            let link = sys::attach(&program)?;
            Ok([program, link])
        };
        hooks.iter().map(attach).collect::<Result<_>>().map(Self)
    }
}

/// What the kernel has counted of a program since it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) time: Duration,
    /// Instructions the verifier walked.
    pub(crate) verified: u32,
}

/// Every program that is loaded now.
pub(crate) fn loaded() -> Result<Vec<Program>> {
    let read = |info: std::result::Result<aya::programs::ProgramInfo, _>| {
        let info = info?;
        Ok(Program {
            id: info.id(),
            name: info.name_as_str().unwrap_or_default().to_owned(),
            runs: info.run_count(),
            time: info.run_time(),
            verified: info.verified_instruction_count().unwrap_or(0),
        })
    };
    loaded_programs().map(read).collect()
}

/// The programs that `start` brings into the kernel.
pub(crate) fn brought_by<T>(start: impl FnOnce() -> Result<T>) -> Result<(T, BTreeSet<u32>)> {
    let before: BTreeSet<u32> = loaded()?.into_iter().map(|program| program.id).collect();
    let started = start()?;
    let after = loaded()?.into_iter().map(|program| program.id);
    Ok((started, after.filter(|id| !before.contains(id)).collect()))
}

/// The link of a loaded program, whoever holds it.
pub(crate) fn link_of(program: u32) -> Result<OwnedFd> {
    for link in loaded_links() {
        let link = link?;
        if link.program_id() == program {
            return Ok(sys::open_link(link.id())?);
        }
    }
    Err("the program is on no hook".into())
}

/// A program's share of a load.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) time: Duration,
}

impl Cost {
    /// The statistics' own clock reads included.
    pub(crate) fn ns(&self) -> f64 {
        self.time.as_nanos() as f64 / self.runs as f64
    }
}

/// What each program did while `load` ran. The kernel counts only here: counting itself costs.
pub(crate) fn counted<T>(load: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Cost>)> {
    let counting = enable_stats(Stats::RunTime)?;
    let before = loaded()?;
    let done = load()?;
    let after = loaded()?;
    drop(counting);
    let cost = |now: Program| {
        let then = before.iter().find(|then| then.id == now.id)?;
        let runs = now.runs.checked_sub(then.runs).filter(|runs| *runs != 0)?;
        Some(Cost { id: now.id, name: now.name, runs, time: now.time.saturating_sub(then.time) })
    };
    Ok((done, after.into_iter().filter_map(cost).collect()))
}
