//! The unit under a real systemd.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use observer_tests::machine::{Machine, root_tree};

const UNIT: &str = "/etc/systemd/system/observer.service";
const BINARY: &str = "/usr/bin/observer";

/// CAP_PERFMON and CAP_BPF, as /proc/PID/status has them.
const TWO_CAPABILITIES: &str = "000000c000000000";

#[test]
fn unit_has_no_errors_and_little_exposure() {
    if is_missing() {
        return;
    }
    let sh = machine();
    // Unknown keys are printed, and the exit code is still 0.
    assert_eq!(sh(&format!("systemd-analyze verify --man=no {UNIT}")), "");
    sh(&format!("systemd-analyze security --offline=true --threshold=25 --no-pager {UNIT}"));
}

#[test]
fn unit_starts_restarts_and_stops() {
    if is_missing() {
        return;
    }
    let sh = machine();
    let show = |property: &str| sh(&format!("systemctl show --property={property} --value observer"));
    let is_ready = || {
        for page in ["live", "ready"] {
            sh(&format!(
                "curl -sf --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1:9435/{page}"
            ));
        }
    };

    sh("systemctl start observer");
    is_ready();
    let first = show("MainPID");
    let status = sh(&format!("cat /proc/{first}/status"));
    assert_eq!(field(&status, "CapEff:"), [TWO_CAPABILITIES]);
    assert_ne!(field(&status, "Uid:")[0], "0");
    assert_eq!(sh("stat -c %a /run/observer/"), "750");

    // A crash.
    sh(&format!("kill -KILL {first}"));
    sh(
        "timeout 20 bash -c 'until [ $(systemctl show --property=NRestarts --value observer) = 1 ]; do sleep 0.1; done'",
    );
    is_ready();
    let second = show("MainPID");
    assert_ne!(second, first);

    sh("systemctl restart observer");
    is_ready();
    assert_ne!(show("MainPID"), second);

    sh("timeout 10 systemctl stop observer");
    assert_eq!(show("ActiveState"), "inactive");
    assert_eq!(show("Result"), "success");
    assert_eq!(show("ExecMainStatus"), "0");
    sh("[ ! -e /run/observer ]");
}

/// A machine with the unit and the agent installed. Gives what a command there prints; one that fails ends the test.
fn machine() -> impl Fn(&str) -> String {
    let machine = Machine::boot(&[(&unit(), UNIT), (&binary(), BINARY)]).expect("boots");
    move |script| {
        let output = machine.sh(script).expect("nsenter runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        if !output.status.success() {
            let journal = machine.sh("journalctl --no-pager -n 50 -u observer").expect("nsenter runs");
            panic!("{script}\n{said}\n{}", String::from_utf8_lossy(&journal.stdout));
        }
        said
    }
}

fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().collect()
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/observer.service")
}

/// The binary under test: the one named, or the one beside the tests.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("OBSERVER_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("has a path");
    test.ancestors().nth(2).expect("is in target/PROFILE/deps").join("observer")
}

/// On CI everything is there, or the test fails; on another machine it is skipped, with a reason.
fn is_missing() -> bool {
    let nspawn = Command::new("systemd-nspawn").arg("--version").output().is_ok();
    if nspawn && root_tree().is_dir() {
        return false;
    }
    let reason = "systemd-nspawn or its root tree is missing: `cargo xtask setup --tests` installs them";
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    true
}
