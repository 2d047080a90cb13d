//! Finds kube-apiserver and etcd, which `cargo xtask test` builds.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::skip;

/// Names the directory that both are in; `cargo xtask` sets it.
const VARIABLE: &str = "KUBE_PORTAL_APISERVER_DIR";

/// The programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// `kube-apiserver`.
    pub apiserver: PathBuf,
    /// `etcd`.
    pub etcd: PathBuf,
}

/// The programs in `$KUBE_PORTAL_APISERVER_DIR`. Without them it prints that `test` is skipped and why.
#[must_use]
pub fn find(test: &str) -> Option<Binaries> {
    let found = env::var_os(VARIABLE)
        .map(PathBuf::from)
        .and_then(|directory| Binaries::of(&directory));
    if found.is_none() {
        let reason = if has_go() {
            format!("{VARIABLE} names no kube-apiserver and etcd; `cargo xtask test` builds them")
        } else {
            "go is not installed; it builds the kube-apiserver and etcd that this test needs".to_owned()
        };
        skip::skipped(test, &reason);
    }
    found
}

impl Binaries {
    fn of(directory: &Path) -> Option<Self> {
        let found = Self {
            apiserver: directory.join("kube-apiserver"),
            etcd: directory.join("etcd"),
        };
        (found.apiserver.is_file() && found.etcd.is_file()).then_some(found)
    }
}

fn has_go() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join("go").is_file())
}
