//! Installs what is missing, and costs nothing when nothing is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::geteuid;

use crate::{debian, exec};

/// The version of bpf-linker that reads what rustc 1.95's LLVM writes.
pub(crate) const BPF_LINKER: &str = "0.10.1";
/// Programs that the demo and the tests call, and the Debian packages that have them.
const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("curl", "curl"),
    ("bpftool", "bpftool"),
    ("conntrack", "conntrack"),
    ("ethtool", "ethtool"),
];
/// The suite of Debian that has the Rust versions of the last months.
const SUITE: &str = "trixie-backports";

/// Everything.
pub(crate) fn all() -> Result<()> {
    toolchain()?;
    packages()?;
    eprintln!("setup: nothing is missing");
    Ok(())
}

/// What building needs.
pub(crate) fn toolchain() -> Result<()> {
    rust_src()?;
    bpf_linker()
}

/// Whether rustc takes unstable options by itself.
pub(crate) fn is_nightly() -> Result<bool> {
    Ok(rustc(&["--version"])?.contains("nightly"))
}

/// What the demo and the kernel tests call.
pub(crate) fn packages() -> Result<()> {
    programs(&TOOLS)
}

/// Installs those of these programs, each with its Debian package, that are missing.
pub(crate) fn programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing = programs
        .iter()
        .filter(|(program, _)| !exec::is_installed(program));
    let missing: Vec<_> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get update && apt-get install --yes {}", missing.join(" "));
    ensure!(
        exec::is_installed("apt-get"),
        "missing: {}; install them with your package manager",
        missing.join(", ")
    );
    ensure!(
        geteuid().is_root(),
        "missing: {}; as root: {by_hand}",
        missing.join(", ")
    );
    if install(&missing).is_err() {
        let mut update = exec::command("apt-get", &["update", "-qq"]);
        exec::quiet(
            &mut update,
            "reading the list of Debian packages",
            "check the machine's apt sources",
        )?;
        install(&missing).with_context(|| format!("by hand: {by_hand}"))?;
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let mut apt = exec::command("apt-get", &["install", "--yes", "--no-install-recommends", "-qq"]);
    apt.args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    exec::quiet(
        &mut apt,
        "installing Debian packages",
        "reading the list of packages anew may help",
    )
    .map(drop)
}

fn has_bpf_linker() -> bool {
    let version = exec::output(&mut exec::command("bpf-linker", &["--version"]), "");
    version.is_ok_and(|text| text.split_whitespace().nth(1) == Some(BPF_LINKER))
}

fn bpf_linker() -> Result<()> {
    if has_bpf_linker() {
        return Ok(());
    }
    eprintln!("bpf-linker {BPF_LINKER} is missing: building it takes about two minutes");
    let mut install = exec::cargo(&[
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER,
        "--locked",
        "--force",
    ]);
    exec::run(
        &mut install,
        "it needs a C compiler (gcc) and access to crates.io",
    )?;
    // rustup's cargo looks there by itself.
    ensure!(
        has_bpf_linker(),
        "bpf-linker is installed, but not found: add the `bin` folder of Cargo's home, usually ~/.cargo/bin, to PATH"
    );
    Ok(())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let text = exec::output(&mut exec::command("rustc", arguments), "install Rust with rustup")?;
    Ok(text.trim().to_owned())
}

/// The standard library's source, which `-Z build-std` compiles for BPF: the first way that works.
fn rust_src() -> Result<()> {
    let folder = PathBuf::from(rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    if has_source(&folder) || (from_rustup() && has_source(&folder)) {
        return Ok(());
    }
    from_debian(&folder).context(
        "the source of Rust's standard library is missing: run `rustup component add rust-src` where rustup can download it",
    )
}

fn has_source(folder: &Path) -> bool {
    folder.join("library/core/Cargo.toml").exists()
}

fn from_rustup() -> bool {
    let mut rustup = exec::command("rustup", &["component", "add", "rust-src"]);
    exec::quiet(&mut rustup, "downloading rust-src", "").is_ok()
}

/// Debian packages the same source.
fn from_debian(folder: &Path) -> Result<()> {
    let version = rustc(&["--version"])?;
    let version = version
        .split_whitespace()
        .nth(1)
        .context("`rustc --version` names no version")?;
    for suite in debian::suites(SUITE)? {
        let suite = suite?;
        let known = suite.ask(&["madison", "rust-src"])?;
        if let Some(package) = package_version(&known, version) {
            let unpacked = tempfile::tempdir().context("cannot make a temporary folder")?;
            suite.unpack(&format!("rust-src={package}"), unpacked.path())?;
            let library = format!("usr/src/rustc-{version}/library");
            return put_in_place(&unpacked.path().join(library), folder);
        }
    }
    bail!("Debian's {SUITE} has no rust-src for rustc {version}")
}

/// The version column of `apt-cache madison` that begins with the compiler's version.
fn package_version<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    let versions = madison
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim);
    versions.into_iter().find(|found| {
        found
            .strip_prefix(version)
            .is_some_and(|rest| rest.starts_with('+'))
    })
}

/// Puts `library` where rustup would. Copied first and renamed then: an interrupted copy would pass for the whole source.
fn put_in_place(library: &Path, folder: &Path) -> Result<()> {
    let (partial, whole) = (folder.join("library.partial"), folder.join("library"));
    let remedy = "the toolchain's folder must be writable";
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}: {remedy}", folder.display()))?;
    // The package links some of its files to other places of itself.
    let mut copy = exec::command("cp", &["-rLT"]);
    exec::quiet(copy.arg(library).arg(&partial), "copying rust-src", remedy)?;
    if whole.exists() {
        fs::remove_dir_all(&whole).with_context(|| format!("cannot replace {}", whole.display()))?;
    }
    fs::rename(&partial, &whole).with_context(|| format!("cannot make {}: {remedy}", whole.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADISON: &str = "
  rust-src | 1.96.0+dfsg1-1~bpo13+1 | mirror trixie-backports/main amd64 Packages
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | mirror trixie-backports/main amd64 Packages
     rustc | 1.95.0+dfsg1-2~bpo13+1 | mirror trixie-backports/main Sources
";

    #[test]
    fn the_package_of_exactly_the_compilers_version_is_taken() {
        assert_eq!(package_version(MADISON, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
    }

    #[test]
    fn a_package_of_another_version_is_not_taken() {
        assert_eq!(package_version(MADISON, "1.95"), None);
        assert_eq!(package_version(MADISON, "1.94.0"), None);
        assert_eq!(package_version("", "1.95.0"), None);
    }

    #[test]
    fn source_is_put_in_place_whole_and_replaces_a_torn_copy() {
        let work = tempfile::tempdir().unwrap();
        let (library, folder) = (work.path().join("unpacked/library"), work.path().join("lib/rust"));
        fs::create_dir_all(library.join("core")).unwrap();
        fs::write(library.join("core/Cargo.toml"), "[package]").unwrap();
        fs::create_dir_all(folder.join("library")).unwrap();
        fs::write(folder.join("library/torn"), "").unwrap();
        put_in_place(&library, &folder).unwrap();
        assert!(has_source(&folder));
        assert!(!folder.join("library/torn").exists());
        assert!(!folder.join("library.partial").exists());
    }
}
