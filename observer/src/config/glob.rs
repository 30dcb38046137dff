//! Paths with `*` in their last part.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files that a pattern names, sorted. Without `*` the path itself, whether it exists or not.
pub(crate) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*'))
    else {
        return vec![pattern.to_owned()];
    };
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that cannot be read has no files; it may come to be.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let file = entry.ok()?.file_name();
            let file = file.to_str()?;
            // As in a shell, a hidden file has to be asked for.
            (file.starts_with('.') == name.starts_with('.') && matches(name, file)).then(|| folder.join(file))
        })
        .collect();
    paths.sort();
    paths
}

/// Whether `*` stands for any text, and the rest for itself.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().any(|(at, _)| matches(after, &rest[at..])) || matches(after, "")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("*.yml", "a.yaml", false),
            ("a*", "a", true),
            ("a*b*c", "abxbc", true),
            ("a*b*c", "abxb", false),
            ("*", "é", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn files_are_found_in_order() {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config"));
        let found = expand(&folder.join("g*.rs"));
        assert_eq!(found, [folder.join("glob.rs"), folder.join("group.rs")]);
        assert!(expand(&folder.join("none*.rs")).is_empty());
        assert_eq!(expand(Path::new("/none/x.yml")), [PathBuf::from("/none/x.yml")]);
        assert!(expand(Path::new("/none/*.yml")).is_empty());
    }
}
