//! `kube-portal canary`: the child of `check` that goes where others' sockets are. It ends at once, also with its parent.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::exit,
};

use anyhow::{Context as _, Result};
use clap::Args;
use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl::set_pdeathsig, signal::Signal},
};

use super::Pins;
use crate::dataplane::bpf::{dump, sockets::sing_pinned};

/// Flags of `canary`.
#[derive(Debug, Args)]
pub struct Canary {
    #[command(flatten)]
    pins: Pins,

    /// Make the socket in this cgroup.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,

    /// Make the socket in this network namespace.
    #[arg(long, value_name = "FILE")]
    netns: Option<PathBuf>,
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is caught, as one of the node's own network namespace.
    OfNode,
    /// It is caught, as one of another network namespace.
    OfOther,
    /// It is not caught.
    Not,
}

impl Heard {
    /// One made by this thread.
    pub(super) fn here(pins: &Pins) -> Result<Self> {
        let pins = pins.dir();
        let node = dump::settings(&pins)?.netns();
        Ok(match sing_pinned(&pins)? {
            Some(netns) if netns == node => Self::OfNode,
            Some(_) => Self::OfOther,
            None => Self::Not,
        })
    }

    /// As the child's exit code, apart from those of failures.
    const fn code(self) -> i32 {
        match self {
            Self::OfNode => 0,
            Self::OfOther => 10,
            Self::Not => 11,
        }
    }

    /// Of a child's exit code.
    pub(super) fn of_code(code: i32) -> Option<Self> {
        [Self::OfNode, Self::OfOther, Self::Not]
            .into_iter()
            .find(|heard| heard.code() == code)
    }
}

impl Canary {
    pub(super) fn execute(&self) -> Result<()> {
        // A process that is left behind in the cgroup of a pod would keep the pod from ending.
        set_pdeathsig(Signal::SIGKILL).context("cannot end with the parent")?;
        if let Some(cgroup) = &self.cgroup {
            enter(cgroup)?;
        }
        if let Some(netns) = &self.netns {
            let file = File::open(netns).with_context(|| netns.display().to_string())?;
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("cannot enter {}", netns.display()))?;
        }
        exit(Heard::here(&self.pins)?.code());
    }
}

/// A threaded cgroup is entered by threads, and only from the domain above it.
fn enter(cgroup: &Path) -> Result<()> {
    if kind(cgroup) != "threaded" {
        return write(&cgroup.join("cgroup.procs"));
    }
    let domain = cgroup.ancestors().find(|path| kind(path) != "threaded");
    write(&domain.context("the cgroup has no domain")?.join("cgroup.procs"))?;
    write(&cgroup.join("cgroup.threads"))
}

/// The root of the hierarchy has none.
fn kind(cgroup: &Path) -> String {
    let text = fs::read_to_string(cgroup.join("cgroup.type")).unwrap_or_default();
    text.trim().to_owned()
}

fn write(file: &Path) -> Result<()> {
    fs::write(file, "0").with_context(|| format!("cannot enter by {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_has_heard_is_never_mistaken_for_a_failure() {
        for heard in [Heard::OfNode, Heard::OfOther, Heard::Not] {
            assert_eq!(Heard::of_code(heard.code()), Some(heard));
        }
        for failure in [1, 2, 101] {
            assert_eq!(Heard::of_code(failure), None);
        }
    }
}
