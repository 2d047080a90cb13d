//! The one front door: `cargo xtask setup|build|demo|test|kernels|bench|lint|ci`.
//!
//! One file a command; [`exec`] runs other programs, [`summary`] counts what came out. Uses no crate of the project, so that it
//! works when those do not build.

mod apiserver;
mod bench;
mod build;
mod ci;
mod debian;
mod demo;
mod exec;
mod kernels;
mod lint;
mod rules;
mod runner;
mod setup;
mod summary;
mod test;
mod test_output;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use summary::Summary;

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need and this machine lacks
    Setup,
    /// Build the BPF object and the agent `kube-portal`, which embeds it
    Build {
        /// With optimizations
        #[arg(long)]
        release: bool,
    },
    /// Show a cluster in network namespaces that the agent serves (needs root)
    Demo {
        /// Passed on: `--keep` leaves the namespaces for a look around
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test that this machine can run
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Run the agent on other kernels, in QEMU
    Kernels {
        /// 5.10, 6.1, 6.12 or newest; all without any
        names: Vec<String>,
    },
    /// Measure what kube-portal costs on this machine (needs root)
    Bench {
        /// Passed on: `control-plane`, `datapath`, `sockets` or `iptables`, and behind it `--check`, `--json FILE`, `--quick`, `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Check format, lints, documentation, dependency rules and licences
    Lint,
    /// Everything that decides whether a change lands: setup, lint, build, test, kernels, demo
    Ci,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", exec::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::all().map(|()| ExitCode::SUCCESS),
        Task::Build { release } => build::run(release).map(|_| ExitCode::SUCCESS),
        Task::Demo { arguments } => demo::become_demo(&arguments),
        Task::Test { filter } => test::run(filter.as_deref()).map(Summary::close),
        Task::Kernels { names } => kernels::run(&names).map(Summary::close),
        Task::Bench { arguments } => bench::become_bench(&arguments),
        Task::Lint => Ok(lint::run().close()),
        Task::Ci => Ok(ci::run().close()),
    }
}
