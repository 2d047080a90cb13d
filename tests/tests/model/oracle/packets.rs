//! The packets that a random cluster is asked about.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use proxy_agent::model::Protocol;

use super::world::{NODE_PORTS, PORTS, PROTOCOLS, VIPS};
use crate::packet::{NODE, Packet};

/// Of the node's, of another node of this network, of nobody.
const OTHERS: [&str; 6] = [
    "192.168.0.2",
    "192.168.1.2",
    "192.168.0.9",
    "2001:db8::2",
    "2001:db8:1::2",
    "2001:db8::9",
];

/// Who asks: a pod, an endpoint, the node, two others, by what they come in.
const CLIENTS: [(&str, Option<&str>); 12] = [
    ("10.0.0.99", Some("cali99")),
    ("10.0.0.1", Some("cbr0")),
    ("192.168.0.2", None),
    ("192.168.1.2", None),
    ("203.0.113.2", Some("eth0")),
    ("203.0.113.130", Some("cali99")),
    ("fd00:10::99", Some("cali99")),
    ("fd00:10::1", Some("cbr0")),
    ("2001:db8::2", None),
    ("2001:db8:1::2", None),
    ("2001:db8:2::2", Some("eth0")),
    ("2001:db8:2::2", Some("cbr0")),
];

/// Everyone to everywhere: each client, and each destination as its own client.
pub(crate) fn all() -> Vec<Packet> {
    let node: Arc<[IpAddr]> = NODE.into();
    let to = |(destination, protocol): (SocketAddr, Protocol)| {
        let clients = CLIENTS.map(|(client, interface)| (address(client), interface));
        let clients = clients.into_iter().chain([(destination.ip(), None)]);
        let node = Arc::clone(&node);
        clients
            .filter(move |(client, _)| client.is_ipv4() == destination.is_ipv4())
            .map(move |(source, interface)| Packet {
                source,
                interface: interface.map(str::to_owned),
                destination,
                protocol,
                node: Arc::clone(&node),
            })
    };
    let destinations = destinations().into_iter();
    let destinations = destinations.flat_map(|at| PROTOCOLS.map(|protocol| (at, protocol)));
    destinations.flat_map(to).collect()
}

fn destinations() -> Vec<SocketAddr> {
    let services = VIPS.into_iter().flat_map(|at| PORTS.map(|port| (at, port)));
    let nodes = OTHERS
        .into_iter()
        .flat_map(|at| NODE_PORTS.map(|port| (at, port)));
    let all = services.chain(nodes);
    all.map(|(at, port)| SocketAddr::new(address(at), port)).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("the tests' own addresses are right")
}
