//! Two nodes that look the same to the API server: kube-proxy serves one, kube-portal the other.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::{Agent, Source},
    apiserver::{self, ApiServer, Write},
    iptables::Iptables,
    kube_proxy::{self, KubeProxy, Setup},
    scratch::Scratch,
    skip,
    topology::{Host, Topology, control_host},
    wait,
};
use proxy_agent::model::Family;
use serde_json::{Value, json};

use crate::{marker::Marker, rules::Rules};

/// The name of both.
pub(crate) const NODE: &str = "node1";
const NAMES: [&str; 2] = ["kube-proxy", "kube-portal"];
/// How long both may take to follow a change.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the second after which stale chains are looked for again, and a pass.
const ZONE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(20);

/// The nodes, and the API server that both follow.
#[derive(Debug)]
pub(crate) struct Twins {
    // Fields are dropped from top to bottom: nothing may outlive its namespace or its directory.
    proxies: Option<(KubeProxy, Agent)>,
    server: ApiServer,
    _control: Host,
    topologies: [Topology; 2],
    scratch: Scratch,
    iptables: Iptables,
    kube_proxy: PathBuf,
    marker: Marker,
}

impl Twins {
    /// Builds all of it but the proxies, whose rules go to the world `iptables`; `None`, after printing that `test` is skipped,
    /// without the programs.
    pub(crate) fn build(test: &str, iptables: Iptables) -> Option<Self> {
        let binaries = apiserver::find(test)?;
        let Some(kube_proxy) = kube_proxy::find() else {
            skip::skipped(
                test,
                "kube-proxy is not built; `cargo xtask test` builds it with go",
            );
            return None;
        };
        let built = Self::with(&binaries, kube_proxy, iptables);
        Some(built.expect("two nodes and an API server"))
    }

    fn with(binaries: &apiserver::Binaries, kube_proxy: PathBuf, iptables: Iptables) -> Result<Self> {
        let topologies = [Topology::build()?, Topology::build()?];
        let nodes = topologies.each_ref().map(|topology| &topology.nodes[0].host);
        let control = control_host(&nodes)?;
        let scratch = Scratch::create()?;
        let server = ApiServer::start(binaries, &control, scratch.path())?;
        let twins = Self {
            proxies: None,
            server,
            _control: control,
            topologies,
            scratch,
            iptables,
            kube_proxy,
            marker: Marker::default(),
        };
        twins.write(&twins.marker.creation())?;
        twins.write(&node_of(&twins.topologies[0].nodes[0].host))?;
        twins.hint()?;
        Ok(twins)
    }

    /// Makes these changes.
    pub(crate) fn write(&self, writes: &[Write]) -> Result<()> {
        self.server.admin().write_all(writes)
    }

    /// Starts both proxies with these flags, or again, on the rules that they left.
    pub(crate) fn start(&mut self, flags: &[&str]) -> Result<()> {
        self.proxies = None;
        let flags = [flags, &["--iptables-min-sync-period=10ms"]].concat();
        let [one, two] = self.topologies.each_ref().map(|topology| &topology.nodes[0].host);
        let kubeconfig = self.server.agent_kubeconfig();
        let setup = Setup {
            binary: &self.kube_proxy,
            kubeconfig,
            directory: self.scratch.path(),
            flags: &flags,
        };
        let kube_proxy = KubeProxy::start_in(self.iptables, one, setup)?;
        let source = Source::Kubeconfig(kubeconfig.to_owned());
        let flags = [&flags[..], &["--mode", "iptables"]].concat();
        let agent = Agent::start_from_with(source, two, &self.scratch, &flags)?;
        self.proxies = Some((kube_proxy, agent));
        Ok(())
    }

    /// Waits until both have seen everything that was written, and until their rules are the same; gives how many these are.
    ///
    /// # Errors
    ///
    /// Not in time, with what is different chain by chain.
    pub(crate) fn settle(&mut self) -> Result<usize> {
        let marks = self.marker.advance();
        self.write(&marks)?;
        self.agree()
    }

    /// As [`settle`](Self::settle), where kube-proxy deletes stale chains in a pass a while after the last such one, or in none: the
    /// Node gets another zone until it has.
    ///
    /// # Errors
    ///
    /// As [`settle`](Self::settle).
    pub(crate) fn settle_with_zones(&mut self) -> Result<usize> {
        let marks = self.marker.advance();
        self.write(&marks)?;
        let mut zones = ["a", "b"].into_iter().cycle();
        wait::until("a pass that leaves the same rules", PATIENCE, || {
            self.write(&[Write::Apply(Self::node(zones.next()))])?;
            self.agree_within(ZONE)
        })
    }

    /// Waits until both have these texts in a rule for IPv4, or until neither has.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub(crate) fn wait_for_rule(&self, texts: &[&str], is_there: bool) -> Result<()> {
        wait::until_every(PAUSE, "both follow", PATIENCE, || {
            for (twin, name) in NAMES.into_iter().enumerate() {
                let has = self.rules(twin)?.has(crate::FAMILIES[0], texts);
                ensure!(has == is_there, "{name}: {has} for {texts:?}");
            }
            Ok(())
        })
    }

    /// Changes one endpoint of one Service, and gives how many rules kube-proxy and we have written for that.
    ///
    /// # Errors
    ///
    /// As [`Self::settle`], which has to be called before: changes that are on their way would count, too.
    pub(crate) fn written_for_one_endpoint(&mut self) -> Result<[f64; 2]> {
        let marks = self.marker.advance_slice();
        self.write(&marks)?;
        self.agree()?;
        let (kube_proxy, agent) = self.proxies.as_ref().context("nothing runs")?;
        Ok([written_by_kube_proxy(kube_proxy)?, written_by(agent)?])
    }

    fn agree(&self) -> Result<usize> {
        self.agree_within(PATIENCE)
    }

    fn agree_within(&self, limit: Duration) -> Result<usize> {
        let agreed = wait::until_every(PAUSE, "the same rules", limit, || {
            let both = [self.rules(0)?, self.rules(1)?];
            for (rules, name) in both.iter().zip(NAMES) {
                self.marker.find(rules).context(name)?;
            }
            let difference = both[0].difference(&both[1], NAMES);
            ensure!(difference.is_empty(), "they are not\n{difference}");
            Ok(both[0].count())
        });
        let log = self.proxies.as_ref().map(|(_, agent)| agent.log_tail());
        agreed.with_context(|| format!("the agent's log ends with\n{}", log.unwrap_or_default()))
    }

    /// The Node, in a zone or in none.
    pub(crate) fn node(zone: Option<&str>) -> Value {
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:10:244::/64"]}});
        if let Some(zone) = zone {
            node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
        }
        node
    }

    /// Of the two worlds of rules the agent takes the one with kubelet's hint; kube-proxy gets the same by its PATH.
    fn hint(&self) -> Result<()> {
        for topology in &self.topologies {
            for family in Family::ALL {
                let ns = &topology.nodes[0].host.ns;
                self.iptables.run(ns, family, "-t mangle -N KUBE-IPTABLES-HINT")?;
            }
        }
        Ok(())
    }

    /// Of kube-proxy, which is 0, or of ours.
    pub(crate) fn rules(&self, twin: usize) -> Result<Rules> {
        let mut rules = Rules::default();
        for (family, name) in Family::ALL.into_iter().zip(crate::FAMILIES) {
            let ns = &self.topologies[twin].nodes[0].host.ns;
            rules.add(name, &self.iptables.save(ns, family)?);
        }
        Ok(rules)
    }
}

/// The Node object of this machine, with its addresses.
pub(crate) fn node_of(host: &Host) -> [Write; 2] {
    let addresses = Family::ALL.map(|family| json!({"type": "InternalIP", "address": host.ip(family)}));
    let node = Twins::node(None);
    [
        Write::Apply(node.clone()),
        Write::Status(node, json!({"addresses": addresses})),
    ]
}

/// In its last pass over IPv4.
fn written_by_kube_proxy(kube_proxy: &KubeProxy) -> Result<f64> {
    let written = |table| {
        kube_proxy.metric(&format!(
            "kubeproxy_sync_proxy_rules_iptables_last{{ip_family=\"IPv4\",table=\"{table}\"}}"
        ))
    };
    Ok(written("filter")? + written("nat")?)
}

/// In its last pass, over the families in which something had changed.
fn written_by(agent: &Agent) -> Result<f64> {
    let log = agent.log();
    let last = log.lines().rev().find(|line| line.contains(": synced "));
    let updates = last.and_then(|line| line.split_once(" updates=")?.1.split(' ').next());
    Ok(updates.context("the agent has not logged a pass")?.parse()?)
}
