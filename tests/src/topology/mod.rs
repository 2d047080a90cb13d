//! A small cluster without Kubernetes: two nodes with three pods each, a LAN, and a client outside.
//!
//! ```text
//!  client 192.168.50.100                    knows the LAN only, no route to any pod
//!     │
//!  ═══╧═══════════ LAN 192.168.50.0/24 · fd00:50::/64 ═════════════
//!     │                                     │
//!  node1 .11                             node2 .12          forward, strict reverse-path filter
//!   ├─ nginx-a 192.168.166.157            ├─ nginx-c .162   routed veths as the ptp CNI and Calico make
//!   ├─ nginx-b .166                       ├─ shell-2 .171   them: no subnet on the node's side, /32 and
//!   └─ shell-1 .150                       └─ shell-3 .172   /128 in the pod
//! ```

mod control;
mod overlay;
mod plan;
mod uplink;
mod wiring;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;
use proxy_agent::model::Family;

use crate::{cgroup::Cgroup, netns::NetNs};
pub use control::control_host;
pub use overlay::overlay_ip;
pub use plan::pod_network;
pub use uplink::uplink_ip;
pub use wiring::{bridge_ip, pod_interface};

/// Something with one address per family in a namespace of its own.
#[derive(Debug)]
pub struct Host {
    /// Short name, unique in the topology.
    pub name: String,
    /// The node it runs on; a host of the LAN is its own.
    pub node: String,
    /// Where it lives.
    pub ns: Arc<NetNs>,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

/// A node and the pods on it.
#[derive(Debug)]
pub struct Node {
    /// The node itself, with its LAN addresses on `eth0`.
    pub host: Host,
    /// Its pods.
    pub pods: [Host; 3],
}

/// Both nodes, the LAN, and the client.
#[derive(Debug)]
pub struct Topology {
    /// `node1` and `node2`.
    pub nodes: [Node; 2],
    /// Outside of the cluster.
    pub client: Host,
    lan: NetNs,
}

impl Host {
    /// Its address in `family`.
    #[must_use]
    pub const fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }

    /// Its address and `port`.
    #[must_use]
    pub const fn at(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(family), port)
    }
}

impl Node {
    /// Adds a pod, as a CNI plugin does: `last` is the last number of its addresses. Only this
    /// node gets a route to it. Dropping the pod removes its interface.
    ///
    /// # Errors
    ///
    /// The address is taken.
    pub fn add_pod(&self, name: &str, last: u8) -> Result<Host> {
        let [ns] = NetNs::create_all([name])?;
        let pod = plan::pod(&self.host.name, name, ns, last);
        wiring::connect_pod(&self.host, &pod)?;
        if let Some(cgroup) = self.host.ns.cgroup() {
            pod.ns.join(Arc::clone(cgroup))?;
        }
        Ok(pod)
    }
}

impl Node {
    /// Gives the node a cgroup, in which from now on runs what runs on it and on its pods: sockets that are made there are those of
    /// this node.
    ///
    /// # Errors
    ///
    /// It has one already, or no cgroup v2 hierarchy is mounted.
    pub fn join_cgroup(&self) -> Result<()> {
        let cgroup = Arc::new(Cgroup::create(&self.host.name)?);
        let mut hosts = std::iter::once(&self.host).chain(&self.pods);
        hosts.try_for_each(|host| host.ns.join(Arc::clone(&cgroup)))
    }

    /// Puts its pods on a bridge instead of a routed veth each.
    ///
    /// # Errors
    ///
    /// A kernel without bridge devices, or pods that are on one already.
    pub fn bridge_pods(&self) -> Result<()> {
        wiring::bridge_pods(self)
    }
}

impl Topology {
    /// Builds everything; devices are up and addresses usable on return.
    ///
    /// # Errors
    ///
    /// Not root, iproute2 missing, or a kernel without veth or bridge devices.
    pub fn build() -> Result<Self> {
        let [lan, client, node1, node2, a, b, s1, c, s2, s3] = NetNs::create_all([
            "lan", "client", "node1", "node2", "nginx-a", "nginx-b", "shell-1", "nginx-c", "shell-2",
            "shell-3",
        ])?;
        let topology = Self {
            nodes: [
                Node {
                    host: plan::on_lan("node1", node1, 11),
                    pods: [
                        plan::pod("node1", "nginx-a", a, 157),
                        plan::pod("node1", "nginx-b", b, 166),
                        plan::pod("node1", "shell-1", s1, 150),
                    ],
                },
                Node {
                    host: plan::on_lan("node2", node2, 12),
                    pods: [
                        plan::pod("node2", "nginx-c", c, 162),
                        plan::pod("node2", "shell-2", s2, 171),
                        plan::pod("node2", "shell-3", s3, 172),
                    ],
                },
            ],
            client: plan::on_lan("client", client, 100),
            lan,
        };
        wiring::connect(&topology)?;
        Ok(topology)
    }

    /// Lets packets between pods of different nodes travel in VXLAN, as flannel does it: MTU 1450, nothing is learned.
    ///
    /// # Errors
    ///
    /// A kernel without VXLAN devices.
    pub fn build_overlay(&self) -> Result<()> {
        overlay::build(self)
    }

    /// Gives `node1` a second uplink, `eth1`, with a host behind it that knows no other way to the cluster.
    ///
    /// # Errors
    ///
    /// It has one already.
    pub fn add_uplink(&self) -> Result<Host> {
        let [ns] = NetNs::create_all(["uplink"])?;
        uplink::add(&self.nodes[0].host, ns)
    }

    /// Everything that runs on pods, node by node.
    pub fn pods(&self) -> impl Iterator<Item = &Host> {
        self.nodes.iter().flat_map(|node| &node.pods)
    }
}
