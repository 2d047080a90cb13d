//! The packets of the tables, and who sends them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use proxy_agent::model::Protocol;

/// The own addresses of the node of the tables and of the random clusters.
pub(crate) const NODE: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(192, 168, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// The first packet of a flow, as it arrives at the node or leaves one of its processes.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    /// What it came in by; `None` from a process of the node.
    pub(crate) interface: Option<String>,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: Protocol,
    /// The own addresses of the node that it is at.
    pub(crate) node: Arc<[IpAddr]>,
}

impl Packet {
    /// Whether an address is one of the node's own.
    pub(crate) fn is_node(&self, address: IpAddr) -> bool {
        self.node.contains(&address)
    }

    /// From `CLIENT[@INTERFACE]` to `ADDRESS:PORT[/PROTOCOL]`, where names stand for well-known addresses.
    pub(crate) fn parse(from: &str, to: &str) -> Self {
        let (client, interface) = match from.split_once('@') {
            Some((client, interface)) => (client, Some(interface.to_owned())),
            None => (from, None),
        };
        let (destination, protocol) = to.split_once('/').unwrap_or((to, "TCP"));
        Self {
            source: address(client),
            interface,
            destination: socket(destination),
            protocol: match protocol {
                "TCP" => Protocol::Tcp,
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                other => panic!("{other} is no protocol"),
            },
            node: NODE.into(),
        }
    }
}

fn socket(text: &str) -> SocketAddr {
    let (host, port) = text.rsplit_once(':').expect("ADDRESS:PORT");
    let host = host.trim_start_matches('[').trim_end_matches(']');
    SocketAddr::new(address(host), port.parse().expect("a port"))
}

fn address(text: &str) -> IpAddr {
    let address = match text {
        "pod" => "10.0.0.2",
        "node" => "192.168.0.2",
        "node-2nd" => "192.168.1.2",
        "localhost" => "127.0.0.1",
        "external" => "203.0.113.2",
        "blocked" => "203.0.113.130",
        "pod6" => "fd00:10::2",
        "node6" => "2001:db8::2",
        "node6-2nd" => "2001:db8:1::2",
        "localhost6" => "::1",
        "external6" => "2001:db8:2::2",
        "blocked6" => "2001:db8:3::2",
        other => other,
    };
    address.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}
