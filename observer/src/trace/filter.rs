//! From the command line to what the kernel programs compare.

use std::{
    net::{IpAddr, Ipv6Addr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use observer_abi::{
    class::{CloseOutcome, Outcome},
    filter::{Filter, NETWORKS, Network, PORTS, halves},
};

/// What a user wants to see.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct FilterArgs {
    /// Local or remote port; may be repeated.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Vec<u16>,
    /// Local or remote address or network, such as 10.0.0.0/8 or fd00::/8; may be repeated.
    #[arg(long, value_name = "ADDR[/LEN]", value_parser = network)]
    pub(crate) addr: Vec<Network>,
    /// Owning process.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Owning process's name.
    #[arg(long, value_name = "NAME", value_parser = comm)]
    pub(crate) comm: Option<[u8; 16]>,
    /// Owner's cgroup: a path below the cgroup v2 mount, or an id.
    #[arg(long, value_name = "PATH|ID", value_parser = cgroup)]
    pub(crate) cgroup: Option<u64>,
    /// Rows with this outcome; may be repeated.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    pub(crate) outcome: Vec<u32>,
    /// Rows with any outcome but success and closed.
    #[arg(long, conflicts_with = "outcome")]
    pub(crate) failed: bool,
    /// Connects that took at least this long, and closes whose slowest exchange did, such as 20ms.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) min_latency: Option<Duration>,
}

/// Why the filter cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("at most {PORTS} ports can be named, not {0}")]
    Ports(usize),
    #[error("at most {NETWORKS} networks can be named, not {0}")]
    Networks(usize),
}

impl FilterArgs {
    /// The filter, or `None` when everything is wanted.
    pub(crate) fn build(&self) -> Result<Option<Filter>, FilterError> {
        let Self { port, addr, pid, comm, cgroup, outcome, failed, min_latency } = self;
        let mut filter = Filter::default();
        if port.len() > PORTS {
            return Err(FilterError::Ports(port.len()));
        }
        if addr.len() > NETWORKS {
            return Err(FilterError::Networks(addr.len()));
        }
        filter.ports[..port.len()].copy_from_slice(port);
        filter.networks[..addr.len()].copy_from_slice(addr);
        // Both are small.
        filter.port_count = u32::try_from(port.len()).unwrap_or(0);
        filter.network_count = u32::try_from(addr.len()).unwrap_or(0);
        filter.pid = pid.unwrap_or(0);
        filter.cgroup = cgroup.unwrap_or(0);
        if let Some(comm) = comm {
            let (a, b) = comm.split_at(8);
            filter.comm = [a, b].map(|half| u64::from_ne_bytes(half.try_into().unwrap_or_default()));
        }
        filter.outcomes = if *failed { FAILED } else { outcome.iter().fold(0, |all, bits| all | bits) };
        filter.min_latency_ns = min_latency.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let any = Filter::default();
        filter.active = u32::from(filter != any);
        Ok((filter != any).then_some(filter))
    }
}

const fn connect_bit(outcome: Outcome) -> u32 {
    1 << outcome as u32
}

const fn close_bit(outcome: CloseOutcome) -> u32 {
    1 << (16 + outcome as u32)
}

/// Every outcome but `success` and `closed`.
const FAILED: u32 = {
    let mut bits = 0;
    let mut i = 0;
    while i < Outcome::COUNT {
        bits |= connect_bit(Outcome::ALL[i]);
        i += 1;
    }
    let mut i = 0;
    while i < CloseOutcome::COUNT {
        bits |= close_bit(CloseOutcome::ALL[i]);
        i += 1;
    }
    bits & !connect_bit(Outcome::Success) & !close_bit(CloseOutcome::Closed)
};

fn outcome(text: &str) -> Result<u32, String> {
    let connects = Outcome::ALL.into_iter().filter(|o| o.as_str() == text).map(connect_bit);
    let closes = CloseOutcome::ALL.into_iter().filter(|o| o.as_str() == text).map(close_bit);
    match connects.chain(closes).fold(0, |all, bit| all | bit) {
        0 => {
            let mut names: Vec<_> = Outcome::ALL.map(Outcome::as_str).into();
            names.extend(CloseOutcome::ALL.map(CloseOutcome::as_str));
            names.sort_unstable();
            names.dedup();
            Err(format!("expected one of {}", names.join(", ")))
        }
        bits => Ok(bits),
    }
}

fn network(text: &str) -> Result<Network, String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no IPv4 or IPv6 address"))?;
    let (v6, most): (Ipv6Addr, u32) = match address {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 32),
        IpAddr::V6(v6) => (v6, 128),
    };
    let length = match length {
        None => most,
        Some(length) => length
            .parse()
            .ok()
            .filter(|l| *l <= most)
            .ok_or_else(|| format!("`{length}` is no prefix length of 0 to {most}"))?,
    };
    // An IPv4 prefix lies behind the 96 bits of the mapped form.
    let bits = 128 - most + length;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    let network = u128::from(v6) & mask;
    Ok(Network { address: halves(&network.to_be_bytes()), mask: halves(&mask.to_be_bytes()) })
}

fn comm(text: &str) -> Result<[u8; 16], String> {
    // The kernel keeps 15 bytes and a zero.
    if text.is_empty() || text.len() > 15 {
        return Err("a process name has 1 to 15 bytes".to_owned());
    }
    let mut comm = [0; 16];
    comm[..text.len()].copy_from_slice(text.as_bytes());
    Ok(comm)
}

/// The id of a cgroup is its directory's inode number.
fn cgroup(text: &str) -> Result<u64, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let path = Path::new(text);
    let path = match cgroup_mount() {
        _ if path.is_dir() && path.is_absolute() => path.to_owned(),
        Some(mount) => mount.join(text.trim_start_matches('/')),
        None => return Err("no cgroup v2 file system is mounted".to_owned()),
    };
    path.metadata().map(|m| m.ino()).map_err(|e| format!("no cgroup at `{}`: {e}", path.display()))
}

fn cgroup_mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| path.into())
    })
}

/// `250us`, `20ms`, `10s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a number with a unit of us, ms, s, m or h, such as 500ms".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use observer_abi::record::Identity;

    use super::*;

    fn peer(text: &str) -> Identity {
        let address = match text.parse().unwrap() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Identity { peer: address.octets(), ..Identity::default() }
    }

    #[track_caller]
    fn check(net: &str, address: &str, fits: bool) {
        let args = FilterArgs { addr: vec![network(net).unwrap()], ..FilterArgs::default() };
        assert_eq!(args.build().unwrap().unwrap().ends(&peer(address)), fits, "{net} {address}");
    }

    #[test]
    fn networks_hold_what_they_should() {
        check("10.0.0.0/8", "10.9.8.7", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.4", false);
        check("fd00::/8", "fd99::2", true);
        check("fd00::/8", "10.0.0.1", false);
        check("::/0", "fd99::2", true);
        check("0.0.0.0/0", "10.0.0.1", true);
        check("0.0.0.0/0", "fd99::2", false);
    }
    #[test]
    fn bad_networks_say_what_is_wrong() {
        assert_eq!(network("10.0.0.0/33").unwrap_err(), "`33` is no prefix length of 0 to 32");
        assert_eq!(network("ten").unwrap_err(), "`ten` is no IPv4 or IPv6 address");
    }
    #[test]
    fn no_flag_is_no_filter() {
        assert_eq!(FilterArgs::default().build().unwrap(), None);
    }
    #[test]
    fn failed_hides_success_and_closed_only() {
        let filter = FilterArgs { failed: true, ..FilterArgs::default() }.build().unwrap().unwrap();
        for o in Outcome::ALL {
            assert_eq!(filter.outcome(o as u32, 0), o != Outcome::Success);
        }
        for o in CloseOutcome::ALL {
            assert_eq!(filter.outcome(16 + o as u32, 0), o != CloseOutcome::Closed);
        }
    }
    #[test]
    fn one_name_may_stand_for_two_outcomes() {
        assert_eq!(outcome("reset").unwrap().count_ones(), 2);
        assert!(outcome("rest").unwrap_err().starts_with("expected one of canceled, closed"));
    }
    #[test]
    fn too_many_ports_are_refused() {
        let args = FilterArgs { port: vec![1; 9], ..FilterArgs::default() };
        assert_eq!(args.build().unwrap_err().to_string(), "at most 8 ports can be named, not 9");
    }
    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250us").unwrap(), Duration::from_micros(250));
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert!(duration("5").is_err());
    }
}
