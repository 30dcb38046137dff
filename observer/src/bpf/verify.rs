//! Loads programs side by side: the kernel's verifier takes longer than all the rest of a start.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};

/// Tries to load every program that `hook` knows a hook of, on two threads. One that fails is loaded again where it is needed:
/// there its error has a place to go.
pub(super) fn all(ebpf: &mut Ebpf, btf: &Btf, hook: impl Fn(&str) -> Option<&'static str>) {
    let mut programs: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((name != "state", hook(name)?, program)))
        .collect();
    // The longest first, so that the others are done beside it.
    programs.sort_by_key(|(later, ..)| *later);
    let queue = Mutex::new(programs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((_, hook, program)) = next() {
            let _tried_again = match program {
                Program::BtfTracePoint(p) => p.load(hook, btf),
                Program::TracePoint(p) => p.load(),
                Program::Iter(p) => p.load(hook, btf),
                _ => Ok(()),
            };
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

/// The result of loading a program that may be loaded already.
pub(super) fn once(result: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match result {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result,
    }
}
