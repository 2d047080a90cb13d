//! What can be said about the code without running it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, exec,
    rules::{self, SourceFile},
    setup,
    summary::Summary,
};

/// Runs every check, also after one has failed.
pub(crate) fn run() -> Summary {
    let mut summary = Summary::default();
    summary.add("format", format());
    summary.add("clippy", clippy());
    summary.add("clippy of the BPF programs", clippy_bpf());
    summary.add("documentation", documentation());
    summary.add("dependency rules", dependency_rules());
    licences(&mut summary);
    summary
}

fn format() -> Result<()> {
    exec::run(
        &mut exec::cargo(&["fmt", "--all", "--check"]),
        "run `cargo fmt --all`",
    )
}

fn clippy() -> Result<()> {
    let mut clippy = exec::cargo(&["clippy", "--locked", "--workspace", "--all-targets"]);
    exec::run(clippy.args(DENY_WARNINGS), FIX)
}

fn clippy_bpf() -> Result<()> {
    setup::toolchain()?;
    exec::run(build::bpf_cargo("clippy")?.args(DENY_WARNINGS), FIX)
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];
const FIX: &str = "fix what the messages above name";

fn documentation() -> Result<()> {
    let mut doc = exec::cargo(&[
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    exec::run(doc.env("RUSTDOCFLAGS", "-D warnings"), FIX)
}

fn dependency_rules() -> Result<()> {
    let mut files = Vec::new();
    read_sources(&exec::root(), &exec::root(), &mut files)?;
    eprintln!("{} dependency rules over {} files", exec::bold("+"), files.len());
    let violations = rules::violations(&files);
    if violations.is_empty() {
        return Ok(());
    }
    bail!(
        "docs/architecture.md says what may use what:\n  {}",
        violations.join("\n  ")
    )
}

fn read_sources(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            read_sources(root, &path, files)?;
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

/// cargo-deny takes minutes to build, so it is used where it is and not installed.
fn licences(summary: &mut Summary) {
    let found = Command::new("cargo-deny").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        summary.skip("licences: cargo-deny is missing; `cargo install cargo-deny --locked` installs it");
        return;
    }
    let mut deny = exec::cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]);
    summary.add("licences", exec::run(&mut deny, "deny.toml says what is allowed"));
}
