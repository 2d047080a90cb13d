//! `cargo xtask bench`: what kube-portal costs, measured on this machine.
//!
//! ```text
//! control_plane ─┬─ memory ─▶ worker (one process a size)   objects already in memory → maps in the kernel
//!                └─ api ─▶ harness::apiserver, the agent    API server → agent → maps in the kernel
//!                                │
//!                          figures ◀─ targets
//!                                │
//!                             report (table, JSON, what was missed)
//! ```

mod control_plane;
mod figures;
mod report;
mod stats;
mod targets;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// How long the agent takes to follow the cluster, and what that costs.
    ControlPlane(Options),
    /// Serves one size for `control-plane`, by commands on standard input.
    #[command(hide = true)]
    Worker {
        /// Services.
        services: u32,
    },
}

#[derive(Args)]
struct Options {
    /// Compare with the targets: name each one that is missed, and fail.
    #[arg(long)]
    check: bool,

    /// Where the figures are written as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench/control-plane.json")]
    json: PathBuf,

    /// Only this part.
    #[arg(long, value_enum)]
    part: Option<Part>,

    /// Small clusters and few rounds: shows that the benchmark works, and nothing else.
    #[arg(long, conflicts_with = "check")]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Objects that are in memory already.
    Memory,
    /// Through a real API server.
    Api,
}

fn main() -> ExitCode {
    match run(Cli::parse().bench) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: Bench) -> Result<ExitCode> {
    let options = match bench {
        Bench::ControlPlane(options) => options,
        Bench::Worker { services } => {
            return control_plane::worker::run(services).map(|()| ExitCode::SUCCESS);
        }
    };
    let figures = control_plane::run(options.quick, options.part)?;
    report::print(&figures);
    report::write(&figures, &options.json)?;
    let missed = report::missed(&figures);
    if !options.check || missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    missed.iter().for_each(|line| eprintln!("missed: {line}"));
    Ok(ExitCode::FAILURE)
}
