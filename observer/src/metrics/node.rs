//! Node metrics, under the names node_exporter gives them.

use observer_aggregate::family::Kind;

use super::{Group, Metric};

pub(crate) const GROUP: Group = Group {
    title: "The node, from `/proc`",
    note: "Under node_exporter's names, so that its dashboards and alerts work. Where a scraped target already exports them, the \
           agent's own collector is silent: see `observer_node_collector_yielded`.",
    metrics: &[
        TIME,
        CPU,
        LOAD,
        MEMORY,
        MEMORY_PAGES,
        PRESSURE,
        FILEFD,
        NETWORK,
        SOCKSTAT,
        SOCKSTAT_BYTES,
        NETSTAT,
        UNAME,
    ],
};

/// One row a field of a file, whose name is the field's.
macro_rules! fields {
    ($kind:ident $prefix:literal $suffix:literal $labels:expr, $help:literal: $($field:literal)*) => {
        &[$(Metric {
            name: concat!($prefix, $field, $suffix),
            kind: Kind::$kind,
            labels: $labels,
            help: concat!($help, " `", $field, "`."),
        }),*]
    };
}

pub(crate) const CPU: &[Metric] = &[
    counter("node_cpu_seconds", &["cpu", "mode"], "CPU time by mode."),
    counter(
        "node_cpu_guest_seconds",
        &["cpu", "mode"],
        "CPU time given to guests, which `user` and `nice` contain as well.",
    ),
    gauge("node_boot_time_seconds", &[], "When the node booted, in seconds since the Unix epoch."),
    counter("node_intr", &[], "Interrupts serviced."),
    counter("node_context_switches", &[], "Context switches."),
    counter("node_forks", &[], "Processes and threads created."),
    gauge("node_procs_running", &[], "Processes able to run."),
    gauge("node_procs_blocked", &[], "Processes blocked on I/O."),
];

pub(crate) const LOAD: &[Metric] = &[
    gauge("node_load1", &[], "Load average over one minute."),
    gauge("node_load5", &[], "Load average over five minutes."),
    gauge("node_load15", &[], "Load average over fifteen minutes."),
];

pub(crate) const TIME: &[Metric] =
    &[gauge("node_time_seconds", &[], "The node's clock, in seconds since the Unix epoch.")];

pub(crate) const FILEFD: &[Metric] = &[
    gauge("node_filefd_allocated", &[], "File handles in use."),
    gauge("node_filefd_maximum", &[], "How many file handles there may be."),
];

pub(crate) const PRESSURE: &[Metric] = &[
    counter("node_pressure_cpu_waiting_seconds", &[], "Time in which some task waited for a CPU."),
    counter("node_pressure_io_waiting_seconds", &[], "Time in which some task waited for I/O."),
    counter("node_pressure_io_stalled_seconds", &[], "Time in which all tasks waited for I/O."),
    counter("node_pressure_memory_waiting_seconds", &[], "Time in which some task waited for memory."),
    counter("node_pressure_memory_stalled_seconds", &[], "Time in which all tasks waited for memory."),
];

pub(crate) const UNAME: &[Metric] = &[Metric {
    name: "node_uname",
    kind: Kind::Info,
    labels: &["sysname", "release", "version", "machine", "nodename", "domainname"],
    help: "The running kernel and the node's name.",
}];

/// The fields of `/proc/meminfo`.
pub(crate) const MEMORY: &[Metric] = fields![Gauge "node_memory_" "_bytes" &[], "Memory:":
    "MemTotal" "MemFree" "MemAvailable" "Buffers" "Cached" "SwapCached" "Active" "Inactive"
    "Active_anon" "Inactive_anon" "Active_file" "Inactive_file" "Unevictable" "Mlocked"
    "SwapTotal" "SwapFree" "Zswap" "Zswapped" "Dirty" "Writeback" "AnonPages" "Mapped" "Shmem"
    "KReclaimable" "Slab" "SReclaimable" "SUnreclaim" "KernelStack" "PageTables" "SecPageTables"
    "NFS_Unstable" "Bounce" "WritebackTmp" "CommitLimit" "Committed_AS" "VmallocTotal"
    "VmallocUsed" "VmallocChunk" "Percpu" "Balloon" "HardwareCorrupted" "AnonHugePages" "ShmemHugePages"
    "ShmemPmdMapped" "FileHugePages" "FilePmdMapped" "CmaTotal" "CmaFree" "Hugepagesize" "Hugetlb"
    "DirectMap4k" "DirectMap2M" "DirectMap1G"
];

/// Those that count pages.
pub(crate) const MEMORY_PAGES: &[Metric] = fields![Gauge "node_memory_" "" &[], "Memory, in huge pages:":
    "HugePages_Total" "HugePages_Free" "HugePages_Rsvd" "HugePages_Surp"
];

/// The columns of `/proc/net/dev`, in its order.
pub(crate) const NETWORK: &[Metric] = fields![Counter "node_network_" "" &["device"], "Network device:":
    "receive_bytes" "receive_packets" "receive_errs" "receive_drop" "receive_fifo" "receive_frame"
    "receive_compressed" "receive_multicast" "transmit_bytes" "transmit_packets" "transmit_errs"
    "transmit_drop" "transmit_fifo" "transmit_colls" "transmit_carrier" "transmit_compressed"
];

/// Fields of `/proc/net/snmp`, `snmp6` and `netstat`: what node_exporter exports by default, and what explains a TCP problem.
pub(crate) const NETSTAT: &[Metric] = fields![Unknown "node_netstat_" "" &[], "Network stack:":
    "Tcp_ActiveOpens" "Tcp_PassiveOpens" "Tcp_AttemptFails" "Tcp_EstabResets" "Tcp_CurrEstab"
    "Tcp_InSegs" "Tcp_OutSegs" "Tcp_RetransSegs" "Tcp_InErrs" "Tcp_OutRsts"
    "TcpExt_SyncookiesSent" "TcpExt_SyncookiesRecv" "TcpExt_SyncookiesFailed"
    "TcpExt_ListenOverflows" "TcpExt_ListenDrops" "TcpExt_TCPSynRetrans" "TcpExt_TCPTimeouts"
    "TcpExt_TCPLostRetransmit" "TcpExt_TCPFastRetrans" "TcpExt_TCPSlowStartRetrans"
    "TcpExt_TCPSpuriousRTOs" "TcpExt_TCPOFOQueue" "TcpExt_TCPRcvQDrop" "TcpExt_TCPBacklogDrop"
    "TcpExt_TCPReqQFullDrop" "TcpExt_TCPReqQFullDoCookies" "TcpExt_TCPAbortOnData"
    "TcpExt_TCPAbortOnClose" "TcpExt_TCPAbortOnMemory" "TcpExt_TCPAbortOnTimeout"
    "TcpExt_TCPAbortOnLinger" "TcpExt_TCPAbortFailed" "TcpExt_TCPMemoryPressures"
    "TcpExt_TCPZeroWindowDrop" "TcpExt_TCPFromZeroWindowAdv" "TcpExt_TCPToZeroWindowAdv"
    "TcpExt_PruneCalled" "TcpExt_TW" "TcpExt_TCPTimeWaitOverflow" "Ip_Forwarding" "Ip6_InOctets"
    "Ip6_OutOctets" "IpExt_InOctets" "IpExt_OutOctets" "Icmp_InMsgs" "Icmp_OutMsgs"
    "Icmp_InErrors" "Icmp6_InMsgs" "Icmp6_OutMsgs" "Icmp6_InErrors" "Udp_InDatagrams"
    "Udp_OutDatagrams" "Udp_NoPorts" "Udp_InErrors" "Udp_RcvbufErrors" "Udp_SndbufErrors"
    "Udp6_InDatagrams" "Udp6_OutDatagrams" "Udp6_NoPorts" "Udp6_InErrors" "Udp6_RcvbufErrors"
    "Udp6_SndbufErrors" "UdpLite_InErrors" "UdpLite6_InErrors"
];

/// The fields of `/proc/net/sockstat` and `sockstat6`.
pub(crate) const SOCKSTAT: &[Metric] = fields![Gauge "node_sockstat_" "" &[], "Sockets:":
    "sockets_used" "TCP_inuse" "TCP_orphan" "TCP_tw" "TCP_alloc" "TCP_mem" "UDP_inuse" "UDP_mem" "UDPLITE_inuse" "RAW_inuse" "FRAG_inuse" "FRAG_memory"
    "TCP6_inuse" "UDP6_inuse" "UDPLITE6_inuse" "RAW6_inuse" "FRAG6_inuse" "FRAG6_memory"
];

/// Those of them that count pages, in bytes.
pub(crate) const SOCKSTAT_BYTES: &[Metric] =
    fields![Gauge "node_sockstat_" "_mem_bytes" &[], "Memory of sockets:": "TCP" "UDP"];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}
