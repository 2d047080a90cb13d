//! Runs the agent on other kernels, which know less than this one: Debian's, in QEMU, each with a tiny system whose first process is
//! `tests/kernels/init`.

mod guest;
mod package;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{build, exec, setup, summary::Summary};

/// The oldest kernel that is served, and the releases of Debian since, with the newest that it has.
pub(crate) const KERNELS: [Kernel; 4] = [
    Kernel::of("5.10", "bullseye"),
    Kernel::of("6.1", "bookworm"),
    Kernel::of("6.12", "trixie"),
    Kernel::of("newest", "trixie-backports"),
];
/// What runs a guest and makes its file system.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
];

/// A kernel that Debian has.
pub(crate) struct Kernel {
    /// What it is asked for by.
    pub(crate) name: &'static str,
    suite: &'static str,
}

impl Kernel {
    const fn of(name: &'static str, suite: &'static str) -> Self {
        Self { name, suite }
    }
}

/// Builds the agent and runs it on the kernels of these names, or on all.
pub(crate) fn run(names: &[String]) -> Result<Summary> {
    let is_known = |name: &&String| KERNELS.iter().any(|kernel| kernel.name == *name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let known = KERNELS.map(|kernel| kernel.name).join(", ");
        bail!("there is no kernel {name} here: {known}");
    }
    Ok(all(&build::run(true)?.agent, names))
}

/// Runs an agent on them. One that cannot be had is skipped.
pub(crate) fn all(agent: &Path, names: &[String]) -> Summary {
    let mut summary = Summary::default();
    if let Err(error) = available() {
        summary.skip(format!("other kernels: {error:#}"));
        return summary;
    }
    for kernel in KERNELS {
        if names.is_empty() || names.iter().any(|name| name == kernel.name) {
            summary.merge(one(&kernel, agent));
        }
    }
    summary
}

/// With its permissions.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn available() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("their guests are x86-64 machines");
    }
    setup::programs(&PROGRAMS)
}

fn one(kernel: &Kernel, agent: &Path) -> Summary {
    let mut summary = Summary::default();
    let folder = exec::target_dir().join("kernels").join(kernel.name);
    let files = package::provide(kernel.suite, &folder).context("Debian does not give it here and now");
    match files {
        Err(error) => summary.skip(format!("Linux {}: {error:#}", kernel.name)),
        Ok(()) => match guest::run(&folder, agent) {
            Ok(said) => summary.merge(guest::checks(kernel.name, &said)),
            Err(error) => summary.add(&format!("Linux {}", kernel.name), Err(error)),
        },
    }
    summary
}
