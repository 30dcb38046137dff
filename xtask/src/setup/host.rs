//! What this machine gives the agent: its kernel, and the rights of whoever asks.

use std::{fs, path::Path};

/// One sentence for each thing that the agent would miss here.
pub(crate) fn gaps() -> Vec<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracing = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"]
        .iter()
        .any(|dir| Path::new(dir).is_dir());
    [
        old_kernel(release.trim_end()),
        (!Path::new("/sys/kernel/btf/vmlinux").is_file()).then(|| {
            "this kernel does not describe its types (no /sys/kernel/btf/vmlinux): the agent cannot watch TCP here; a kernel \
             built with CONFIG_DEBUG_INFO_BTF=y can"
                .into()
        }),
        missing_capabilities(&status),
        (!tracing).then(|| {
            "tracefs is not mounted on /sys/kernel/tracing: connects that fail before a packet is sent go unseen until \
             `mount -t tracefs tracefs /sys/kernel/tracing`"
                .into()
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

/// 5.11 gave socket storage to tracing programs, 5.12 atomics that return the old value.
fn old_kernel(release: &str) -> Option<String> {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next()?, numbers.next()?);
    (version < (5, 12))
        .then(|| format!("kernel {release} is too old: the agent watches TCP on 5.12 and newer"))
}

fn effective_user(status: &str) -> Option<u32> {
    field(status, "Uid:")?.nth(1)?.parse().ok()
}

/// From `capability.h`.
const NEEDED: [(u32, &str); 2] = [(38, "CAP_PERFMON"), (39, "CAP_BPF")];

fn missing_capabilities(status: &str) -> Option<String> {
    let effective = u64::from_str_radix(field(status, "CapEff:")?.next()?, 16).ok()?;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return None;
    }
    Some(format!("without {} the agent does not watch TCP: run it through sudo", missing.join(" and ")))
}

fn field<'a>(status: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str>> {
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_5_10_is_too_old() {
        assert!(old_kernel("5.10.0-46-cloud-amd64").is_some());
    }

    #[test]
    fn kernel_5_15_is_new_enough() {
        assert_eq!(old_kernel("5.15.0-150-generic"), None);
    }

    #[test]
    fn kernel_6_1_is_newer_than_5_12() {
        assert_eq!(old_kernel("6.1.0"), None);
    }

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
    }

    #[test]
    fn all_capabilities_are_enough() {
        assert_eq!(missing_capabilities("CapEff:\t000001ffffffffff\n"), None);
    }

    #[test]
    fn each_missing_capability_is_named() {
        let sentence = missing_capabilities("CapEff:\t0000008000000000\n").unwrap_or_default();
        assert!(sentence.contains("CAP_PERFMON") && !sentence.contains("CAP_BPF"), "{sentence}");
    }
}
