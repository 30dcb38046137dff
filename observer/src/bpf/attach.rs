//! Which program hangs on which hook, and what is missing without it.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Program, ProgramError, TracePoint, links::FdLink},
};

use super::{
    btf::Types,
    features::{CONNECT_EXIT, Feature, chain},
    verify,
};

/// A program that hangs on its hook until this is dropped.
pub(crate) type Link = FdLink;

/// The per-exchange programs, which a level switches: each carries the name of its feature.
pub(crate) const EXCHANGES: &[&str] = &["send", "receive", "data_ready"];

const REQUIRED: (&str, &str) = ("state", "inet_sock_set_state");

/// Program, tracepoint; the program's name is its feature's.
const RAW: &[(&str, &str)] = &[
    ("retransmit", "tcp_retransmit_skb"),
    ("retransmit_synack", "tcp_retransmit_synack"),
    ("reset_sent", "tcp_send_reset"),
    ("reset_received", "tcp_receive_reset"),
];

const EXCHANGE_HOOKS: &[(&str, &str)] =
    &[("send", "sock_send_length"), ("receive", "sock_recv_length"), ("data_ready", "sk_data_ready")];

/// Feature, program, and the system call tracepoints it hangs on.
const SYSCALLS: &[(&str, &str, &[&str])] = &[
    (CONNECT_EXIT, "connect_enter", &["sys_enter_connect"]),
    (CONNECT_EXIT, "connect_exit", &["sys_exit_connect"]),
    ("accept_wait", "accept_exit", &["sys_exit_accept", "sys_exit_accept4"]),
];

/// A program is not on its hook.
#[derive(Debug, thiserror::Error)]
#[error("cannot attach `{program}` to `{hook}`")]
pub(crate) struct AttachError {
    program: &'static str,
    hook: &'static str,
    #[source]
    source: Box<ProgramError>,
}

/// A hook of a program.
pub(super) fn hook(program: &str) -> Option<&'static str> {
    let syscalls = SYSCALLS.iter().map(|(_, name, hooks)| (*name, hooks[0]));
    let mut all = [REQUIRED].iter().chain(RAW).chain(EXCHANGE_HOOKS).copied().chain(syscalls);
    all.find(|(name, _)| *name == program).map(|(_, hook)| hook)
}

/// Attaches the program nothing works without.
pub(super) fn required(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), AttachError> {
    let (program, hook) = REQUIRED;
    let failed = |source| AttachError { program, hook, source: Box::new(source) };
    load(ebpf, btf, program, hook).map_err(failed)?;
    raw(ebpf, program).and_then(BtfTracePoint::attach).map_err(failed)?;
    Ok(())
}

/// Attaches whatever else the kernel has.
pub(super) fn optional(ebpf: &mut Ebpf, btf: &Btf, types: &Types) -> Vec<Feature> {
    let mut features = Vec::new();
    for (program, hook) in RAW {
        features.push(match load_if_present(ebpf, btf, types, program, hook) {
            Ok(()) => match raw(ebpf, program).and_then(BtfTracePoint::attach) {
                Ok(_) => Feature::available(program),
                Err(error) => Feature::missing(program, chain(&error)),
            },
            Err(reason) => Feature::missing(program, reason),
        });
    }
    for (feature, program, hooks) in SYSCALLS {
        let result = syscall(ebpf, program, hooks);
        match (features.iter_mut().find(|f| f.name == *feature), result) {
            (None, Ok(())) => features.push(Feature::available(feature)),
            (None, Err(reason)) => features.push(Feature::missing(feature, reason)),
            (Some(known), Err(reason)) => known.missing = Some(reason),
            (Some(_), Ok(())) => {}
        }
    }
    features
}

/// Loads the per-exchange programs without attaching them.
pub(super) fn load_exchanges(ebpf: &mut Ebpf, btf: &Btf, types: &Types) -> Vec<Feature> {
    EXCHANGE_HOOKS
        .iter()
        .map(|(program, hook)| match load_if_present(ebpf, btf, types, program, hook) {
            Ok(()) => Feature::available(program),
            Err(reason) => Feature::missing(program, reason),
        })
        .collect()
}

/// Attaches a loaded program.
pub(super) fn link(ebpf: &mut Ebpf, name: &str) -> Result<Link, ProgramError> {
    let program = raw(ebpf, name)?;
    let id = program.attach()?;
    Ok(program.take_link(id)?.into())
}

/// Takes every program off its hook.
pub(super) fn unlink_all(ebpf: &mut Ebpf) {
    for (_, program) in ebpf.programs_mut() {
        // A program that is not loaded has nothing to take off.
        let _unloaded = match program {
            Program::BtfTracePoint(p) => p.unload(),
            Program::TracePoint(p) => p.unload(),
            _ => Ok(()),
        };
    }
}

fn load_if_present(
    ebpf: &mut Ebpf,
    btf: &Btf,
    types: &Types,
    program: &str,
    hook: &str,
) -> Result<(), String> {
    if !types.has_tracepoint(hook) {
        return Err(format!("this kernel has no tracepoint `{hook}`"));
    }
    load(ebpf, btf, program, hook).map_err(|e| chain(&e))
}

fn load(ebpf: &mut Ebpf, btf: &Btf, program: &str, hook: &str) -> Result<(), ProgramError> {
    verify::once(raw(ebpf, program)?.load(hook, btf))
}

fn raw<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn syscall(ebpf: &mut Ebpf, name: &str, hooks: &[&str]) -> Result<(), String> {
    let attach = |ebpf: &mut Ebpf| -> Result<(), ProgramError> {
        let program: &mut TracePoint = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
        verify::once(program.load())?;
        for hook in hooks {
            program.attach("syscalls", hook)?;
        }
        Ok(())
    };
    attach(ebpf).map_err(|error| {
        let reason = chain(&error);
        format!(
            "{reason} (needs tracefs mounted at /sys/kernel/tracing and readable, and kernel.perf_event_paranoid below 3 or CAP_SYS_ADMIN)"
        )
    })
}
