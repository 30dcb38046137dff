//! Field offsets of the running kernel, from its BTF, for the programs' globals.

use std::{fs, io, path::Path};

use super::btf::{self, Struct, Types};

/// One global of the programs and the fields whose offsets add up to it: `struct.member`, from the outside in.
struct Field {
    global: &'static str,
    path: &'static [(&'static str, &'static str)],
    /// What is missing without it; `None` for a field nothing works without.
    degrades: Option<&'static str>,
}

const fn field(global: &'static str, path: &'static [(&'static str, &'static str)]) -> Field {
    Field { global, path, degrades: None }
}

/// Every field the programs read. A path crosses embedded structs; anonymous ones are looked through.
const FIELDS: &[Field] = &[
    field("SK_FAMILY", &[("sock_common", "skc_family")]),
    field("SK_STATE", &[("sock_common", "skc_state")]),
    field("SK_DADDR", &[("sock_common", "skc_daddr")]),
    field("SK_RCV_SADDR", &[("sock_common", "skc_rcv_saddr")]),
    field("SK_DPORT", &[("sock_common", "skc_dport")]),
    field("SK_NUM", &[("sock_common", "skc_num")]),
    field("SK_V6_DADDR", &[("sock_common", "skc_v6_daddr")]),
    field("SK_V6_RCV_SADDR", &[("sock_common", "skc_v6_rcv_saddr")]),
    field("SK_NET", &[("sock_common", "skc_net")]),
    field("SK_COOKIE", &[("sock_common", "skc_cookie")]),
    field("SK_FLAGS", &[("sock_common", "skc_flags")]),
    field("SK_PROTOCOL", &[("sock", "sk_protocol")]),
    field("SK_ERR", &[("sock", "sk_err")]),
    field("SK_SHUTDOWN", &[("sock", "sk_shutdown")]),
    field("SK_ACK_BACKLOG", &[("sock", "sk_ack_backlog")]),
    field("SK_MAX_ACK_BACKLOG", &[("sock", "sk_max_ack_backlog")]),
    Field { global: "SK_DROPS", path: &[("sock", "sk_drops")], degrades: Some("listen_overflows") },
    field("NET_INUM", &[("net", "ns"), ("ns_common", "inum")]),
    field("ICSK_CA_STATE", &[("inet_connection_sock", "icsk_ca_state")]),
    field("TP_SRTT_US", &[("tcp_sock", "srtt_us")]),
    field("TP_RTT_MIN", &[("tcp_sock", "rtt_min"), ("minmax", "s"), ("minmax_sample", "v")]),
    field("TP_TOTAL_RETRANS", &[("tcp_sock", "total_retrans")]),
    field("TP_BYTES_SENT", &[("tcp_sock", "bytes_sent")]),
    field("TP_BYTES_RETRANS", &[("tcp_sock", "bytes_retrans")]),
    field("TP_BYTES_RECEIVED", &[("tcp_sock", "bytes_received")]),
    field("TP_CLOCK_CACHE", &[("tcp_sock", "tcp_clock_cache")]),
    field("TP_FIRST_TX", &[("tcp_sock", "first_tx_mstamp")]),
    field("TP_COPIED_SEQ", &[("tcp_sock", "copied_seq")]),
    field("TP_RCVQ_TIME", &[("tcp_sock", "rcvq_space"), ("tcp_sock.rcvq_space", "time")]),
    field("TASK_GROUP_LEADER", &[("task_struct", "group_leader")]),
    field("TASK_COMM", &[("task_struct", "comm")]),
    field("TASK_TGID", &[("task_struct", "tgid")]),
    field("TASK_CGROUPS", &[("task_struct", "cgroups")]),
    field("CSS_SET_CGROUP", &[("css_set", "dfl_cgrp")]),
    field("CGROUP_KN", &[("cgroup", "kn")]),
    field("KERNFS_ID", &[("kernfs_node", "id")]),
    field("TASK_FILES", &[("task_struct", "files")]),
    field("FILES_FDT", &[("files_struct", "fdt")]),
    field("FDT_FD", &[("fdtable", "fd")]),
    field("FDT_MAX_FDS", &[("fdtable", "max_fds")]),
    field("FILE_PRIVATE", &[("file", "private_data")]),
    field("SOCKET_SK", &[("socket", "sk")]),
    field("SOCKET_STATE", &[("socket", "state")]),
];

/// Why the offsets could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OffsetsError {
    /// The kernel has no BTF.
    #[error("the kernel offers no type information at `{path}`: it needs CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf {
        path: String,
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error(transparent)]
    Malformed(#[from] btf::Malformed),
    /// A field is missing.
    #[error("the kernel's type information has no `{field}`")]
    Missing { field: String },
}

/// The offsets, by the name of the global that takes each.
#[derive(Debug)]
pub(crate) struct Offsets {
    pub(crate) globals: Vec<(&'static str, u32)>,
    /// Features that have to do without a field.
    pub(crate) degraded: Vec<(&'static str, String)>,
}

/// Reads the kernel's type information.
pub(super) fn open(path: &Path) -> Result<Types, OffsetsError> {
    let blob =
        fs::read(path).map_err(|source| OffsetsError::NoBtf { path: path.display().to_string(), source })?;
    Ok(Types::parse(blob)?)
}

/// The offsets of every field the programs read.
pub(super) fn offsets(types: &Types) -> Result<Offsets, OffsetsError> {
    let mut offsets = Offsets { globals: Vec::with_capacity(FIELDS.len()), degraded: Vec::new() };
    for Field { global, path, degrades } in FIELDS {
        match (resolve(types, path), degrades) {
            (Ok(offset), _) => offsets.globals.push((global, offset)),
            (Err(error), Some(feature)) => {
                offsets.globals.push((global, u32::MAX));
                offsets.degraded.push((feature, error.to_string()));
            }
            (Err(error), None) => return Err(error),
        }
    }
    Ok(offsets)
}

fn resolve(types: &Types, path: &[(&str, &str)]) -> Result<u32, OffsetsError> {
    let mut bytes = 0;
    for (holder, name) in path {
        let missing = || OffsetsError::Missing { field: format!("{holder}.{name}") };
        // `outer.inner`: the struct without a name of its own that is `inner`'s type.
        let found = match holder.split_once('.') {
            None => types.structs(holder).find_map(|s| member(types, s, name)),
            Some((outer, inner)) => types
                .structs(outer)
                .find_map(|s| types.members(s).find(|m| m.name == inner.as_bytes()))
                .and_then(|m| member(types, types.inner(&m)?, name)),
        };
        bytes += found.ok_or_else(missing)?;
    }
    Ok(bytes)
}

/// The byte offset of a member, looked for in anonymous structs and unions too.
fn member(types: &Types, holder: Struct, name: &str) -> Option<u32> {
    types.members(holder).find_map(|m| match m.name {
        found if found == name.as_bytes() => Some(m.offset),
        [] => Some(m.offset + member(types, types.inner(&m)?, name)?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        open(Path::new("/sys/kernel/btf/vmlinux")).expect("the running kernel has BTF")
    }

    #[test]
    fn every_field_is_found_in_the_running_kernel() {
        let offsets = offsets(&types()).expect("every field");
        assert_eq!(offsets.globals.len(), FIELDS.len());
        assert!(offsets.degraded.is_empty(), "{:?}", offsets.degraded);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = resolve(&types(), &[("sock", "no_such_field")]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel's type information has no `sock.no_such_field`");
    }

    #[test]
    fn tracepoints_are_told_apart() {
        let types = types();
        assert!(types.has_tracepoint("inet_sock_set_state"));
        assert!(!types.has_tracepoint("no_such_tracepoint"));
    }
}
