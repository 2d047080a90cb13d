//! `NODE_ADDRESSES` and `INTERFACES`: what the programs know of the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proxy_common::{
    Addr4, Addr6, Address, Interface, InterfaceFlags, LOOPBACK_NODE_PORTS, NODE_PORTS, ON_DEVICE,
};

use super::{maps::MapError, reconcile::Maps};
use crate::{
    model::{Family, LocalTraffic, NodeRules},
    node::{Link, NodeFacts},
};

/// Follows what netlink says of the node, and what the flags and the Node object say about that.
#[derive(Debug, Default)]
pub(super) struct NodeMaps {
    facts: NodeFacts,
    rules: Option<NodeRules>,
}

impl NodeMaps {
    /// What the node has.
    pub(super) fn set_facts(&mut self, facts: &NodeFacts) {
        if self.facts != *facts {
            self.facts = facts.clone();
        }
    }

    /// What of it serves what.
    pub(super) fn set_rules(&mut self, rules: &NodeRules) {
        if self.rules.as_ref() != Some(rules) {
            self.rules = Some(rules.clone());
        }
    }

    /// The node's own.
    pub(super) fn local_addresses(&self) -> BTreeSet<IpAddr> {
        self.facts.local_addresses()
    }

    /// Whether that is the node itself.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.facts.local_addresses().contains(&address)
    }

    /// Whether NodePorts are to be had at this address of the node.
    pub(super) fn serves_node_ports(&self, address: IpAddr) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|rules| rules.of(Family::of(address)).node_ports.serves(address))
    }

    /// What the node's own packets leave with; the any-address where it has none.
    pub(super) fn own_addresses(&self) -> (Addr4, Addr6) {
        let own = |family| self.facts.primary_address(family);
        let v4 = own(Family::V4).and_then(Addr4::from_ip);
        let v6 = own(Family::V6).and_then(Addr6::from_ip);
        (v4.unwrap_or(Addr4::ANY), v6.unwrap_or(Addr6::ANY))
    }

    /// Makes the maps say so. As long as nobody has said which addresses serve NodePorts, those of an earlier run stay.
    pub(super) fn write(&self, maps: &mut Maps) -> Result<(), MapError> {
        let interfaces = maps.interfaces.replace(&self.interfaces());
        if self.rules.is_none() {
            return interfaces;
        }
        let v4 = maps.v4.node_addresses.replace(&self.addresses::<Addr4>());
        let v6 = maps.v6.node_addresses.replace(&self.addresses::<Addr6>());
        interfaces.and(v4).and(v6)
    }

    fn addresses<A: Address>(&self) -> BTreeMap<A, u32> {
        let local = self.facts.local_addresses().into_iter();
        let local = local.map(|address| (address, self.bits(address)));
        // What netlink says of `lo` does not matter: every namespace has them.
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let loopback = loopback
            .into_iter()
            .filter(|address| self.serves_node_ports(*address));
        local
            .chain(loopback.map(|address| (address, LOOPBACK_NODE_PORTS)))
            .filter_map(|(address, bits)| Some((A::from_ip(address)?, bits)))
            .collect()
    }

    fn bits(&self, address: IpAddr) -> u32 {
        if self.serves_node_ports(address) {
            ON_DEVICE | NODE_PORTS
        } else {
            ON_DEVICE
        }
    }

    fn interfaces(&self) -> BTreeMap<u32, Interface> {
        let attached = self.facts.attachments().into_keys();
        attached
            .map(|ifindex| (ifindex, self.interface(ifindex)))
            .collect()
    }

    fn interface(&self, ifindex: u32) -> Interface {
        let source = |family| self.facts.snat_address(ifindex, family);
        let v4 = source(Family::V4).and_then(Addr4::from_ip);
        let v6 = source(Family::V6).and_then(Addr6::from_ip);
        let flags = [
            (Family::V4, InterfaceFlags::PODS4),
            (Family::V6, InterfaceFlags::PODS6),
        ]
        .into_iter()
        .filter(|(family, _)| self.leads_to_pods(ifindex, *family))
        .fold(InterfaceFlags::NONE, |all, (_, flag)| all.with(flag));
        let interface = Interface::new(v4.unwrap_or(Addr4::ANY), v6.unwrap_or(Addr6::ANY), flags);
        let link = self.facts.links.get(&ifindex);
        let mac = link.and_then(|link| self.bridge_of(link)?.mac);
        mac.map_or(interface, |mac| interface.on_bridge(mac))
    }

    /// Whether local pods are known by this interface.
    fn leads_to_pods(&self, ifindex: u32, family: Family) -> bool {
        let (Some(rules), Some(name)) = (&self.rules, self.routed_name(ifindex)) else {
            return false;
        };
        match &rules.of(family).local_traffic {
            LocalTraffic::Bridge(bridge) => name == bridge,
            LocalTraffic::InterfacePrefix(prefix) => name.starts_with(prefix.as_str()),
            LocalTraffic::Unknown | LocalTraffic::Source(_) => false,
        }
    }

    /// The name that iptables' `-i` would match: what comes by the port of a bridge comes from the bridge.
    fn routed_name(&self, ifindex: u32) -> Option<&str> {
        let link = self.facts.links.get(&ifindex)?;
        Some(&self.bridge_of(link).unwrap_or(link).name)
    }

    fn bridge_of(&self, port: &Link) -> Option<&Link> {
        let bridge = port
            .master
            .filter(|_| port.master_kind.as_deref() == Some("bridge"))?;
        self.facts.links.get(&bridge)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        model::{FamilyRules, NodePorts},
        node::{AddressScope, InterfaceAddress},
    };

    fn facts(addresses: &[&str]) -> NodeFacts {
        let address = |text: &&str| InterfaceAddress {
            net: text.parse::<IpAddr>().unwrap().into(),
            scope: AddressScope::Global,
            usable: true,
        };
        NodeFacts {
            addresses: [(1, addresses.iter().map(address).collect())].into(),
            ..NodeFacts::default()
        }
    }

    /// Those that serve NodePorts.
    fn serving<A: Address>(node: &NodeMaps) -> BTreeSet<A> {
        let all = node.addresses::<A>().into_iter();
        all.filter(|(_, bits)| bits & NODE_PORTS != 0)
            .map(|(address, _)| address)
            .collect()
    }

    #[test]
    fn only_addresses_that_the_rules_name_serve_and_before_there_are_rules_none_is_written() {
        let mut node = NodeMaps::default();
        node.set_facts(&facts(&["192.168.0.2", "10.0.0.2", "fd00::2"]));
        assert!(serving::<Addr4>(&node).is_empty());
        node.set_rules(&NodeRules::default());
        assert_eq!(
            (serving::<Addr4>(&node).len(), serving::<Addr6>(&node).len()),
            (2, 1)
        );
        node.set_rules(&NodeRules {
            v4: FamilyRules {
                node_ports: NodePorts::Within(vec!["10.0.0.0/8".parse().unwrap()]),
                ..FamilyRules::default()
            },
            ..NodeRules::default()
        });
        let expected = Addr4::from_ip("10.0.0.2".parse().unwrap()).unwrap();
        assert_eq!(serving::<Addr4>(&node), [expected].into());
        node.set_facts(&facts(&["10.0.0.3"]));
        assert!(!serving::<Addr4>(&node).contains(&expected));
    }

    fn link(index: u32, name: &str, master: Option<u32>) -> (u32, Link) {
        let link = Link {
            index,
            name: name.to_owned(),
            arp_type: 1,
            flags: 1,
            master,
            master_kind: master.map(|_| "bridge".to_owned()),
            ..Link::default()
        };
        (index, link)
    }

    fn bridge(index: u32, name: &str) -> (u32, Link) {
        let (_, link) = link(index, name, None);
        let kind = Some("bridge".to_owned());
        let mac = Some([2, 0, 0, 0, 0, index.to_le_bytes()[0]]);
        (index, Link { kind, mac, ..link })
    }

    #[test]
    fn a_port_of_a_bridge_knows_the_bridges_mac_address_and_other_devices_have_none() {
        let links = [
            link(1, "eth0", None),
            bridge(2, "cni0"),
            link(3, "veth1", Some(2)),
        ];
        let mut node = NodeMaps::default();
        node.set_facts(&NodeFacts {
            links: links.into(),
            ..NodeFacts::default()
        });
        let interfaces = node.interfaces();
        assert_eq!(interfaces[&1].bridge_mac(), None);
        assert_eq!(interfaces[&3].bridge_mac(), Some(&[2, 0, 0, 0, 0, 2]));
    }

    /// The devices that the detector takes for those of pods.
    fn pod_sides(local_traffic: LocalTraffic) -> Vec<u32> {
        let links = [
            link(1, "eth0", None),
            bridge(2, "cni0"),
            link(3, "veth1", Some(2)),
            link(4, "cali1", None),
        ];
        let mut node = NodeMaps::default();
        node.set_facts(&NodeFacts {
            links: links.into(),
            ..NodeFacts::default()
        });
        node.set_rules(&NodeRules {
            v6: FamilyRules {
                local_traffic,
                ..FamilyRules::default()
            },
            ..NodeRules::default()
        });
        let is_pod_side = |interface: &Interface| interface.flags().has(InterfaceFlags::PODS6);
        let interfaces = node.interfaces().into_iter();
        let of_pods = interfaces.filter(|(_, interface)| is_pod_side(interface));
        of_pods.map(|(index, _)| index).collect()
    }

    #[test]
    fn pods_are_known_by_the_interface_that_iptables_would_see() {
        assert_eq!(pod_sides(LocalTraffic::Bridge("cni0".to_owned())), [3]);
        assert_eq!(pod_sides(LocalTraffic::InterfacePrefix("cali".to_owned())), [4]);
        assert!(pod_sides(LocalTraffic::InterfacePrefix("veth".to_owned())).is_empty());
        assert!(pod_sides(LocalTraffic::Unknown).is_empty());
    }
}
