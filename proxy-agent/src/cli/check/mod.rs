//! `kube-portal check`: for whoever is called at night. It changes nothing and needs no running agent.

mod canaries;
mod cgroups;
mod finding;
mod places;
mod traffic;

use std::{
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::sys::utsname::uname;
use tokio::sync::watch;

use self::finding::{Finding, State};
use super::{Output, Pins};
use crate::{
    dataplane::bpf::{
        dump,
        sockets::{CgroupRoot, links},
    },
    explain::explain,
};

/// So many cgroups and network namespaces are looked at.
const SAMPLE: usize = 8;
/// At the start of an agent, which has other things to do.
const FEW: usize = 2;

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pins: Pins,

    /// The cgroup v2 directory that the programs should be attached to, instead of the root of the hierarchy: as `kube-portal run` has
    /// it.
    #[arg(long, value_name = "PATH")]
    cgroup_root: Option<PathBuf>,

    /// Lines for people or JSON for programs.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,

    /// Look at sockets in these cgroups instead of some that have processes.
    #[arg(long, value_name = "PATH", hide = true)]
    only_cgroup: Vec<PathBuf>,

    /// Look at sockets in these network namespaces instead of some that there are.
    #[arg(long, value_name = "FILE", hide = true)]
    only_netns: Vec<PathBuf>,
}

impl Check {
    pub(super) fn execute(&self) -> Result<()> {
        let findings = self.findings()?;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
            Output::Table => findings.iter().for_each(|finding| println!("{finding}")),
        }
        match findings
            .iter()
            .filter(|finding| finding.state == State::Failed)
            .count()
        {
            0 => Ok(()),
            failed => bail!("{failed} of {} checks failed", findings.len()),
        }
    }

    fn findings(&self) -> Result<Vec<Finding>> {
        let pins = self.pins.dir();
        let is_pinned = pins.maps().try_exists();
        if !is_pinned.context("cannot look at the pinned maps: are you root?")? {
            return Ok(vec![no_agent(&self.pins.pin_root)]);
        }
        let mut findings = vec![kernel()?];
        findings.extend(traffic::findings(&dump::settings(&pins)?));
        match CgroupRoot::find(self.cgroup_root.as_deref()) {
            Ok(root) => findings.extend(self.of_sockets(&root)?),
            Err(error) => findings.push(Finding::failed("cgroup", explain(&error), cgroups::MOUNT)),
        }
        Ok(findings)
    }

    fn of_sockets(&self, root: &CgroupRoot) -> Result<Vec<Finding>> {
        let mut findings = cgroups::findings(root, &links(&self.pins.dir())?);
        findings.push(canaries::own(&self.pins));
        let cgroups = those_or(&self.only_cgroup, || places::cgroups(root.path(), SAMPLE));
        findings.push(canaries::in_cgroups(&self.pins, cgroups));
        let netns = those_or(&self.only_netns, || places::netns(SAMPLE));
        findings.push(canaries::in_netns(&self.pins, netns));
        Ok(findings)
    }
}

/// Says in the log whether sockets of pods are caught, each time that those of this process have begun to be.
pub(super) async fn follow(pins: Pins, mut caught: watch::Receiver<Option<CgroupRoot>>) {
    while caught.changed().await.is_ok() {
        let root = caught.borrow_and_update().clone();
        if let Some(root) = root {
            let pins = pins.clone();
            // Not a task: the end of the process does not wait for it.
            thread::spawn(move || look_at_pods(&pins, &root));
        }
    }
}

fn look_at_pods(pins: &Pins, root: &CgroupRoot) {
    let findings = [
        canaries::in_cgroups(pins, places::cgroups(root.path(), FEW)),
        canaries::in_netns(pins, places::netns(FEW)),
    ];
    for finding in findings {
        match finding.state {
            // An agent in a container need not see others' cgroups.
            State::Ok | State::Warning => tracing::info!("sockets of pods: {finding}"),
            State::Failed => tracing::warn!("sockets of pods: {finding}"),
        }
    }
}

fn those_or(given: &[PathBuf], found: impl FnOnce() -> Vec<PathBuf>) -> Vec<PathBuf> {
    if given.is_empty() {
        found()
    } else {
        given.to_owned()
    }
}

fn kernel() -> Result<Finding> {
    let kernel = uname().context("cannot tell the kernel")?;
    let release = kernel.release().to_string_lossy();
    Ok(Finding::ok("kernel", format!("Linux {release}")))
}

fn no_agent(pin_root: &Path) -> Finding {
    let finding = format!(
        "nothing is pinned below {}: no programs serve this node",
        pin_root.display()
    );
    Finding::failed(
        "agent",
        finding,
        "start `kube-portal run`, which says in its log where it serves by iptables rules instead; --pin-root names another place",
    )
}
