//! The command line: one file a command.

mod allocator;
pub mod canary;
pub mod check;
pub mod cleanup;
pub mod config;
pub mod conntrack;
pub mod inspect;
mod metrics;
pub mod node;
pub mod run;
mod settings;
mod telemetry;

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;
use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, parser::ValueSource,
};

use crate::dataplane::bpf::object::PinDir;

/// A Kubernetes Service proxy in eBPF: replaces kube-proxy on any CNI.
///
/// `run` keeps the node's BPF maps true to the cluster. The programs translate Service addresses to endpoints on their own:
/// traffic goes on while the agent is stopped, restarted or upgraded.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Services on this node, until SIGTERM or SIGINT.
    Run(Box<run::Run>),
    /// Show what the programs work with, also while no agent runs.
    Inspect(inspect::Inspect),
    /// Say whether sockets are translated on this node, and what to do where they are not. Changes nothing.
    Check(check::Check),
    /// A socket in another place, for `check`.
    #[command(hide = true)]
    Canary(canary::Canary),
    /// Detach the programs and remove everything that is pinned. Connections through Services end.
    Cleanup(cleanup::Cleanup),
}

/// Where maps and links are pinned.
#[derive(Clone, Debug, Args)]
pub struct Pins {
    /// Directory in a BPF file system for the maps and links that outlive the agent.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/sys/fs/bpf/kube-portal",
        env = "KUBE_PORTAL_PIN_ROOT"
    )]
    pin_root: PathBuf,
}

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

impl Pins {
    fn dir(&self) -> PinDir {
        PinDir::new(&self.pin_root)
    }
}

/// Parses the command line and does what it says.
///
/// # Errors
/// When the command fails.
pub fn main() -> Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Run(run) => run.execute(&given(&matches)),
        Command::Inspect(inspect) => inspect.execute(),
        Command::Check(check) => check.execute(),
        Command::Canary(canary) => canary.execute(),
        Command::Cleanup(cleanup) => cleanup.execute(),
    }
}

/// The flags of the command that are on the command line, not defaults or from the environment.
fn given(matches: &ArgMatches) -> BTreeSet<String> {
    let Some((_, flags)) = matches.subcommand() else {
        return BTreeSet::new();
    };
    let names = flags.ids().map(clap::Id::as_str);
    names
        .filter(|name| flags.value_source(name) == Some(ValueSource::CommandLine))
        .map(str::to_owned)
        .collect()
}
