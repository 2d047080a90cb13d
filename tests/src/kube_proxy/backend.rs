//! Which iptables a kube-proxy gets: the legacy one where there is one. That of nf_tables needs minutes for the rules of some
//! thousand Services, which says more about it than about kube-proxy.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::Mode;
use crate::{exec, iptables::Iptables, netns::NetNs};

/// They are what they are called.
const NAMES: [&str; 6] = [
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
];

/// Where kube-proxy looks for programs.
#[derive(Debug)]
pub struct Backend {
    path: OsString,
}

impl Backend {
    /// The legacy iptables, if that is wanted and there is one, with links below `directory`.
    pub(super) fn choose(mode: Mode, directory: &Path) -> Result<Self> {
        let installed = Self::installed();
        match (mode, installed.find(program(Iptables::Legacy))) {
            (Mode::Iptables, Ok(legacy)) => installed.linked(&legacy, directory),
            _ => Ok(installed),
        }
    }

    /// The iptables of this world, with links below `directory`.
    pub(super) fn of(world: Iptables, directory: &Path) -> Result<Self> {
        let installed = Self::installed();
        installed.linked(&installed.find(program(world))?, directory)
    }

    fn installed() -> Self {
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// With links to this file before all others.
    fn linked(&self, file: &Path, directory: &Path) -> Result<Self> {
        let folder = directory.join("bin");
        if !folder.exists() {
            fs::create_dir(&folder)?;
            NAMES
                .iter()
                .try_for_each(|name| symlink(file, folder.join(name)))?;
        }
        let folders = [folder].into_iter().chain(env::split_paths(&self.path));
        let path = env::join_paths(folders).context("PATH cannot be extended")?;
        Ok(Self { path })
    }

    pub(super) const fn path(&self) -> &OsString {
        &self.path
    }

    /// All rules for IPv4 that `ns` has.
    pub(super) fn rules(&self, mode: Mode, ns: &NetNs) -> Result<String> {
        let (program, arguments): (_, &[&str]) = match mode {
            Mode::Iptables => ("iptables-save", &["-t", "nat"]),
            Mode::Nftables => ("nft", &["list", "map", "ip", "kube-proxy", "service-ips"]),
        };
        exec::output(ns.command(self.find(program)?).args(arguments))
    }

    pub(super) fn version(&self, mode: Mode) -> Result<String> {
        let program = match mode {
            Mode::Iptables => "iptables",
            Mode::Nftables => "nft",
        };
        let version = exec::output(Command::new(self.find(program)?).arg("--version"))?;
        Ok(version.trim().to_owned())
    }

    fn find(&self, program: &str) -> Result<PathBuf> {
        env::split_paths(&self.path)
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
            .with_context(|| format!("{program} is not installed"))
    }
}

const fn program(world: Iptables) -> &'static str {
    match world {
        Iptables::Nft => "xtables-nft-multi",
        Iptables::Legacy => "xtables-legacy-multi",
    }
}
