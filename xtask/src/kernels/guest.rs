//! The guest: its file system, its run, and what it says.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{copy, package::MODULES};
use crate::{exec, summary::Summary};

/// Seconds that a guest may run. Without hardware's help the verifier alone takes up to twenty.
const LIMIT: &str = "300";
/// The line before the last one that a guest prints: without it the guest has ended early.
const LAST_CHECK: &str = "after cleanup nothing is served";

/// Runs the agent in a guest with the kernel and modules in `folder`; what the guest prints. One that ends before its time is run once
/// again: its processor is software.
pub(super) fn run(folder: &Path, agent: &Path) -> Result<String> {
    let said = run_once(folder, agent)?;
    if is_whole(&said) {
        return Ok(said);
    }
    eprintln!("{said}\nthe guest has ended early: once again");
    run_once(folder, agent)
}

fn is_whole(said: &str) -> bool {
    said.lines().any(|line| line.trim_end().ends_with(LAST_CHECK))
}

fn run_once(folder: &Path, agent: &Path) -> Result<String> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let system = work.path().join("system");
    fill(&system, folder, agent)?;
    let archive = work.path().join("system.cpio");
    pack(&system, &archive)?;
    let mut qemu = exec::command(
        "timeout",
        &[LIMIT, "qemu-system-x86_64", "-nographic", "-no-reboot"],
    );
    // QEMU 7.2 spoils the flags in the cmpxchg16b of Linux 6.12's allocator, now and then.
    qemu.args([
        "-machine",
        "pc,accel=tcg",
        "-cpu",
        "max,cx16=off",
        "-m",
        "2048",
        "-smp",
        "2",
    ]);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1", "-nic", "none"]);
    qemu.arg("-kernel")
        .arg(folder.join("vmlinuz"))
        .arg("-initrd")
        .arg(archive);
    exec::quiet(&mut qemu, "running a guest", "see its last lines")
}

/// Each check that the guest tells of, and that it has told of all.
pub(super) fn checks(kernel: &str, said: &str) -> Summary {
    let mut summary = Summary::default();
    let lines = said.lines().map(|line| line.trim_end_matches('\r'));
    for line in lines {
        if let Some(name) = line.strip_prefix("not ok ") {
            summary.fail(format!("Linux {kernel}: {name}"));
        } else if line.starts_with("ok ") {
            summary.passed += 1;
        }
    }
    if !is_whole(said) {
        summary.fail(format!("Linux {kernel}: the guest has not come to its end"));
    }
    if !summary.failed.is_empty() {
        eprintln!("{said}");
    }
    eprintln!("Linux {kernel}: {} checks passed", summary.passed);
    summary
}

/// The file system: programs with their libraries, modules, and what the first process needs of `tests/kernels`.
fn fill(system: &Path, kernel: &Path, agent: &Path) -> Result<()> {
    for folder in [
        "bin",
        "sbin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "run",
        "modules",
        "manifests",
    ] {
        fs::create_dir_all(system.join(folder)).context("cannot make a guest's folders")?;
    }
    let mut strip = exec::command("strip", &["-o"]);
    exec::quiet(
        strip.arg(system.join("bin/kube-portal")).arg(agent),
        "stripping the agent",
        "it comes with gcc",
    )?;
    copy(&which("busybox")?, &system.join("bin/busybox"))?;
    let mut needed: BTreeSet<_> = libraries(agent)?.into_iter().collect();
    // busybox's know less.
    for name in ["ip", "unshare"] {
        let program = fs::canonicalize(which(name)?).with_context(|| format!("cannot find {name}"))?;
        copy(&program, &system.join("sbin").join(name))?;
        needed.extend(libraries(&program)?);
    }
    for library in needed {
        let place = system.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(place.parent().context("a library has a folder")?)?;
        copy(&library, &place)?;
    }
    for module in MODULES.map(|module| format!("{module}.ko")) {
        if kernel.join(&module).exists() {
            copy(&kernel.join(&module), &system.join("modules").join(&module))?;
        }
    }
    let tests = exec::root().join("tests/kernels");
    copy(&tests.join("init"), &system.join("init"))?;
    copy(
        &tests.join("manifests/services.yaml"),
        &system.join("manifests/services.yaml"),
    )
}

fn which(program: &str) -> Result<PathBuf> {
    exec::find(program).with_context(|| format!("{program} is not installed"))
}

/// What the dynamic linker loads for a program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = exec::command("ldd", &[]);
    let said = exec::output(ldd.arg(program), "it comes with the C library")?;
    let words = said.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

/// As `find | cpio`, in the format that kernels unpack.
fn pack(system: &Path, archive: &Path) -> Result<()> {
    let failed = "cannot pack a guest's file system";
    let mut find = Command::new("find")
        .arg(".")
        .current_dir(system)
        .stdout(Stdio::piped())
        .spawn()
        .context(failed)?;
    let names = find.stdout.take().context(failed)?;
    let file = fs::File::create(archive).context(failed)?;
    let status = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(system)
        .stdin(names)
        .stdout(file)
        .status()
        .context(failed)?;
    ensure!(status.success() && find.wait()?.success(), "{failed}");
    if fs::metadata(archive)?.len() == 0 {
        bail!("{failed}: it is empty");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_counts_and_an_early_end_is_a_failure() {
        let said = format!("Linux 6.1\r\nok a\r\nnot ok b\r\nok {LAST_CHECK}\r\n");
        let summary = checks("6.1", &said);
        assert_eq!(
            (summary.passed, summary.failed),
            (2, vec!["Linux 6.1: b".to_owned()])
        );
        let early = checks("6.1", "Linux 6.1\r\nok a\r\nKernel panic\r\n");
        assert_eq!((early.passed, early.failed.len()), (1, 1));
    }
}
