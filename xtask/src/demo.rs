//! Shows the agent at work in network namespaces: the program is `demo` of the tests' package.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::{
    build::{self, Built},
    exec, setup,
    test::KERNEL_TESTS,
};

/// Builds what the demo needs and becomes it: Ctrl-C and the exit status are then its own.
pub(crate) fn become_demo(arguments: &[String]) -> Result<ExitCode> {
    ensure!(
        geteuid().is_root(),
        "network namespaces and BPF need root: run `cargo xtask demo` as root"
    );
    setup::packages()?;
    let mut demo = command(&build::run(true)?)?;
    demo.args(arguments);
    exec::announce(&demo);
    Err(demo.exec()).with_context(|| format!("cannot start `{}`", exec::shown(&demo)))
}

/// Runs the demo once, as a check.
pub(crate) fn check(built: &Built) -> Result<()> {
    exec::run(
        &mut command(built)?,
        "the messages above say what the demo could not do",
    )
}

fn command(built: &Built) -> Result<Command> {
    let mut cargo = exec::cargo(&["build", "--locked", "--package", KERNEL_TESTS, "--bin", "demo"]);
    cargo.env(build::OBJECT, &built.object);
    exec::run(&mut cargo, "the messages above say why the demo does not build")?;
    let mut demo = Command::new(exec::target_dir().join("debug/demo"));
    demo.current_dir(exec::root())
        .env(build::AGENT, &built.agent)
        .env(build::OBJECT, &built.object);
    Ok(demo)
}
