//! How much memory there is for the agent: the machine's, or less where a cgroup says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is taken if neither the machine nor a cgroup says anything.
const UNKNOWN: usize = 1 << 30;

/// Half of the memory there is, in bytes: the other half is for bodies, answers, other programs and the kernel.
pub(crate) fn half() -> usize {
    available(Path::new("/")).unwrap_or(UNKNOWN) / 2
}

/// The smallest of the machine's memory and the limits of the agent's cgroup and those above it.
fn available(root: &Path) -> Option<usize> {
    machine(root).into_iter().chain(cgroups(root)).min()
}

fn machine(root: &Path) -> Option<usize> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// <https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v2.html#memory-interface-files>; in version 1 the file has another
/// name, and a number without meaning for no limit.
fn cgroups(root: &Path) -> Vec<usize> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = root.join("sys/fs/cgroup");
    let of_line = |line: &str| -> Option<(PathBuf, String, &str)> {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_start_matches('/').to_owned();
        match controllers {
            "" => Some((mounts.clone(), path, "memory.max")),
            _ if controllers.split(',').any(|one| one == "memory") => {
                Some((mounts.join("memory"), path, "memory.limit_in_bytes"))
            }
            _ => None,
        }
    };
    let limits = text.lines().filter_map(of_line).flat_map(|(mount, path, file)| {
        // A path above the root of a namespace leads nowhere; the root itself is always looked at.
        let above = Path::new(&path).ancestors().map(|path| mount.join(path).join(file)).collect::<Vec<_>>();
        above.into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
    });
    limits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with these files, and what is available there.
    #[track_caller]
    fn check(name: &str, files: &[(&str, &str)], expected: Option<usize>) {
        let root = std::env::temp_dir().join(format!("observer-memory-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = available(&root);
        // Not there if there were no files.
        let _gone = fs::remove_dir_all(&root);
        assert_eq!(found, expected);
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        4000 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_machine_is_the_limit_where_no_cgroup_has_one() {
        check("none", &[], None);
        check("machine", &[MACHINE], Some(4_096_000));
        let max = [MACHINE, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        check("max", &max, Some(4_096_000));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = [
            MACHINE,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "3000000\n"),
            ("sys/fs/cgroup/a/memory.max", "2000000\n"),
        ];
        check("nested", &files, Some(2_000_000));
        let container = [MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1000000\n")];
        check("container", &container, Some(1_000_000));
    }

    #[test]
    fn version_1_has_a_file_of_another_name() {
        let files = [
            MACHINE,
            ("proc/self/cgroup", "5:cpu:/a\n4:memory:/a\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1500000\n"),
        ];
        check("one", &files, Some(1_500_000));
    }
}
