//! Hands the BPF object to the agent, which embeds it.
//!
//! `cargo xtask build` names the object in `KUBE_PORTAL_BPF_OBJECT`. Without it the agent gets an empty one, so that `cargo check`,
//! clippy and rust-analyzer work without a BPF linker.

use std::{env, fs, path::PathBuf};

const OBJECT: &str = "KUBE_PORTAL_BPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    let embedded =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kube-portal.bpf.o");
    let object = env::var_os(OBJECT).map(PathBuf::from);
    let bytes = match &object {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(path).unwrap_or_else(|error| {
                panic!(
                    "cannot read {OBJECT}={}: {error}; run `cargo xtask build`",
                    path.display()
                )
            })
        }
        None => Vec::new(),
    };
    fs::write(&embedded, bytes)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", embedded.display()));
}
