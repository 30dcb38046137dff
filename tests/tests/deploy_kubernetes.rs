//! The manifest against the schemas of every Kubernetes that people run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const MANIFEST: &str = include_str!("../../deploy/kubernetes/daemonset.yaml");

#[test]
fn manifest_is_valid_from_1_25_to_1_37() {
    for minor in 25..=37 {
        let Some(output) = validate(&manifest(), minor) else { return };
        assert!(output.status.success(), "1.{minor}: {}", said(&output));
    }
}

#[test]
fn misspelt_keys_are_found() {
    let misspelt = std::env::temp_dir().join(format!("observer-misspelt-{}.yaml", std::process::id()));
    std::fs::write(&misspelt, MANIFEST.replace("hostNetwork:", "hostNetworks:")).expect("writes");
    let output = validate(&misspelt, 30);
    std::fs::remove_file(&misspelt).expect("removes");
    let Some(output) = output else { return };
    assert!(!output.status.success() && said(&output).contains("hostNetworks"), "{}", said(&output));
}

/// What the resource of exports over OTLP is made of; see docs/otlp.md.
#[test]
fn the_agent_is_told_where_it_runs() {
    for name in ["NODE_NAME", "POD_NAME", "POD_NAMESPACE", "POD_UID"] {
        assert!(MANIFEST.contains(&format!("- name: {name}\n              valueFrom:")), "{name}");
    }
}

#[test]
fn image_is_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(MANIFEST.contains(&format!("image: ghcr.io/observer-agent/observer:{version}\n")));
    assert_eq!(MANIFEST.matches(&format!("app.kubernetes.io/version: {version}\n")).count(), 2);
}

/// Checks a manifest, unknown keys included. `None` if nothing here can do that, which on CI is a failure.
fn validate(manifest: &Path, minor: u32) -> Option<Output> {
    let tool = root().join(".tools/venv/bin/kubernetes-validate");
    if !tool.is_file() {
        let reason = "kubernetes-validate is missing: `cargo xtask setup --tests` installs it";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let version = format!("1.{minor}.0");
    Some(Command::new(tool).args(["--strict", "-k", &version]).arg(manifest).output().expect("runs"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn manifest() -> PathBuf {
    root().join("deploy/kubernetes/daemonset.yaml")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
