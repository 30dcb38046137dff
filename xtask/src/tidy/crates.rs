//! Rules about dependencies.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use crate::{failure::Result, process};

/// Crates of ours that must stay as they are, and all they may depend on.
const CLOSED: [(&str, &[&str]); 3] = [
    ("observer-ebpf/abi/Cargo.toml", &[]),
    ("observer/exposition/Cargo.toml", &[]),
    ("observer/aggregate/Cargo.toml", &["observer-abi", "regex-automata"]),
];

pub(super) fn breaches(files: &[File]) -> Result<Vec<String>> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| &file.text);
    let tree = process::output(process::cargo().args([
        "tree",
        "--workspace",
        "--locked",
        "--duplicates",
        "--depth",
        "0",
        "--prefix",
        "none",
    ]))?;
    let mut found = repeated(&tree, text("deny.toml"));
    let manifests =
        files.iter().filter(|file| file.path.ends_with("/Cargo.toml")).map(|file| file.text.as_str());
    found.extend(unexplained(text("Cargo.toml"), &manifests.collect::<String>(), text("docs/decisions.md")));
    for (manifest, may) in CLOSED {
        let others = dependencies(text(manifest), "[dependencies]").filter(|name| !may.contains(name));
        found.extend(others.map(|name| format!("{manifest}: this crate must not depend on `{name}`")));
    }
    Ok(found)
}

/// Crates that are there in two versions and that deny.toml does not excuse.
fn repeated(tree: &str, deny: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        if let Some((name, rest)) = line.split_once(' ') {
            versions.entry(name).or_default().insert(rest.split(' ').next().unwrap_or(rest));
        }
    }
    let excused = |name: &str, version: &str| {
        deny.contains(&format!("crate = \"{name}@{}\"", version.trim_start_matches('v')))
            || deny.contains(&format!("crate = \"{name}@{}\"", major(version)))
    };
    versions
        .into_iter()
        .filter(|(name, versions)| versions.iter().filter(|version| !excused(name, version)).count() > 1)
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.into_iter().collect();
            format!(
                "`{name}` is there as {}: agree on one, or explain it in deny.toml",
                versions.join(" and ")
            )
        })
        .collect()
}

fn major(version: &str) -> &str {
    let version = version.trim_start_matches('v');
    version.split('.').next().unwrap_or(version)
}

/// Dependencies that one of our crates uses and that nobody gave a reason for.
fn unexplained(workspace: &str, members: &str, decisions: &str) -> Vec<String> {
    dependencies(workspace, "[workspace.dependencies]")
        .filter(|name| {
            members.contains(&format!("\n{name}.workspace")) || members.contains(&format!("\n{name} = "))
        })
        .filter(|name| !name.starts_with("observer-") && !decisions.contains(&format!("| `{name}` |")))
        .map(|name| format!("Cargo.toml: `{name}` has no line in docs/decisions.md"))
        .collect()
}

/// The names in one table of a manifest.
fn dependencies<'a>(manifest: &'a str, table: &str) -> impl Iterator<Item = &'a str> {
    manifest
        .lines()
        .skip_while(move |line| line.trim() != table)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['=', '.', ' ']).next().filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWICE: &str = "syn v2.0.119\n\nsyn v3.0.9\n\nserde_core v1.0.229\n\nserde_core v1.0.229\n";

    #[test]
    fn two_versions_are_found_and_two_feature_sets_are_not() {
        let found = repeated(TWICE, "");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("`syn` is there as v2.0.119 and v3.0.9"), "{found:?}");
    }

    #[test]
    fn explained_versions_are_excused() {
        assert_eq!(repeated(TWICE, "{ crate = \"syn@2\", reason = \"x\" }"), Vec::<String>::new());
    }

    #[test]
    fn another_major_version_is_not_excused() {
        assert_eq!(repeated(TWICE, "{ crate = \"syn@20\", reason = \"x\" }").len(), 1);
    }

    #[test]
    fn each_dependency_needs_a_reason() {
        let workspace =
            "[workspace.dependencies]\nobserver-abi = \"1\"\naya = \"1\"\nlog = \"1\"\nspare = \"1\"\n";
        let members = "[dependencies]\nobserver-abi.workspace = true\naya.workspace = true\nlog = \"1\"\n";
        let found = unexplained(workspace, members, "| `aya` | loads |");
        assert_eq!(found, ["Cargo.toml: `log` has no line in docs/decisions.md"]);
    }

    #[test]
    fn dependencies_end_with_their_table() {
        let manifest =
            "[dependencies]\n# why\na.workspace = true\nb = \"1\"\n\n[dev-dependencies]\nc = \"1\"\n";
        assert_eq!(dependencies(manifest, "[dependencies]").collect::<Vec<_>>(), ["a", "b"]);
    }
}
