//! Packets and rules in few words.

use std::net::SocketAddr;

use harness::rules::{Answer, Fate, Node, Packet, Rules};

/// Arrives by `eth0`.
pub(crate) fn arriving(source: &str, destination: &str) -> Packet {
    own(source, destination).from_interface("eth0")
}

/// Of a process of the node.
pub(crate) fn own(source: &str, destination: &str) -> Packet {
    Packet::tcp(socket(source), socket(destination))
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no address and port"))
}

/// The node at 192.0.2.1, with pods behind `cni0` and all others behind `eth0`.
pub(crate) fn node() -> Node {
    let route = |net: &str, device: &str| (net.parse().expect("a network"), device.to_owned());
    Node {
        addresses: ["192.0.2.1", "2001:db8::1"]
            .map(|at| at.parse().expect("an address"))
            .to_vec(),
        routes: vec![
            route("0.0.0.0/0", "eth0"),
            route("::/0", "eth0"),
            route("10.0.0.0/8", "cni0"),
        ],
        ..Node::default()
    }
}

pub(crate) fn rules(text: &str) -> Rules {
    Rules::from_restore(text).unwrap_or_else(|error| panic!("{error:#}"))
}

pub(crate) fn ask(rules: &Rules, node: &Node, packet: &Packet) -> Answer {
    let answer = rules
        .ask(node, packet)
        .unwrap_or_else(|error| panic!("{error:#}"));
    let sum: f64 = answer.0.values().sum();
    assert!(
        (sum - 1.0).abs() < 1e-12,
        "all probabilities together are {sum}: {answer}"
    );
    answer
}

/// What becomes of a packet that all rules treat alike.
pub(crate) fn fate(rules: &Rules, packet: &Packet) -> Fate {
    let answer = ask(rules, &node(), packet);
    let fates: Vec<Fate> = answer.fates().into_keys().collect();
    let [fate] = fates[..] else {
        panic!("there are many ways: {answer}");
    };
    fate
}

pub(crate) fn endpoint(text: &str) -> Fate {
    Fate::Endpoint(socket(text))
}
