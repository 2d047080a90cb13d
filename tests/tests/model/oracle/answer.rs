//! Where one packet goes by the objects alone: kube-proxy's rules in the order of its documentation, walked anew for every
//! packet. There are no lists and no frontends here, and nothing of the model's code.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use proxy_agent::model::{Node, Protocol, Service, ServicePortSpec, TrafficPolicy};

use super::{
    client::{Client, Pods},
    door::Door,
    endpoints::{Entry, leaving},
    world::World,
};
use crate::{
    packet::Packet,
    tracer::{Outcome, Target},
};

/// What a packet met on its way, in words: how the tests know that they have been everywhere.
pub(crate) type Met = BTreeSet<&'static str>;

/// The answer for one packet.
pub(crate) fn answer(world: &World, packet: &Packet, met: &mut Met) -> Outcome {
    let walk = Walk { world, packet };
    let Some((service, port, door)) = walk.meant(met) else {
        return Outcome::NoMatch;
    };
    walk.through(service, port, door, met)
}

/// One packet on its way through the objects.
pub(super) struct Walk<'a> {
    pub(super) world: &'a World,
    pub(super) packet: &'a Packet,
}

impl<'a> Walk<'a> {
    pub(super) fn own_node(&self) -> Option<&'a Node> {
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
        let weighted = self.weighted(service, &chosen, met);
        let targets = weighted.iter().map(|(entry, weight)| Target {
            weight: *weight,
            ..self.target(entry, masquerade, met)
        });
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
            weight: 1,
            masquerade: masquerade || is_hairpin,
        }
    }
}
