//! Where one packet goes by the objects alone: kube-proxy's rules in the order of its documentation, walked anew for every
//! packet. There are no lists and no frontends here, and nothing of the model's code.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use proxy_agent::model::{
    DetectLocal, EndpointSlice, Family, Node, NodePortAddresses, Protocol, Service, ServicePortSpec,
    SliceEndpoint, TrafficPolicy,
};

use super::world::World;
use crate::{
    packet::{Packet, is_node},
    tracer::{Outcome, Target},
};

/// What a packet met on its way, in words: how the tests know that they have been everywhere.
pub(super) type Met = BTreeSet<&'static str>;

/// Which address of the Service the packet is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    ClusterIp,
    ExternalIp,
    LoadBalancer,
    NodePort,
}

impl Door {
    const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "through a cluster IP",
            Self::ExternalIp => "through an external IP",
            Self::LoadBalancer => "through a load balancer IP",
            Self::NodePort => "through a node port",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Pod,
    Node,
    External,
}

/// An endpoint of the port that the packet is for.
#[derive(Clone, Copy)]
struct Entry<'a> {
    port: u16,
    said: &'a SliceEndpoint,
}

/// The answer for one packet.
pub(super) fn answer(world: &World, packet: &Packet, met: &mut Met) -> Outcome {
    let walk = Walk { world, packet };
    let Some((service, port, door)) = walk.meant(met) else {
        return Outcome::NoMatch;
    };
    walk.through(service, port, door, met)
}

struct Walk<'a> {
    world: &'a World,
    packet: &'a Packet,
}

impl<'a> Walk<'a> {
    /// The Service port that the packet is for: whose cluster IP it is comes first, then by names of Services.
    fn meant(&self, met: &mut Met) -> Option<(&'a Service, &'a ServicePortSpec, Door)> {
        let mut claims = Vec::new();
        for service in self.world.services.values() {
            for port in &service.ports {
                claims.extend(self.door(service, port, met).map(|door| (service, port, door)));
            }
        }
        let owners: BTreeSet<_> = claims.iter().map(|(service, ..)| &service.name).collect();
        if owners.len() > 1 {
            met.insert("several Services claim one address and port");
        }
        let of_cluster_ip = claims.iter().position(|(.., door)| *door == Door::ClusterIp);
        if of_cluster_ip.is_some_and(|index| index > 0) {
            met.insert("an earlier Service wants another's cluster IP");
        }
        claims.get(of_cluster_ip.unwrap_or(0)).copied()
    }

    fn door(&self, service: &Service, port: &ServicePortSpec, met: &mut Met) -> Option<Door> {
        let to = self.packet.destination;
        let is_same_family = |address: &&IpAddr| address.is_ipv4() == to.is_ipv4();
        if port.protocol != self.packet.protocol {
            return None;
        }
        if !service.cluster_ips.iter().any(|address| is_same_family(&address)) {
            if service.external_ips.contains(&to.ip()) {
                met.insert("an address of a family without a cluster IP");
            }
            return None;
        }
        if port.port == to.port() {
            if service.cluster_ips.contains(&to.ip()) {
                return Some(Door::ClusterIp);
            }
            if service.external_ips.contains(&to.ip()) {
                return Some(Door::ExternalIp);
            }
            if service.load_balancer_ips.contains(&to.ip()) {
                return Some(Door::LoadBalancer);
            }
        }
        let is_node_port = port.node_port == Some(to.port()) && is_node(to.ip());
        if is_node_port && !self.serves_node_ports(to.ip()) {
            met.insert("a node port at an address that serves none");
            return None;
        }
        is_node_port.then_some(Door::NodePort)
    }

    fn serves_node_ports(&self, address: IpAddr) -> bool {
        let is_same_family = |other: IpAddr| other.is_ipv4() == address.is_ipv4();
        match &self.world.context.node_port_addresses {
            NodePortAddresses::All => true,
            NodePortAddresses::Primary => {
                let addresses = self.own_node().map_or(&[][..], |node| &node.addresses);
                addresses.iter().find(|other| is_same_family(**other)) == Some(&address)
            }
            NodePortAddresses::Cidrs(ranges) => {
                let says_nothing = !ranges.iter().any(|range| is_same_family(range.addr()));
                says_nothing || ranges.iter().any(|range| range.contains(&address))
            }
        }
    }

    fn own_node(&self) -> Option<&'a Node> {
        self.world
            .nodes
            .values()
            .find(|node| node.name == self.world.context.name)
    }

    fn through(&self, service: &Service, port: &ServicePortSpec, door: Door, met: &mut Met) -> Outcome {
        let client = self.client(met);
        let entries = self.entries(service, port, met);
        let stays_here = match door {
            Door::ClusterIp => service.internal_traffic_policy == TrafficPolicy::Local,
            _ => service.external_traffic_policy == TrafficPolicy::Local && client == Client::External,
        };
        if door != Door::ClusterIp && service.external_traffic_policy == TrafficPolicy::Local && !stays_here {
            met.insert("external policy Local, but the client is of the node");
        }
        let usable = |entry: &&Entry<'_>| entry.said.ready || leaving(entry.said);
        if !entries.iter().any(|entry| usable(&entry)) {
            met.insert("refused");
            return Outcome::Reject;
        }
        if door == Door::LoadBalancer && !self.may_enter(service, met) {
            met.insert("dropped by ranges");
            return Outcome::Drop;
        }
        let chosen = match stays_here {
            true => self.of_those_here(&entries, met),
            false => self.of_all(&entries, met),
        };
        if chosen.is_empty() {
            met.insert("dropped, as endpoints are only elsewhere");
            return Outcome::Drop;
        }
        met.insert(self.kind_of_flow());
        met.insert(door.name());
        let masquerade = self.masquerade(service, door, client, met);
        let targets = chosen.iter().map(|entry| self.target(entry, masquerade, met));
        Outcome::Forward(targets.collect())
    }

    const fn kind_of_flow(&self) -> &'static str {
        match (self.packet.protocol, self.packet.destination.is_ipv4()) {
            (Protocol::Tcp, true) => "TCP over IPv4",
            (Protocol::Tcp, false) => "TCP over IPv6",
            (Protocol::Udp, true) => "UDP over IPv4",
            (Protocol::Udp, false) => "UDP over IPv6",
            (Protocol::Sctp, true) => "SCTP over IPv4",
            (Protocol::Sctp, false) => "SCTP over IPv6",
        }
    }

    fn client(&self, met: &mut Met) -> Client {
        let source = self.packet.source;
        let is_pod = match self.pods(met) {
            Pods::Unknown => false,
            Pods::From(range) => range.contains(&source),
            Pods::By(matches) => self.packet.interface.as_deref().is_some_and(matches),
        };
        let (client, word) = match (is_pod, is_node(source)) {
            (true, _) => (Client::Pod, "a pod asks"),
            (false, true) => (Client::Node, "the node asks"),
            (false, false) => (Client::External, "someone outside asks"),
        };
        met.insert(word);
        client
    }

    fn pods(&self, met: &mut Met) -> Pods<'a> {
        let by_range = |ranges: &[IpNet], met: &mut Met| {
            let is_same_family = |range: &&IpNet| range.addr().is_ipv4() == self.packet.source.is_ipv4();
            let first = ranges.iter().find(is_same_family);
            met.insert(if first.is_some() {
                "pods are a range"
            } else {
                "pods are unknown"
            });
            first.map_or(Pods::Unknown, |range| Pods::From(*range))
        };
        let by_name = |word, matches: Box<dyn Fn(&str) -> bool + 'a>, met: &mut Met| {
            met.insert(word);
            Pods::By(matches)
        };
        match &self.world.context.detect_local {
            DetectLocal::ClusterCidr(ranges) => by_range(ranges, met),
            DetectLocal::NodeCidr => {
                met.insert("pods are the Node's ranges");
                by_range(self.own_node().map_or(&[], |node| &node.pod_cidrs), met)
            }
            DetectLocal::BridgeInterface(bridge) => {
                by_name("pods come by a bridge", Box::new(move |name| name == bridge), met)
            }
            DetectLocal::InterfaceNamePrefix(prefix) => by_name(
                "pods come by a prefix",
                Box::new(move |name| name.starts_with(prefix)),
                met,
            ),
        }
    }

    /// What the slices say about the port. Of two entries for one address and port the better one counts: here before
    /// elsewhere, then ready before leaving before the rest, then the one that comes first.
    fn entries(&self, service: &Service, port: &ServicePortSpec, met: &mut Met) -> Vec<Entry<'a>> {
        let mut found: BTreeMap<(IpAddr, u16), Entry<'a>> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for slice in self
            .world
            .slices
            .values()
            .filter(|slice| self.is_of(slice, service))
        {
            for target in &slice.ports {
                if target.name != port.name || target.protocol != port.protocol {
                    continue;
                }
                numbers.insert(target.port);
                for said in &slice.endpoints {
                    let entry = Entry {
                        port: target.port,
                        said,
                    };
                    let known = found.entry((said.address, target.port)).or_insert(entry);
                    let scores = [known.said, said].map(|said| self.score(said));
                    if scores[0] != scores[1] {
                        met.insert("two entries for one endpoint that differ");
                    }
                    if scores[1] > scores[0] {
                        *known = entry;
                    }
                }
            }
        }
        if numbers.len() > 1 {
            met.insert("slices with different port numbers");
        }
        found.into_values().collect()
    }

    fn is_of(&self, slice: &EndpointSlice, service: &Service) -> bool {
        let is_the_services =
            slice.service == service.name.name && slice.name.namespace == service.name.namespace;
        let is_ipv4 = slice.family == Family::V4;
        is_the_services && is_ipv4 == self.packet.destination.is_ipv4()
    }

    fn score(&self, said: &SliceEndpoint) -> u8 {
        let here = if self.is_here(said) { 10 } else { 0 };
        match (said.ready, leaving(said)) {
            (true, true) => here + 3,
            (true, false) => here + 2,
            (false, true) => here + 1,
            (false, false) => here,
        }
    }

    fn is_here(&self, said: &SliceEndpoint) -> bool {
        said.node_name.as_ref() == Some(&self.world.context.name)
    }

    fn of_those_here(&self, entries: &[Entry<'a>], met: &mut Met) -> Vec<Entry<'a>> {
        let here = || entries.iter().copied().filter(|entry| self.is_here(entry.said));
        let ready: Vec<_> = here().filter(|entry| entry.said.ready).collect();
        let leaving: Vec<_> = here().filter(|entry| leaving(entry.said)).collect();
        match (ready.is_empty(), leaving.is_empty()) {
            (false, _) => ready,
            (true, true) => Vec::new(),
            (true, false) => {
                met.insert("of those here, only leaving ones");
                leaving
            }
        }
    }

    fn of_all(&self, entries: &[Entry<'a>], met: &mut Met) -> Vec<Entry<'a>> {
        let ready: Vec<_> = entries.iter().copied().filter(|entry| entry.said.ready).collect();
        if ready.is_empty() {
            met.insert("of all, only leaving ones");
            return entries
                .iter()
                .copied()
                .filter(|entry| leaving(entry.said))
                .collect();
        }
        let node = Some(&self.world.context.name);
        if let Some(near) = near(&ready, node, |said| &said.node_hints) {
            met.insert("node hints decide");
            return near;
        }
        let zone = self.own_node().and_then(|node| node.zone.as_ref());
        if let Some(near) = near(&ready, zone, |said| &said.zone_hints) {
            met.insert("zone hints decide");
            return near;
        }
        let hinted = ready
            .iter()
            .filter(|entry| !entry.said.zone_hints.is_empty())
            .count();
        if zone.is_some() && hinted == ready.len() {
            met.insert("zone hints, but none for us");
        } else if zone.is_some() && hinted > 0 {
            met.insert("zone hints on some endpoints only");
        }
        ready
    }

    /// Only ranges of the address's family count. Who lets the node in lets the address itself in.
    fn may_enter(&self, service: &Service, met: &mut Met) -> bool {
        let source = self.packet.source;
        let is_same_family = |range: &&IpNet| range.addr().is_ipv4() == source.is_ipv4();
        let ranges: Vec<_> = service.source_ranges.iter().filter(is_same_family).collect();
        let includes = |address: &IpAddr| ranges.iter().any(|range| range.contains(address));
        if ranges.is_empty() {
            return true;
        }
        if includes(&source) {
            met.insert("let in by a range");
            return true;
        }
        let node_is_in = self
            .own_node()
            .is_some_and(|node| node.addresses.iter().any(includes));
        let is_itself = service.load_balancer_ips.contains(&source);
        if node_is_in && is_itself {
            met.insert("the load balancer IP itself let in");
        }
        node_is_in && is_itself
    }

    fn masquerade(&self, service: &Service, door: Door, client: Client, met: &mut Met) -> bool {
        let (masquerade, word) = match (door, service.external_traffic_policy) {
            (Door::ClusterIp, _) if self.world.context.masquerade_all => (true, "masquerade all"),
            (Door::ClusterIp, _) => {
                let knows_pods = !matches!(self.pods(met), Pods::Unknown);
                (
                    knows_pods && client != Client::Pod,
                    "masquerade off-cluster clients",
                )
            }
            (_, TrafficPolicy::Cluster) => (true, "masquerade external traffic"),
            (_, TrafficPolicy::Local) => (client == Client::Node, "masquerade the node"),
        };
        if masquerade {
            met.insert(word);
        }
        masquerade
    }

    fn target(&self, entry: &Entry<'_>, masquerade: bool, met: &mut Met) -> Target {
        let is_hairpin = entry.said.address == self.packet.source;
        if is_hairpin && !masquerade {
            met.insert("masquerade only because of a hairpin");
        }
        Target {
            address: entry.said.address,
            port: entry.port,
            masquerade: masquerade || is_hairpin,
        }
    }
}

/// How local pods are known.
enum Pods<'a> {
    Unknown,
    From(IpNet),
    By(Box<dyn Fn(&str) -> bool + 'a>),
}

/// Those whose hints name `mine`, if each has hints and one names it.
fn near<'a>(
    ready: &[Entry<'a>],
    mine: Option<&String>,
    hints: impl Fn(&SliceEndpoint) -> &Vec<String>,
) -> Option<Vec<Entry<'a>>> {
    let mine = mine?;
    let all_have_some = ready.iter().all(|entry| !hints(entry.said).is_empty());
    let mut near = ready.to_vec();
    near.retain(|entry| hints(entry.said).contains(mine));
    (all_have_some && !near.is_empty()).then_some(near)
}

fn leaving(said: &SliceEndpoint) -> bool {
    said.serving && said.terminating
}
