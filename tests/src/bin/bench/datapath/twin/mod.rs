//! The same small cluster several times: the same wires, addresses and pods, with another proxy or none on its nodes.

mod proxies;
mod reference;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use harness::{
    exec,
    netns::NetNs,
    signals,
    topology::{Host, Topology},
    wait,
};
use proxy_agent::model::Family;

use super::path::{Address, Client, Path};
use crate::{
    load::{self, Server},
    services::{self, Destination, PATIENCE, PODS},
};
pub(super) use proxies::Proxies;
pub(super) use reference::Reference;

/// Whose cluster it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proxy {
    /// No proxy ever ran there.
    Bare,
    /// Programs that do nothing, where kube-portal has its own: what its hooks cost before it does anything.
    Empty,
    KubePortal,
    Iptables,
    Nftables,
}

/// One cluster.
pub(super) struct Twin {
    pub(super) proxy: Proxy,
    // Fields are dropped from top to bottom: nothing may outlive its namespace.
    pub(super) proxies: Proxies,
    _servers: [Server; 2],
    topology: Topology,
}

impl Proxy {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Empty => "empty programs",
            Self::KubePortal => "kube-portal",
            Self::Iptables => "kube-proxy iptables",
            Self::Nftables => "kube-proxy nftables",
        }
    }

    pub(super) const fn is_kube_proxy(self) -> bool {
        matches!(self, Self::Iptables | Self::Nftables)
    }
}

impl Twin {
    /// Builds it, without any proxy yet.
    pub(super) fn build(proxy: Proxy) -> Result<Self> {
        let topology = Topology::build()?;
        prepare(&topology)?;
        let serve = |destination| {
            let pod = pod(&topology, destination);
            let ports = services::leading_to(destination)
                .flat_map(|index| [services::target_port(index), services::direct_port(index)]);
            Server::start(&pod.ns, pod.ip(Family::V4), ports)
        };
        Ok(Self {
            proxy,
            proxies: Proxies::None,
            _servers: [serve(Destination::Local)?, serve(Destination::Remote)?],
            topology,
        })
    }

    pub(super) fn nodes(&self) -> [&Host; 2] {
        self.topology.nodes.each_ref().map(|node| &node.host)
    }

    /// Tells its proxies of so many Services, and starts those that do not run.
    pub(super) fn serve(&mut self, services: u32, reference: Option<&Reference>) -> Result<()> {
        self.proxies = match (&self.proxies, self.proxy, reference) {
            (Proxies::Portal { .. } | Proxies::Empty(_), ..) => return self.proxies.grow(services),
            (_, Proxy::Empty, _) => Proxies::empty(self.nodes())?,
            (_, Proxy::KubePortal, _) => Proxies::portal(self.nodes(), services)?,
            (.., Some(reference)) => reference.start_proxies(self)?,
            (.., None) => Proxies::None,
        };
        Ok(())
    }

    /// The way on this twin that is measured for `path`: where nobody translates it is straight to the pod.
    pub(super) fn way(&self, path: Path) -> Path {
        if matches!(self.proxy, Proxy::Bare | Proxy::Empty) {
            path.direct()
        } else {
            path
        }
    }

    /// Where the client of `way` is, and what it asks for.
    pub(super) fn ends(&self, way: Path) -> (&NetNs, Vec<SocketAddr>) {
        let [one, _] = &self.topology.nodes;
        let client = match way.client {
            Client::Pod => client_pod(&self.topology),
            Client::Outside => &self.topology.client,
        };
        let pod = pod(&self.topology, way.destination);
        let target = |index| match way.address {
            Address::Direct => pod.at(Family::V4, services::direct_port(index)),
            Address::ClusterIp => SocketAddr::new(services::cluster_ip(index, Family::V4), 80),
            Address::NodePort => one.host.at(Family::V4, services::node_port(index)),
        };
        let targets = services::leading_to(way.destination).map(target);
        (&client.ns, targets.collect())
    }

    /// Waits until every target of each path answers; neighbours are known then, too.
    pub(super) fn wait_until_served(&self) -> Result<()> {
        for path in Path::ALL {
            let (ns, targets) = self.ends(self.way(path));
            let what = format!("{}: {}", self.proxy.label(), path.label());
            wait::until(&what, PATIENCE, || {
                if let Err(interrupted) = signals::check() {
                    return Ok(Err(interrupted));
                }
                for target in &targets {
                    ns.run(|| load::connections(&[*target], Duration::ZERO))
                        .with_context(|| format!("no answer from {target}"))?;
                }
                Ok(Ok(()))
            })??;
        }
        Ok(())
    }
}

fn pod(topology: &Topology, destination: Destination) -> &Host {
    let [one, two] = &topology.nodes;
    match destination {
        Destination::Local => &one.pods[0],
        Destination::Remote => &two.pods[0],
    }
}

const fn client_pod(topology: &Topology) -> &Host {
    &topology.nodes[0].pods[2]
}

/// Lets traffic from outside reach pods by the first node, and answers take the same way back, as they do through a NodePort; and
/// lets connects to what does not answer fail soon.
fn prepare(topology: &Topology) -> Result<()> {
    let client = &topology.client;
    let [one, two] = topology.nodes.each_ref().map(|node| &node.host);
    let via = one.ip(Family::V4);
    let towards_pods = format!("route add {PODS} via {via}\n");
    let back = format!("route add {}/32 via {via}\n", client.ip(Family::V4));
    exec::ip_batch(Some(client.ns.name()), &towards_pods)?;
    exec::ip_batch(Some(two.ns.name()), &back)?;
    // It would tell both of the shorter way.
    one.ns.sysctl(&[
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/eth0/send_redirects", "0"),
    ])?;
    for host in [client, client_pod(topology)] {
        host.ns.sysctl(&[("ipv4/tcp_syn_retries", "2")])?;
    }
    Ok(())
}
