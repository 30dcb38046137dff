//! Which program hangs on which hook, and what is missing without it.

use aya::{
    Btf, Ebpf,
    maps::{MapData, ProgramArray},
    programs::{Program, ProgramError, links::FdLink},
};

use super::{
    btf::Types,
    features::{ACCEPT_WAIT, CONNECT_EXIT, Feature, chain},
    verify,
};

/// A program that hangs on its hook until this is dropped.
pub(crate) type Link = FdLink;

/// A program and what it hangs on.
#[derive(Clone, Copy)]
struct Probe {
    program: &'static str,
    hook: &'static str,
}

const fn probe(program: &'static str, hook: &'static str) -> Probe {
    Probe { program, hook }
}

/// In this order: the second takes what the kernel did not hand to the first.
const REQUIRED: &[Probe] =
    &[probe("state", "inet_sock_set_state"), probe("state_nested", "inet_sock_set_state")];

/// Each is a feature of its program's name.
const OPTIONAL: &[Probe] = &[
    probe("retransmit", "tcp_retransmit_skb"),
    probe("retransmit_synack", "tcp_retransmit_synack"),
    probe("reset_sent", "tcp_send_reset"),
    probe("reset_received", "tcp_receive_reset"),
];

/// The per-exchange programs, which a level switches: on a tracepoint, and where that is missing on a function. The first's
/// name is the feature's.
const EXCHANGES: &[(Probe, Probe)] = &[
    (probe("send", "sock_send_length"), probe("send_fexit", "tcp_sendmsg")),
    (probe("receive", "sock_recv_length"), probe("receive_fexit", "tcp_recvmsg")),
    (probe("data_ready", "sk_data_ready"), probe("data_ready_fentry", "sock_def_readable")),
];

/// Before 5.19 `tcp_recvmsg` had so many arguments, of which the flags were another.
const OLD_RECVMSG: (Probe, usize) = (probe("receive_fexit_nonblock", "tcp_recvmsg"), 6);

/// What connect and accept return: on the stack's functions, which sees io_uring too and needs no tracefs; where trampolines
/// are not to be had, on system calls.
const CALLS: &[(&str, &[Probe], &[Probe])] = &[
    (
        CONNECT_EXIT,
        &[probe("connect_fentry", "inet_stream_connect"), probe("connect_fexit", "inet_stream_connect")],
        &[probe("connect_enter", "sys_enter_connect"), probe("connect_exit", "sys_exit_connect")],
    ),
    (
        ACCEPT_WAIT,
        &[probe("accept_fexit", "inet_csk_accept")],
        &[probe("accept_exit", "sys_exit_accept"), probe("accept_exit", "sys_exit_accept4")],
    ),
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

/// The hook of a program that every kernel of today has a use for. The others are loaded when they are needed.
pub(super) fn hook(program: &str) -> Option<&'static str> {
    let exchanges = EXCHANGES.iter().map(|(tracepoint, _)| tracepoint);
    let mut all = REQUIRED.iter().chain(OPTIONAL).chain(exchanges).copied();
    all.find(|probe| probe.program == program).map(|probe| probe.hook)
}

/// Whether it is one of those that nothing works without.
pub(super) fn is_required(program: &str) -> bool {
    REQUIRED.iter().any(|probe| probe.program == program)
}

/// Attaches the programs nothing works without. The second goes on with the first's code, which it finds in `first`.
pub(super) fn required(
    ebpf: &mut Ebpf,
    btf: &Btf,
    first: &mut ProgramArray<MapData>,
) -> Result<(), AttachError> {
    let each = |probe @ Probe { program, hook }, result: Result<(), ProgramError>| {
        result.map_err(|source| AttachError { program, hook, source: Box::new(source) }).map(|()| probe)
    };
    for probe in REQUIRED.iter().copied() {
        each(probe, load(ebpf, btf, probe))?;
    }
    each(REQUIRED[0], follow(ebpf, REQUIRED[0].program, first))?;
    for probe in REQUIRED.iter().copied() {
        each(probe, attach(ebpf, probe))?;
    }
    Ok(())
}

fn follow(ebpf: &Ebpf, program: &str, first: &mut ProgramArray<MapData>) -> Result<(), ProgramError> {
    let program = ebpf.program(program).ok_or(ProgramError::NotLoaded)?;
    Ok(first.set(0, program.fd()?, 0)?)
}

/// Attaches whatever else the kernel has.
pub(super) fn optional(ebpf: &mut Ebpf, btf: &Btf, types: &Types) -> Vec<Feature> {
    let mut features: Vec<_> = OPTIONAL
        .iter()
        .map(|probe| {
            let attached = load_if_present(ebpf, btf, types, *probe)
                .and_then(|()| attach(ebpf, *probe).map_err(|e| chain(&e)));
            Feature::of(probe.program, attached)
        })
        .collect();
    // A kernel without trampolines is not asked twice.
    let mut trampolines = true;
    for (feature, functions, syscalls) in CALLS {
        let on_functions = match trampolines {
            true => all(ebpf, btf, functions),
            false => Err(String::new()),
        };
        trampolines = on_functions.is_ok();
        let attached = on_functions.or_else(|_| {
            all(ebpf, btf, syscalls).map_err(|reason| {
                format!(
                    "{reason} (this kernel has no BPF trampolines; without them it needs tracefs mounted at /sys/kernel/tracing \
                     and readable, and kernel.perf_event_paranoid below 3 or CAP_SYS_ADMIN)"
                )
            })
        });
        features.push(Feature::of(feature, attached));
    }
    features
}

/// Loads the per-exchange programs without attaching them: the features, and the program of each that is available.
pub(super) fn load_exchanges(
    ebpf: &mut Ebpf,
    btf: &Btf,
    types: &Types,
) -> (Vec<Feature>, Vec<(&'static str, &'static str)>) {
    let (mut features, mut programs) = (Vec::new(), Vec::new());
    for (tracepoint, function) in EXCHANGES {
        let chosen = match types.has_tracepoint(tracepoint.hook) {
            true => *tracepoint,
            false if types.arguments(function.hook) == Some(OLD_RECVMSG.1) => OLD_RECVMSG.0,
            false => *function,
        };
        let loaded = load(ebpf, btf, chosen).map_err(|e| match chosen.program {
            p if p == tracepoint.program => chain(&e),
            _ => format!("no tracepoint `{}`, and on `{}`: {}", tracepoint.hook, function.hook, chain(&e)),
        });
        if loaded.is_ok() {
            programs.push((tracepoint.program, chosen.program));
        }
        features.push(Feature::of(tracepoint.program, loaded));
    }
    (features, programs)
}

/// Attaches a loaded program.
pub(super) fn link(ebpf: &mut Ebpf, name: &str) -> Result<Link, ProgramError> {
    match ebpf.program_mut(name) {
        Some(Program::BtfTracePoint(p)) => p.attach().and_then(|id| p.take_link(id)).map(Into::into),
        Some(Program::FEntry(p)) => p.attach().and_then(|id| p.take_link(id)).map(Into::into),
        Some(Program::FExit(p)) => p.attach().and_then(|id| p.take_link(id)).map(Into::into),
        _ => Err(ProgramError::NotLoaded),
    }
}

/// Takes every program off its hook.
pub(super) fn unlink_all(ebpf: &mut Ebpf) {
    for (_, program) in ebpf.programs_mut() {
        unload(program);
    }
}

fn unload(program: &mut Program) {
    // A program that is not loaded has nothing to take off.
    let _unloaded = match program {
        Program::BtfTracePoint(p) => p.unload(),
        Program::TracePoint(p) => p.unload(),
        Program::FEntry(p) => p.unload(),
        Program::FExit(p) => p.unload(),
        _ => Ok(()),
    };
}

/// Attaches all of them or none.
fn all(ebpf: &mut Ebpf, btf: &Btf, probes: &[Probe]) -> Result<(), String> {
    let result =
        probes.iter().try_for_each(|probe| load(ebpf, btf, *probe).and_then(|()| attach(ebpf, *probe)));
    result.map_err(|error| {
        for probe in probes {
            if let Some(program) = ebpf.program_mut(probe.program) {
                unload(program);
            }
        }
        chain(&error)
    })
}

fn load_if_present(ebpf: &mut Ebpf, btf: &Btf, types: &Types, probe: Probe) -> Result<(), String> {
    if !types.has_tracepoint(probe.hook) {
        return Err(format!("this kernel has no tracepoint `{}`", probe.hook));
    }
    load(ebpf, btf, probe).map_err(|e| chain(&e))
}

fn load(ebpf: &mut Ebpf, btf: &Btf, Probe { program, hook }: Probe) -> Result<(), ProgramError> {
    verify::once(match ebpf.program_mut(program) {
        Some(Program::BtfTracePoint(p)) => p.load(hook, btf),
        Some(Program::TracePoint(p)) => p.load(),
        Some(Program::FEntry(p)) => p.load(hook, btf),
        Some(Program::FExit(p)) => p.load(hook, btf),
        _ => Err(ProgramError::NotLoaded),
    })
}

fn attach(ebpf: &mut Ebpf, Probe { program, hook }: Probe) -> Result<(), ProgramError> {
    match ebpf.program_mut(program) {
        Some(Program::BtfTracePoint(p)) => p.attach().map(drop),
        Some(Program::TracePoint(p)) => p.attach("syscalls", hook).map(drop),
        Some(Program::FEntry(p)) => p.attach().map(drop),
        Some(Program::FExit(p)) => p.attach().map(drop),
        _ => Err(ProgramError::NotLoaded),
    }
}
