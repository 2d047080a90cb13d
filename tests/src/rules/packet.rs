//! What the rules are asked about.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use proxy_agent::model::Protocol;

/// The first packet of a flow.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sends it.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// What it came in by; `None` from a process of the node.
    pub interface: Option<String>,
    /// Whether that is a bridge, and netfilter sees its ports.
    pub from_bridge_port: bool,
}

/// What the kernel knows besides the rules.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its own addresses, besides those of the loopback device.
    pub addresses: Vec<IpAddr>,
    /// What packets leave by: the longest prefix counts.
    pub routes: Vec<(IpNet, String)>,
    /// The lists of `-m recent`: how many seconds ago they have seen whom.
    pub recent: BTreeMap<String, BTreeMap<IpAddr, u32>>,
}

impl Packet {
    /// A TCP packet of a process of the node.
    #[must_use]
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            protocol: Protocol::Tcp,
            interface: None,
            from_bridge_port: false,
        }
    }

    /// The same, arriving by this interface.
    #[must_use]
    pub fn from_interface(self, name: &str) -> Self {
        Self {
            interface: Some(name.to_owned()),
            ..self
        }
    }
}

impl Node {
    /// Whether the routing table calls an address local.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// What packets to this address leave by.
    pub(super) fn route(&self, to: IpAddr) -> Option<&str> {
        if self.is_local(to) {
            return Some("lo");
        }
        let fitting = self.routes.iter().filter(|(net, _)| net.contains(&to));
        let longest = fitting.max_by_key(|(net, _)| net.prefix_len());
        longest.map(|(_, name)| name.as_str())
    }
}
