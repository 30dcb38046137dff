//! Kernels of other Debians. Nothing of this machine's own package lists changes.

use std::path::{Path, PathBuf};

use super::Kernel;
use crate::{
    failure::{Failure, Result},
    process,
    suite::{Apt, files},
    workspace,
};

/// The kernel built for virtual machines: small, and all that it needs to boot is built in.
const META: &str = "linux-image-cloud-amd64";

/// The bootable image, downloaded once.
pub(super) fn fetch(kernel: &Kernel) -> Result<PathBuf> {
    let dir = workspace::tools().join("kernels").join(kernel.name);
    if let Some(image) = image(&dir) {
        return Ok(image);
    }
    let apt = Apt::new(kernel.suite, dir.join("apt"))?;
    eprintln!("vm: downloading the kernel of {} into .tools", kernel.suite);
    let package = package(&apt)?;
    apt.unpack(&package, &dir)?;
    image(&dir).ok_or_else(|| Failure::new(format!("`{package}` has no kernel in it")))
}

/// The package with the image in it.
fn package(apt: &Apt) -> Result<String> {
    let mut package = META.to_owned();
    // The first names the second; since 7.0 that one names a third.
    for part in ["linux-image-", "linux-binary-"] {
        let shown = process::output(apt.command("apt-cache").args(["show", "--no-all-versions", &package]))?;
        if let Some(next) = depended(&shown, part) {
            package = next.to_owned();
        }
    }
    Ok(package)
}

/// The first dependency whose name starts like that.
fn depended<'a>(shown: &'a str, part: &str) -> Option<&'a str> {
    let line = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    line.split([',', '|', ' ']).find(|word| word.starts_with(part))
}

/// Newer packages have it beside the modules.
fn image(dir: &Path) -> Option<PathBuf> {
    let modules = files(&dir.join("usr/lib/modules"));
    let places = modules.iter().flat_map(|release| files(release));
    files(&dir.join("boot"))
        .into_iter()
        .chain(places)
        .find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_named_by_the_package_for_the_newest() {
        let shown =
            "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n";
        assert_eq!(depended(shown, "linux-image-"), Some("linux-image-6.1.0-50-cloud-amd64"));
    }

    #[test]
    fn older_images_have_no_second_package() {
        assert_eq!(depended("Depends: kmod, linux-base (>= 4.3~)\n", "linux-binary-"), None);
    }

    #[test]
    fn alternatives_are_told_apart() {
        let shown = "Depends: dracut | linux-initramfs-tool, linux-binary-7.3.4-cloud-amd64 (= 7.3.4-1)\n";
        assert_eq!(depended(shown, "linux-binary-"), Some("linux-binary-7.3.4-cloud-amd64"));
    }
}
