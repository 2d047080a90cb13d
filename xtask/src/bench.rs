//! Measures what kube-portal costs on this machine: the program is `bench` of the tests' package.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::{
    apiserver,
    build::{self, Built},
    exec, setup,
    test::KERNEL_TESTS,
};

/// Builds what is measured, with optimizations, and becomes the benchmark: Ctrl-C and the exit status are then its own.
pub(crate) fn become_bench(arguments: &[String]) -> Result<ExitCode> {
    ensure!(
        geteuid().is_root(),
        "network namespaces and BPF need root: run `cargo xtask bench` as root"
    );
    setup::packages()?;
    let mut bench = command(&build::run(true)?)?;
    // Without Go the benchmark says itself what it leaves out.
    let programs = match arguments.first().map(String::as_str) {
        Some("datapath" | "iptables") => apiserver::build_with_kube_proxy()?,
        Some("sockets") => None,
        _ => apiserver::build()?,
    };
    bench.envs(programs.map(|folder| (apiserver::DIRECTORY, folder)));
    bench.args(arguments);
    exec::announce(&bench);
    Err(bench.exec()).with_context(|| format!("cannot start `{}`", exec::shown(&bench)))
}

fn command(built: &Built) -> Result<Command> {
    let mut cargo = exec::cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        KERNEL_TESTS,
        "--bin",
        "bench",
    ]);
    cargo.env(build::OBJECT, &built.object);
    exec::run(
        &mut cargo,
        "the messages above say why the benchmark does not build",
    )?;
    let mut bench = Command::new(exec::target_dir().join("release/bench"));
    bench
        .current_dir(exec::root())
        .env(build::AGENT, &built.agent)
        .env(build::OBJECT, &built.object);
    Ok(bench)
}
