//! Finds the binary under test.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

/// Names the binary; `cargo xtask` sets it.
const VARIABLE: &str = "KUBE_PORTAL_BIN";

/// The `kube-portal` under test: `$KUBE_PORTAL_BIN`, else the release, else the debug build of the target directory
/// that this executable is in.
///
/// # Errors
///
/// There is none.
pub fn binary() -> Result<PathBuf> {
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    let candidates = named.map_or_else(built, |path| vec![path]);
    let found = candidates.iter().find(|path| path.is_file()).cloned();
    found.with_context(|| {
        format!("no kube-portal binary at {candidates:?}: run `cargo xtask build`, or name one in {VARIABLE}")
    })
}

/// Cargo puts tests in `target/<profile>/deps` and binaries in `target/<profile>`.
fn built() -> Vec<PathBuf> {
    let own = env::current_exe().expect("the executable has a path");
    let profile = own
        .ancestors()
        .skip(1)
        .find(|path| !path.ends_with("deps"))
        .map(PathBuf::from)
        .unwrap_or_default();
    let target = profile.parent().map(PathBuf::from).unwrap_or_default();
    ["release", "debug"]
        .map(|name| target.join(name).join("kube-portal"))
        .to_vec()
}
