//! `cargo xtask bench`: what kube-portal costs, measured on this machine.
//!
//! ```text
//! control_plane ─┬─ memory ─▶ worker (one process a size)   objects already in memory → maps in the kernel
//!                └─ api ─▶ harness::apiserver, the agent    API server → agent → maps in the kernel
//! datapath ──────┬─ twins ─▶ harness::topology              the same cluster without proxy, with us, with kube-proxy
//!                ├─ rounds ─▶ load                          connections, requests, bytes through each of them in turn
//!                └─ programs                                what the kernel says about our programs
//! sockets ───────┬─ rounds ─▶ load                          translated at connect beside packet by packet and not at all
//!                └─ programs                                what the kernel says about our programs
//! iptables ──────┬─ renderer ─▶ worker (one process a size)  what a node shall do → text of rules
//!                └─ beside ─▶ harness::apiserver             the agent and kube-proxy, in turns → rules in the kernel
//!                                │
//!                          figures ◀─ targets
//!                                │
//!                             report (table, JSON, what was missed)
//! ```

mod cluster;
mod control_plane;
mod datapath;
mod empty_program;
mod figures;
mod fill;
mod iptables;
mod load;
mod process;
mod progress;
mod random;
mod report;
mod services;
mod sockets;
mod stats;
mod targets;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use harness::signals;

use figures::Figures;

#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// How long the agent takes to follow the cluster, and what that costs.
    ControlPlane {
        /// Only this part.
        #[arg(long, value_enum)]
        part: Option<Part>,
        #[command(flatten)]
        options: Options,
    },
    /// What packets pay for Services, beside the same without any proxy and with kube-proxy.
    Datapath {
        /// Begins the random order in which the proxies take turns; printed, so that a run can be repeated.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        options: Options,
    },
    /// What connections pay that get their endpoint at connect, beside connections without a Service.
    Sockets {
        /// Begins the random order of the measurements; printed, so that a run can be repeated.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        options: Options,
    },
    /// What the rules of iptables mode cost, beside the real kube-proxy.
    Iptables {
        #[command(flatten)]
        options: Options,
    },
    /// Renders one size for `iptables`, by commands on standard input.
    #[command(hide = true)]
    RulesWorker {
        /// Of all addresses.
        family: iptables::worker::FamilyFlag,
        /// Services.
        services: u32,
    },
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

    /// Where the figures are written as JSON [default: target/bench/, with the name of what is measured].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Small clusters and few rounds: shows that the benchmark works, and nothing else.
    #[arg(long, conflicts_with = "check")]
    quick: bool,

    /// Measure nothing, take the figures of an earlier run from its JSON.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "json"])]
    from: Option<PathBuf>,
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
        Err(error) if error.is::<signals::Interrupted>() => {
            eprintln!("\nbench: {error}; everything is taken down");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: Bench) -> Result<ExitCode> {
    match bench {
        Bench::Worker { services } => control_plane::worker::run(services).map(|()| ExitCode::SUCCESS),
        Bench::RulesWorker { family, services } => {
            iptables::worker::run(family, services).map(|()| ExitCode::SUCCESS)
        }
        Bench::Iptables { options } => options.report("iptables", report::print, iptables::run),
        Bench::ControlPlane { part, options } => options.report("control-plane", report::print, |quick| {
            control_plane::run(quick, part)
        }),
        Bench::Sockets { seed, options } => options.report("sockets", report::print, |quick| {
            signals::catch()?;
            sockets::run(quick, seed)
        }),
        Bench::Datapath { seed, options } => options.report("datapath", datapath::print, |quick| {
            signals::catch()?;
            datapath::run(quick, seed)
        }),
    }
}

impl Options {
    fn report(
        &self,
        name: &str,
        print: impl FnOnce(&Figures),
        measure: impl FnOnce(bool) -> Result<Figures>,
    ) -> Result<ExitCode> {
        let figures = match &self.from {
            Some(file) => report::read(file)?,
            None => measure(self.quick)?,
        };
        print(&figures);
        if self.from.is_none() {
            let default = || Path::new("target/bench").join(name).with_extension("json");
            report::write(&figures, &self.json.clone().unwrap_or_else(default))?;
        }
        let missed = report::missed(&figures);
        if !self.check || missed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        missed.iter().for_each(|line| eprintln!("missed: {line}"));
        Ok(ExitCode::FAILURE)
    }
}
