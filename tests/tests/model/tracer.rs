//! What `Desired` says about one packet, written from kube-proxy's rules and not from any dataplane.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use harness::rules::Fate;
use proxy_agent::model::{
    Desired, Endpoint, Family, Frontend, FrontendAddress, FrontendKey, LocalTraffic, Masquerade, WhenEmpty,
};

use crate::packet::Packet;

/// Where a packet goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// To one of these.
    Forward(BTreeSet<Target>),
    /// The client is told that nobody is there.
    Reject,
    /// The client is told nothing.
    Drop,
    /// The packet is no Service traffic.
    NoMatch,
}

/// An endpoint, its weight among those of the outcome, and whether the client's address is replaced on the way to it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) weight: u16,
    pub(crate) masquerade: bool,
}

enum Client {
    Pod,
    Node,
    External,
}

/// The endpoints that the packet may reach.
pub(crate) fn trace(desired: &Desired, packet: &Packet) -> Outcome {
    let Some((key, frontend)) = frontend(desired, packet) else {
        return Outcome::NoMatch;
    };
    let client = client(desired, packet);
    let scope = match client {
        Client::Pod | Client::Node => frontend.internal_clients,
        Client::External => frontend.external_clients,
    };
    let list = &desired.lists[&frontend.list_key(key.address.family(), scope)];
    match (list.endpoints.is_empty(), frontend.when_empty) {
        (true, WhenEmpty::Reject) => Outcome::Reject,
        // Ranges guard what is served: where nothing is, everyone is told so.
        _ if !is_let_in(frontend, packet.source) => Outcome::Drop,
        (true, WhenEmpty::Drop) => Outcome::Drop,
        (false, _) => {
            // An endpoint of weight 0 gets no new flow.
            let chosen = list.endpoints.iter().filter(|at| at.weight > 0);
            let targets = chosen.map(|at| target(at, frontend, &client, packet));
            Outcome::Forward(targets.collect())
        }
    }
}

/// Addresses of Services come before NodePorts.
fn frontend<'a>(desired: &'a Desired, packet: &Packet) -> Option<(FrontendKey, &'a Frontend)> {
    let find = |address| {
        let key = FrontendKey {
            address,
            port: packet.destination.port(),
            protocol: packet.protocol,
        };
        desired.frontends.get(&key).map(|frontend| (key, frontend))
    };
    let to = packet.destination.ip();
    let any_node = FrontendAddress::AnyNode(Family::of(to));
    find(FrontendAddress::Ip(to)).or_else(|| find(any_node).filter(|_| serves_node_ports(desired, packet)))
}

fn serves_node_ports(desired: &Desired, packet: &Packet) -> bool {
    let to = packet.destination.ip();
    packet.is_node(to) && desired.node.of(Family::of(to)).node_ports.serves(to)
}

fn is_let_in(frontend: &Frontend, client: IpAddr) -> bool {
    let ranges = &frontend.source_ranges;
    ranges.is_empty() || ranges.iter().any(|range| range.contains(&client))
}

/// The detector for pods is asked first: a pod's address may be one of the node's, too.
fn client(desired: &Desired, packet: &Packet) -> Client {
    if is_pod(desired, packet) {
        Client::Pod
    } else if packet.is_node(packet.source) {
        Client::Node
    } else {
        Client::External
    }
}

fn is_pod(desired: &Desired, packet: &Packet) -> bool {
    let came_by = packet.interface.as_deref();
    match &desired.node.of(Family::of(packet.source)).local_traffic {
        LocalTraffic::Unknown => false,
        LocalTraffic::Source(pods) => pods.contains(&packet.source),
        LocalTraffic::Bridge(name) => came_by == Some(name),
        LocalTraffic::InterfacePrefix(prefix) => came_by.is_some_and(|name| name.starts_with(prefix)),
    }
}

fn target(endpoint: &Endpoint, frontend: &Frontend, client: &Client, packet: &Packet) -> Target {
    let by_rule = match frontend.masquerade {
        Masquerade::Never => false,
        Masquerade::OffCluster => !matches!(client, Client::Pod),
        Masquerade::Node => matches!(client, Client::Node),
        Masquerade::Always => true,
    };
    Target {
        address: endpoint.address,
        port: endpoint.port,
        weight: endpoint.weight,
        masquerade: by_rule || endpoint.address == packet.source,
    }
}

/// `10.180.0.1:80, 10.180.2.1:80 masquerade`; with one who talks to itself, `10.180.0.1:80 hairpin, 10.180.2.1:80`; with weights,
/// `10.180.0.1:80 x3, 10.180.2.1:80`.
/// How likely a packet ends where, masqueraded or not, in the words of the interpreter of rules.
pub(crate) type Shares = BTreeMap<(Fate, bool), f64>;

impl Outcome {
    /// By the weights of the endpoints.
    pub(crate) fn shares(&self) -> Shares {
        let targets = match self {
            Self::Forward(targets) => targets,
            Self::Reject => return [((Fate::Rejected, false), 1.0)].into(),
            Self::Drop => return [((Fate::Dropped, false), 1.0)].into(),
            Self::NoMatch => return [((Fate::Untouched, false), 1.0)].into(),
        };
        let sum: f64 = targets.iter().map(|at| f64::from(at.weight)).sum();
        let share = |at: &Target| {
            let fate = Fate::Endpoint(SocketAddr::new(at.address, at.port));
            ((fate, at.masquerade), f64::from(at.weight) / sum)
        };
        targets.iter().map(share).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = match self {
            Self::Reject => return f.write_str("REJECT"),
            Self::Drop => return f.write_str("DROP"),
            Self::NoMatch => return f.write_str("no match"),
            Self::Forward(targets) => targets,
        };
        let all = targets.iter().all(|target| target.masquerade);
        let words = targets.iter().map(|target| {
            let at = SocketAddr::new(target.address, target.port);
            let weight = match target.weight {
                1 => String::new(),
                weight => format!(" x{weight}"),
            };
            let hairpin = if target.masquerade && !all { " hairpin" } else { "" };
            format!("{at}{weight}{hairpin}")
        });
        f.write_str(&words.collect::<Vec<_>>().join(", "))?;
        f.write_str(if all { " masquerade" } else { "" })
    }
}
