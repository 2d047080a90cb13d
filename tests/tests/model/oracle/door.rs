//! Which Service port a packet is for.

use std::{collections::BTreeSet, net::IpAddr};

use proxy_agent::model::{NodePortAddresses, Service, ServicePortSpec};

use super::answer::{Met, Walk};

/// Which address of the Service the packet is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    ClusterIp,
    ExternalIp,
    LoadBalancer,
    NodePort,
}

impl Door {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "through a cluster IP",
            Self::ExternalIp => "through an external IP",
            Self::LoadBalancer => "through a load balancer IP",
            Self::NodePort => "through a node port",
        }
    }
}

impl<'a> Walk<'a> {
    /// The Service port that the packet is for: whose cluster IP it is comes first, then by names of Services.
    pub(super) fn meant(&self, met: &mut Met) -> Option<(&'a Service, &'a ServicePortSpec, Door)> {
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
        let is_node_port = port.node_port == Some(to.port()) && self.packet.is_node(to.ip());
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
}
