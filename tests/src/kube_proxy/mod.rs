//! The real kube-proxy on a node: whom kube-portal is compared with.

mod backend;

use std::{
    collections::BTreeSet,
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{agent::metrics, iptables::Iptables, netns::NetNs, process::Process, signals, topology::Host};
pub use backend::Backend;

/// Names the directory that it is in; `cargo xtask` sets it.
const VARIABLE: &str = "KUBE_PORTAL_APISERVER_DIR";
/// How long it may take to write the rules of ten thousand Services.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(200);

/// How it does it: its `--proxy-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By iptables rules.
    Iptables,
    /// By nftables rules.
    Nftables,
}

/// A running kube-proxy. It is killed on drop; its rules go with the node's namespace.
#[derive(Debug)]
pub struct KubeProxy {
    mode: Mode,
    backend: Backend,
    ns: Arc<NetNs>,
    process: Process,
}

/// Whom a kube-proxy serves, and how it gets to know.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The program.
    pub binary: &'a Path,
    /// The API server.
    pub kubeconfig: &'a Path,
    /// Where it keeps its log.
    pub directory: &'a Path,
    /// What else it is told, such as `--cluster-cidr=10.244.0.0/16`.
    pub flags: &'a [&'a str],
}

/// The program, if it has been built.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(VARIABLE)?).join("kube-proxy");
    path.is_file().then_some(path)
}

impl KubeProxy {
    /// Starts it on `node`, of which the API server has a Node object of that name with its addresses.
    ///
    /// It leaves alone what is not the node's own: the size of the machine's conntrack table, and how soon the kernel would kill it
    /// for memory.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to.
    pub fn start(mode: Mode, node: &Host, setup: Setup<'_>) -> Result<Self> {
        let directory = setup.directory_for(mode, node)?;
        let backend = Backend::choose(mode, &directory)?;
        Self::with(mode, backend, node, setup)
    }

    /// The same by iptables rules in this world.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to, or the world's programs are not installed.
    pub fn start_in(world: Iptables, node: &Host, setup: Setup<'_>) -> Result<Self> {
        let mode = Mode::Iptables;
        let backend = Backend::of(world, &setup.directory_for(mode, node)?)?;
        Self::with(mode, backend, node, setup)
    }

    fn with(mode: Mode, backend: Backend, node: &Host, setup: Setup<'_>) -> Result<Self> {
        let directory = setup.directory_for(mode, node)?;
        let mut command = node.ns.command(setup.binary);
        command
            .arg("--kubeconfig")
            .arg(setup.kubeconfig)
            .args(["--hostname-override", &node.name])
            .args(["--proxy-mode", mode.flag()])
            .args(setup.flags)
            .args([
                "--conntrack-max-per-core=0",
                "--conntrack-min=0",
                "--oom-score-adj=0",
            ])
            .env("PATH", backend.path());
        let process = Process::start("kube-proxy", &mut command, &directory)?;
        Ok(Self {
            mode,
            backend,
            ns: Arc::clone(&node.ns),
            process,
        })
    }

    /// Waits until its rules name all of these ClusterIPs.
    ///
    /// # Errors
    ///
    /// Not in time, or it has ended, or the user does not want to wait.
    pub fn wait_for(&mut self, cluster_ips: &[IpAddr]) -> Result<()> {
        let (ns, backend, mode) = (&self.ns, &self.backend, self.mode);
        // Reading all rules takes the processor from who writes them.
        self.process.wait_until_every(PAUSE, PATIENCE, || {
            if let Err(interrupted) = signals::check() {
                return Ok(Err(interrupted));
            }
            match first_missing(&backend.rules(mode, ns)?, cluster_ips) {
                Some(missing) => bail!("no rule for {missing}"),
                None => Ok(Ok(())),
            }
        })?
    }

    /// The value of one series of its metrics, such as `kubeproxy_sync_proxy_rules_iptables_last{ip_family="IPv4",table="nat"}`.
    ///
    /// # Errors
    ///
    /// It does not answer, or there is no such series.
    pub fn metric(&self, series: &str) -> Result<f64> {
        metrics::value(&self.metrics()?, series)
    }

    /// All of its metrics.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn metrics(&self) -> Result<String> {
        metrics::scrape(&self.ns, metrics::ADDRESS)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// What its rules are written with, as in `iptables v1.8.9 (legacy)`.
    ///
    /// # Errors
    ///
    /// It is not installed.
    pub fn backend(&self) -> Result<String> {
        self.backend.version(self.mode)
    }
}

impl Setup<'_> {
    fn directory_for(&self, mode: Mode, node: &Host) -> Result<PathBuf> {
        let name = format!("kube-proxy-{}-{}", mode.flag(), node.name);
        let directory = self.directory.join(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}

impl Mode {
    const fn flag(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

/// The first of the addresses that `rules` do not have.
fn first_missing(rules: &str, addresses: &[IpAddr]) -> Option<IpAddr> {
    let is_between = |character: char| !character.is_ascii_hexdigit() && !":.".contains(character);
    let words: BTreeSet<&str> = rules.split(is_between).collect();
    let is_missing = |address: &&IpAddr| !words.contains(address.to_string().as_str());
    addresses.iter().find(is_missing).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_found_as_part_of_a_longer_one() {
        let rules = "-A KUBE-SERVICES -d 10.96.1.10/32 -p tcp\n110.96.1.1 . tcp\n";
        let (there, not_there) = ("10.96.1.10".parse().unwrap(), "10.96.1.1".parse().unwrap());
        assert_eq!(first_missing(rules, &[there]), None);
        assert_eq!(first_missing(rules, &[there, not_there]), Some(not_there));
    }
}
