//! Who has which address: those of the topology, which a runner with real devices has to hold against its own.

use std::net::IpAddr;

use ipnet::IpNet;
use proxy_agent::model::{DetectLocal, Family, NodeContext};

use super::Node;
use crate::topology::pod_network;

/// By the names of the topology.
const ADDRESSES: [(&str, &str, &str); 9] = [
    ("client", "192.168.50.100", "fd00:50::100"),
    ("node1", "192.168.50.11", "fd00:50::11"),
    ("node2", "192.168.50.12", "fd00:50::12"),
    ("nginx-a", "192.168.166.157", "fd00:10:166::157"),
    ("nginx-b", "192.168.166.166", "fd00:10:166::166"),
    ("nginx-c", "192.168.166.162", "fd00:10:166::162"),
    ("shell-1", "192.168.166.150", "fd00:10:166::150"),
    ("shell-2", "192.168.166.171", "fd00:10:166::171"),
    ("shell-3", "192.168.166.172", "fd00:10:166::172"),
];

/// The address of a machine of the topology.
///
/// # Panics
///
/// When there is none of that name.
#[must_use]
pub fn address(name: &str, family: Family) -> IpAddr {
    let found = ADDRESSES.iter().find(|(own, ..)| *own == name);
    let (_, v4, v6) = found.unwrap_or_else(|| panic!("nobody is called {name}"));
    let text = if family == Family::V4 { v4 } else { v6 };
    text.parse().expect("the table's own addresses are right")
}

/// A node's addresses, one of each family.
#[must_use]
pub fn node_addresses(node: Node) -> Vec<IpAddr> {
    Family::ALL.map(|family| address(node.name(), family)).to_vec()
}

/// The addresses that pods are known by.
#[must_use]
pub fn pods() -> Vec<IpNet> {
    let network = |family| {
        pod_network(family)
            .parse()
            .expect("the topology's own networks are right")
    };
    Family::ALL.map(network).to_vec()
}

/// The networks of all virtual IPs of the table.
#[must_use]
pub const fn virtual_networks(family: Family) -> [&'static str; 3] {
    match family {
        Family::V4 => ["10.97.0.0/16", "10.98.0.0/16", "10.99.0.0/16"],
        Family::V6 => ["fd00:10:97::/48", "fd00:10:98::/48", "fd00:10:99::/48"],
    }
}

/// A node's settings: the usual ones, and how pods are known.
#[must_use]
pub fn node_context(node: Node) -> NodeContext {
    NodeContext {
        name: node.name().to_owned(),
        detect_local: DetectLocal::ClusterCidr(pods()),
        ..NodeContext::default()
    }
}
