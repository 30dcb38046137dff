use std::{fmt::Write as _, fs, path::PathBuf};

use super::*;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/proc")
}

/// One reading, a sample a line.
fn render(node: &mut Node, is_scraped: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for family in node.read(1_700_000_000_250, is_scraped) {
        for sample in &family.samples {
            let _ = writeln!(
                text,
                "{}{} {{{}}} {}",
                family.name,
                sample.suffix.as_str(),
                sample.labels,
                sample.value
            );
        }
    }
    text
}

/// The first reading of a root.
fn read(root: &Path, is_scraped: impl Fn(&str) -> bool) -> String {
    render(&mut Node::new(root, &Options::default()), is_scraped)
}

/// A root in which a test may break things.
struct Copy(PathBuf);

impl Copy {
    fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("observer-{test}-{}", std::process::id()));
        let copied = std::process::Command::new("cp").arg("-r").arg(fixture()).arg(&root).status();
        assert!(copied.is_ok_and(|status| status.success()));
        Self(root)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.join(path), text).expect("the copy is ours");
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file with this text, or none, silences its collector and no other.
#[track_caller]
fn check_gap(test: &str, path: &str, text: Option<&str>, collector: &str, absent: &str) {
    let copy = Copy::new(test);
    match text {
        Some(text) => copy.write(path, text),
        None => fs::remove_file(copy.0.join(path)).expect("the fixture has it"),
    }
    let page = read(&copy.0, |_| false);
    assert!(!page.contains(absent));
    for name in collectors() {
        let success = u8::from(name != collector);
        let state = format!("observer_node_collector_success {{collector=\"{name}\"}} {success}\n");
        assert!(page.contains(&state), "{state}");
    }
}

/// node_exporter 1.5 gives each of these series the same value when it reads the same root (`--path.procfs`), except for its
/// clock, and for `node_uname_info`, which it takes from the running kernel.
#[test]
fn fixture_reads_as_node_exporter_reads_it() {
    assert_eq!(read(&fixture(), |_| false), include_str!("../../testdata/node.txt"));
}

#[test]
fn unknown_kernel_fields_are_passed_over() {
    let copy = Copy::new("unknown");
    let meminfo = fs::read_to_string(fixture().join("meminfo")).expect("fixture");
    copy.write("meminfo", &format!("{meminfo}FutureField:   7 kB\n"));
    assert_eq!(read(&copy.0, |_| false), read(&fixture(), |_| false));
}

#[test]
fn missing_file_is_a_gap() {
    check_gap("missing", "meminfo", None, "meminfo", "node_memory_");
}

#[test]
fn missing_ipv6_is_no_gap() {
    let copy = Copy::new("ipv4");
    for path in ["net/snmp6", "net/sockstat6"] {
        fs::remove_file(copy.0.join(path)).expect("the fixture has it");
    }
    let page = read(&copy.0, |_| false);
    assert!(page.contains("node_sockstat_TCP_inuse") && !page.contains("node_sockstat_TCP6_inuse"));
    assert!(
        !page.contains("_success {collector=\"netstat\"} 0")
            && !page.contains("_success {collector=\"sockstat\"} 0")
    );
}

#[test]
fn cpu_line_cut_short_is_a_gap() {
    check_gap("cpu", "stat", Some("cpu0 1 2 3\n"), "cpu", "node_cpu_");
}

#[test]
fn word_for_a_number_is_a_gap() {
    check_gap("word", "loadavg", Some("0.1 x 0.3 1/88 12261\n"), "loadavg", "node_load");
}

#[test]
fn values_without_names_are_a_gap() {
    check_gap("pairs", "net/netstat", Some("TcpExt: A B\nIpExt: 1 2\n"), "netstat", "node_netstat_");
}

#[test]
fn columns_that_move_keep_their_values() {
    let copy = Copy::new("columns");
    copy.write("net/netstat", "TcpExt: ListenDrops Unknown TW\nTcpExt: 1 2 3\n");
    let mut node = Node::new(&copy.0, &Options::default());
    let before = render(&mut node, |_| false);
    assert!(before.contains("ListenDrops {} 1\n") && before.contains("TcpExt_TW {} 3\n"));
    copy.write("net/netstat", "MPTcpExt: A\nMPTcpExt: 9\nTcpExt: TW ListenDrops\nTcpExt: 4 5\n");
    let after = render(&mut node, |_| false);
    assert!(after.contains("ListenDrops {} 5\n") && after.contains("TcpExt_TW {} 4\n"));
}

#[test]
fn memory_in_another_unit_is_a_gap() {
    check_gap("unit", "meminfo", Some("MemTotal: 5 MB\n"), "meminfo", "node_memory_");
}

#[test]
fn device_line_cut_short_is_a_gap() {
    check_gap("device", "net/dev", Some("a\nb\n eth0: 1 2 3\n"), "netdev", "node_network_");
}

#[test]
fn gap_ends_when_the_file_is_back() {
    let copy = Copy::new("back");
    fs::rename(copy.0.join("loadavg"), copy.0.join("away")).expect("the copy is ours");
    let mut node = Node::new(&copy.0, &Options::default());
    assert!(!render(&mut node, |_| false).contains("node_load1"));
    fs::rename(copy.0.join("away"), copy.0.join("loadavg")).expect("the copy is ours");
    assert!(render(&mut node, |_| false).contains("node_load1"));
}

#[test]
fn collector_yields_to_a_target_and_comes_back() {
    let mut node = Node::new(&fixture(), &Options::default());
    let scraped = render(&mut node, |name| name == "node_cpu_seconds");
    assert!(!scraped.contains("node_cpu_seconds") && !scraped.contains("node_boot_time_seconds"));
    assert!(scraped.contains("node_load1"));
    assert!(scraped.contains("observer_node_collector_yielded {collector=\"cpu\"} 1"));
    assert!(!scraped.contains("observer_node_collector_success {collector=\"cpu\"}"));
    assert!(render(&mut node, |_| false).contains("node_cpu_seconds_total"));
}

#[test]
fn collector_that_must_not_yield_does_not() {
    let options = Options { collectors: vec!["loadavg".into()], yields: false };
    let mut node = Node::new(&fixture(), &options);
    let page = render(&mut node, |_| true);
    assert!(page.contains("node_load1") && !page.contains("node_cpu"));
}

#[test]
fn file_longer_than_the_buffer_is_read_whole() {
    let copy = Copy::new("long");
    let head = "Inter-|\n face |\n";
    let devices: String =
        (0..500).map(|n| format!("veth{n}: {n} 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")).collect();
    copy.write("net/dev", &format!("{head}{devices}"));
    let page = read(&copy.0, |_| false);
    assert!(page.contains("node_network_receive_bytes_total {device=\"veth499\"} 499\n"));
    assert_eq!(page.matches("node_network_transmit_compressed_total").count(), 500);
}

/// On the machine the test runs on, whatever it is: every collector but `pressure` works everywhere.
#[test]
fn live_proc_is_read_again_and_again() {
    let mut node = Node::new(Path::new("/proc"), &Options::default());
    for _ in 0..3 {
        let page = render(&mut node, |_| false);
        for name in collectors().filter(|&name| name != "pressure") {
            assert!(page.contains(&format!("_success {{collector=\"{name}\"}} 1\n")), "{name}");
        }
    }
}
