//! Builds the BPF object, checks it, and builds the agent around it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _};

use crate::{exec, setup};

/// Where tests and the agent's build script find the BPF object.
pub(crate) const OBJECT: &str = "KUBE_PORTAL_BPF_OBJECT";
/// Where tests and the demo find the agent.
pub(crate) const AGENT: &str = "KUBE_PORTAL_BIN";
/// `.BTF` is what `bpftool` prints field names from; `.maps` is where BTF-defined maps are.
const SECTIONS: [&str; 2] = [".BTF", ".maps"];

/// What a build leaves behind, as absolute paths.
pub(crate) struct Built {
    pub(crate) object: PathBuf,
    pub(crate) agent: PathBuf,
}

/// Builds the BPF object and the agent that embeds it.
pub(crate) fn run(release: bool) -> Result<Built> {
    let object = object()?;
    let agent = agent(&object, release)?;
    eprintln!("built {} and {}", object.display(), agent.display());
    Ok(Built { object, agent })
}

/// Builds the BPF object alone.
pub(crate) fn object() -> Result<PathBuf> {
    setup::toolchain()?;
    exec::run(
        bpf_cargo("build")?.args(["--bin", "kube-portal-ebpf"]),
        "the messages above say why the BPF programs do not build",
    )?;
    let object = bpf_target_dir().join("bpfel-unknown-none/release/kube-portal-ebpf");
    check(&object)?;
    Ok(object)
}

/// cargo for the BPF programs, always with optimizations: without them they do not fit the kernel's limits.
pub(crate) fn bpf_cargo(subcommand: &str) -> Result<Command> {
    let mut cargo = exec::cargo(&[subcommand, "--locked", "--release", "--package", "proxy-ebpf"]);
    cargo.args([
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
        "--target-dir",
    ]);
    cargo.arg(bpf_target_dir());
    // BTF is made from debug info. RUSTFLAGS would hide the flags of the target.
    let flags = "-C debuginfo=2 -C link-arg=--btf -C linker=bpf-linker";
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS", flags);
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !setup::is_nightly()? {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    Ok(cargo)
}

/// Apart from the host's: the two do not share a lock, so that rust-analyzer and a BPF build do not wait for each other.
fn bpf_target_dir() -> PathBuf {
    exec::target_dir().join("bpf")
}

fn agent(object: &Path, release: bool) -> Result<PathBuf> {
    let mut cargo = exec::cargo(&[
        "build",
        "--locked",
        "--package",
        "proxy-agent",
        "--bin",
        "kube-portal",
    ]);
    cargo.args(release.then_some("--release")).env(OBJECT, object);
    exec::run(&mut cargo, "the messages above say why the agent does not build")?;
    Ok(exec::target_dir()
        .join(if release { "release" } else { "debug" })
        .join("kube-portal"))
}

fn check(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read the BPF object {}", path.display()))?;
    let missing = missing_sections(&bytes).with_context(|| format!("{} is no ELF object", path.display()))?;
    ensure!(
        missing.is_empty(),
        "the BPF object {} has no {}: it needs BTF maps (#[btf_map]), debug info and a linker that was told --btf; \
         `cargo install bpf-linker --version {} --locked --force` installs the linker anew",
        path.display(),
        missing.join(" and no "),
        setup::BPF_LINKER,
    );
    Ok(())
}

fn missing_sections(elf: &[u8]) -> object::Result<Vec<&'static str>> {
    let file = object::File::parse(elf)?;
    let found: Vec<_> = file
        .sections()
        .filter_map(|section| section.name().ok())
        .collect();
    Ok(SECTIONS
        .into_iter()
        .filter(|section| !found.contains(section))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit little-endian relocatable BPF object with nothing but named sections.
    fn elf(sections: &[&str]) -> Vec<u8> {
        let mut names = vec![0];
        let mut headers = vec![[0_u8; 64]];
        for section in sections.iter().chain(&[".shstrtab"]) {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
            header[4] = if *section == ".shstrtab" { 3 } else { 8 };
            headers.push(header);
            names.extend([section.as_bytes(), &[0]].concat());
        }
        let string_table = headers.last_mut().unwrap();
        string_table[24] = 64;
        string_table[32..36].copy_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        file.resize(64, 0);
        file[16] = 1;
        file[18] = 247;
        file[20] = 1;
        file[40..48].copy_from_slice(&(64 + names.len() as u64).to_le_bytes());
        file[52] = 64;
        file[58] = 64;
        file[60] = u8::try_from(headers.len()).unwrap();
        file[62] = u8::try_from(headers.len() - 1).unwrap();
        [file, names, headers.concat()].concat()
    }

    #[test]
    fn an_object_with_btf_and_maps_is_complete() {
        assert_eq!(
            missing_sections(&elf(&[".text", ".BTF", ".maps"])).unwrap(),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn sections_that_are_missing_are_named() {
        assert_eq!(missing_sections(&elf(&[".BTF", "maps"])).unwrap(), [".maps"]);
        assert_eq!(missing_sections(&elf(&[".text"])).unwrap(), [".BTF", ".maps"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(missing_sections(b"").is_err());
        assert!(missing_sections(b"#!/bin/sh\n").is_err());
    }
}
