//! What a node's exporter says: names, labels and kinds of values as node_exporter 1.5 has them on a server with several
//! disks, network devices and file systems.

/// How a value looks and moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing happened, ever.
    Zero,
    /// An info, a flag, a success.
    One,
    /// A size or a number that does not change.
    Still,
    /// An integer counter that moves every second.
    Events,
    /// An integer counter of something rare.
    RareEvents,
    /// A float counter in hundredths of a second.
    Seconds,
    /// A float counter that moves seldom.
    RareSeconds,
    /// A gauge in whole pages, another every second.
    Bytes,
    /// A gauge of some microseconds, all digits of a float.
    Duration,
}

/// Series of one name. `~` in the labels is the number of the device; the labels are taken in turn.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) value: Value,
    /// Its share of the series.
    pub(crate) weight: usize,
}

const CPU: &[&str] = &[
    r#"cpu="~",mode="idle""#,
    r#"cpu="~",mode="iowait""#,
    r#"cpu="~",mode="irq""#,
    r#"cpu="~",mode="nice""#,
    r#"cpu="~",mode="softirq""#,
    r#"cpu="~",mode="steal""#,
    r#"cpu="~",mode="system""#,
    r#"cpu="~",mode="user""#,
];
const DISK: &[&str] = &[r#"device="dm-~",path="pci-0000:c1:00.0-nvme-1",serial="S6CKNT0W7~""#];
const FILES: &[&str] = &[
    r#"device="/dev/mapper/data-lv_volume_~",fstype="ext4",mountpoint="/var/lib/data/volumes/~""#,
    r#"device="tmpfs",fstype="tmpfs",mountpoint="/run/user/~""#,
];
const NET: &[&str] = &[r#"device="enp65s0f~np0""#, r#"device="veth3fa9c0~",namespace="default""#];
const INFO: &[&str] = &[
    r#"address="3c:ec:ef:5e:9a:~",broadcast="ff:ff:ff:ff:ff:ff",device="enp65s0f~np0",duplex="full",operstate="up""#,
];
const INTERRUPTS: &[&str] =
    &[r#"cpu="3",devices="nvme0q~",info="IR-PCI-MSIX-0000:c1:00.0",type="~-edge nvme0q~""#];
const UNITS: &[&str] = &[
    r#"name="container-runtime@~.service",state="activating",type="notify""#,
    r#"name="container-runtime@~.service",state="deactivating",type="notify""#,
    r#"name="container-runtime@~.service",state="failed",type="notify""#,
    r#"name="container-runtime@~.service",state="inactive",type="notify""#,
];
const ACTIVE: &[&str] = &[r#"name="container-runtime@~.service",state="active",type="notify""#];
const COLLECTOR: &[&str] = &[r#"collector="filefd_~""#, r#"collector="netclass_~""#];
const ZONE: &[&str] = &[r#"node="~",zone="Normal""#, r#"node="~",zone="DMA32""#];

macro_rules! families {
    ($($name:literal $kind:literal $labels:ident $value:ident $weight:literal $help:literal;)*) => {
        &[$(Family {
            name: $name, kind: $kind, help: $help, labels: $labels, value: Value::$value, weight: $weight,
        },)*]
    };
}

#[rustfmt::skip]
pub(crate) const FAMILIES: &[Family] = families! {
    "node_cpu_guest_seconds_total" "counter" CPU Zero 20 "Seconds the CPUs spent in guests (VMs) for each mode.";
    "node_cpu_seconds_total" "counter" CPU Seconds 80 "Seconds the CPUs spent in each mode.";
    "node_disk_discarded_sectors_total" "counter" DISK Zero 20 "The total number of sectors discarded successfully.";
    "node_disk_io_time_seconds_total" "counter" DISK RareSeconds 20 "Total seconds spent doing I/Os.";
    "node_disk_read_bytes_total" "counter" DISK RareEvents 20 "The total number of bytes read successfully.";
    "node_disk_written_bytes_total" "counter" DISK Events 20 "The total number of bytes written successfully.";
    "node_filesystem_avail_bytes" "gauge" FILES Bytes 20 "Filesystem space available to non-root users in bytes.";
    "node_filesystem_device_error" "gauge" FILES Zero 40 "Whether an error occurred while getting statistics for the given device.";
    "node_filesystem_files" "gauge" FILES Still 40 "Filesystem total file nodes.";
    "node_filesystem_readonly" "gauge" FILES Zero 40 "Filesystem read-only status.";
    "node_filesystem_size_bytes" "gauge" FILES Still 40 "Filesystem size in bytes.";
    "node_interrupts_total" "counter" INTERRUPTS Zero 60 "Interrupt details.";
    "node_intr_detail_total" "counter" INTERRUPTS RareEvents 60 "Interrupts by source, the busy ones.";
    "node_memory_zone_pages" "gauge" ZONE Bytes 10 "Memory information by zone.";
    "node_network_carrier_changes_total" "counter" NET RareEvents 30 "Network device property: carrier_changes_total";
    "node_network_info" "gauge" INFO One 30 "Non-numeric data from network class, value is always 1.";
    "node_network_mtu_bytes" "gauge" NET Still 30 "Network device property: mtu_bytes";
    "node_network_receive_bytes_total" "counter" NET Events 30 "Network device statistic receive_bytes.";
    "node_network_receive_errs_total" "counter" NET Zero 30 "Network device statistic receive_errs.";
    "node_network_transmit_bytes_total" "counter" NET Events 30 "Network device statistic transmit_bytes.";
    "node_network_transmit_drop_total" "counter" NET Zero 30 "Network device statistic transmit_drop.";
    "node_schedstat_running_seconds_total" "counter" DISK RareSeconds 20 "Seconds spent running a process.";
    "node_scrape_collector_duration_seconds" "gauge" COLLECTOR Duration 40 "node_exporter: Duration of a collector scrape.";
    "node_scrape_collector_success" "gauge" COLLECTOR One 40 "node_exporter: Whether a collector succeeded.";
    "node_systemd_unit_active" "gauge" ACTIVE One 40 "Systemd unit";
    "node_systemd_unit_start_time_seconds" "gauge" ACTIVE Still 40 "Start time of the unit since unix epoch in seconds.";
    "node_systemd_unit_state" "gauge" UNITS Zero 160 "Systemd unit";
};
