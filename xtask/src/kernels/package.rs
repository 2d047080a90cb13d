//! A kernel and the modules that a guest needs, out of Debian's packages.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::copy;
use crate::{debian, exec};

/// What the first process of a guest loads.
pub(super) const MODULES: [&str; 4] = ["veth", "sch_ingress", "cls_bpf", "tun"];
/// The small kernel for virtual machines.
const META: &str = "linux-image-cloud-amd64";
/// Since 6.17 the kernel and its modules have packages of their own.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// Sees to it that `folder` has the kernel as `vmlinuz` and the modules as `NAME.ko`.
pub(super) fn provide(suite: &'static str, folder: &Path) -> Result<()> {
    if folder.join("vmlinuz").exists() {
        return Ok(());
    }
    for suite in debian::suites(suite)? {
        let suite = suite?;
        let depends = suite.ask(&["depends", META])?;
        if let Some(version) = version(&depends) {
            let unpacked = tempfile::tempdir().context("cannot make a temporary folder")?;
            let names = suite.ask(&["pkgnames", "linux-"])?;
            for part in PARTS.map(|part| format!("{part}{version}")) {
                if names.lines().any(|name| name == part) {
                    suite.unpack(&part, unpacked.path())?;
                }
            }
            return put(unpacked.path(), folder);
        }
    }
    bail!("no mirror of this machine has {META} in {suite}")
}

/// What `apt-cache depends` says that the kernel of now is.
fn version(depends: &str) -> Option<&str> {
    let names = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.into_iter().find_map(|name| name.strip_prefix(PARTS[0]))
}

/// The kernel is put there last: where it is, everything is.
fn put(unpacked: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = files(unpacked)?;
    for module in MODULES {
        let name = format!("{module}.ko");
        // What a kernel has built in is no module.
        if let Some(file) = files.iter().find(|file| is_called(file, &name)) {
            copy(file, &folder.join(&name))?;
        }
        let packed = format!("{name}.xz");
        if let Some(file) = files.iter().find(|file| is_called(file, &packed)) {
            copy(file, &folder.join(&packed))?;
            let mut xz = exec::command("xz", &["--decompress", "--force"]);
            exec::quiet(xz.arg(folder.join(&packed)), "unpacking a module", "")?;
        }
    }
    let kernel = files.iter().find(|file| {
        let name = file.file_name().map(OsStr::to_string_lossy);
        name.is_some_and(|name| name.starts_with("vmlinuz"))
    });
    copy(
        kernel.context("the package has no kernel")?,
        &folder.join("vmlinuz"),
    )
}

fn is_called(file: &Path, name: &str) -> bool {
    file.file_name() == Some(OsStr::new(name))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_kernel_of_now_is_what_the_meta_package_depends_on() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-base-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(version(depends), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(version("linux-image-cloud-amd64\n"), None);
    }
}
