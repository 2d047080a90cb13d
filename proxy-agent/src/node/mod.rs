//! Facts about the node that the dataplane needs: its links, addresses, default routes and free ports.
//!
//! ```text
//! netlink ──dump, watch──▶ NodeFacts ──▶ attachments(), local_addresses(), snat_address()
//! /proc/sys ──ports──▶ ports that masquerading may take
//! ```
//!
//! What is decided from the facts is pure and tested without a kernel; [`watch()`] only keeps the facts true.

mod interfaces;
mod netlink;
#[cfg(test)]
pub(crate) mod netns_tests;
pub mod ports;
pub(crate) mod sock_diag;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    io, iter,
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

pub use self::{
    interfaces::{Layer, Link, attachment},
    netlink::dump,
    watch::watch,
};
use crate::model::Family;

/// What netlink says about the network namespace, and netfilter about forwarding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The network devices by interface index.
    pub links: BTreeMap<u32, Link>,
    /// Their addresses by interface index, in the kernel's order.
    pub addresses: BTreeMap<u32, Vec<InterfaceAddress>>,
    /// The device of the main table's default route of lowest metric.
    pub default_route_ifindex: BTreeMap<Family, u32>,
    /// The bit of the mark by which packets of masqueraded flows pass FORWARD, 0 if they need none; `None` before anybody has looked.
    pub forward_mark: Option<u32>,
}

/// An address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The node's own address and the length of its prefix.
    pub net: IpNet,
    /// `RT_SCOPE_*`: how far the address is valid.
    pub scope: AddressScope,
    /// Whether the kernel would take it as a source of new connections: not deprecated, not tentative, duplicate check passed.
    pub usable: bool,
}

/// How far an address is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressScope {
    /// Everywhere: `RT_SCOPE_UNIVERSE`.
    Global,
    /// On the link: `fe80::/10`, and IPv4 addresses that say so.
    Link,
    /// Inside of the node: 127.0.0.1, `::1`.
    Host,
    /// Any of the scopes that nothing here asks for.
    Other,
}

/// Netlink or a file under `/proc/sys` could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}; the agent needs AF_NETLINK in its sandbox")]
    Socket(#[source] io::Error),
    /// The kernel refused a dump.
    #[error("netlink does not list the node's {what}: {source}")]
    Dump {
        /// Links, addresses or routes.
        what: &'static str,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// The kernel did not finish a dump.
    #[error("netlink did not list links, addresses and routes within {0:?}")]
    Timeout(Duration),
    /// The socket was shut down.
    #[error("the netlink socket was closed; the agent has to be restarted")]
    Closed,
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file holds what no kernel writes.
    #[error("{path} holds {text:?}, expected port numbers")]
    Ports {
        /// The file.
        path: &'static str,
        /// Its text.
        text: String,
    },
}

impl NodeFacts {
    /// The devices to attach to, with what their packets begin with.
    #[must_use]
    pub fn attachments(&self) -> BTreeMap<u32, Layer> {
        let attach = |link| Some((link, attachment(link, self.links.values())?));
        self.links
            .values()
            .filter_map(attach)
            .map(|(link, layer)| (link.index, layer))
            .collect()
    }

    /// The addresses that NodePorts are served on: all that `addrtype --dst-type LOCAL` matches, as kube-proxy's default is, but
    /// loopback's and those that kube-proxy's IPVS mode has left behind. Link-local addresses are among them.
    #[must_use]
    pub fn local_addresses(&self) -> BTreeSet<IpAddr> {
        let devices = self
            .addresses
            .iter()
            .filter(|(index, _)| !self.is_of_ipvs(**index));
        let all = devices
            .flat_map(|(_, addresses)| addresses)
            .map(|address| address.net.addr());
        all.filter(|address| !address.is_loopback() && !address.is_unspecified())
            .collect()
    }

    /// The device that IPVS mode gives every Service's address to.
    fn is_of_ipvs(&self, ifindex: u32) -> bool {
        let link = self.links.get(&ifindex);
        link.is_some_and(|link| link.name == "kube-ipvs0")
    }

    /// The source address that MASQUERADE would give packets that leave by `ifindex`: the device's own, else its master's (a bridge
    /// port, a member of a VRF), else the node's primary address.
    #[must_use]
    pub fn snat_address(&self, ifindex: u32, family: Family) -> Option<IpAddr> {
        let master = |index: &u32| self.links.get(index)?.master;
        // Masters do not nest deeper than a bond in a bridge in a VRF; the limit guards against facts torn by a change.
        let upwards = iter::successors(Some(ifindex), master).take(4);
        upwards
            .into_iter()
            .find_map(|index| self.source_of(index, family))
            .or_else(|| self.primary_address(family))
    }

    /// The address of the device of the default route, else the first that any device has.
    #[must_use]
    pub fn primary_address(&self, family: Family) -> Option<IpAddr> {
        let default = self.default_route_ifindex.get(&family);
        default
            .and_then(|index| self.source_of(*index, family))
            .or_else(|| {
                self.addresses
                    .keys()
                    .find_map(|index| self.source_of(*index, family))
            })
    }

    fn source_of(&self, ifindex: u32, family: Family) -> Option<IpAddr> {
        let is_source = |address: &&InterfaceAddress| {
            let ip = address.net.addr();
            address.usable
                && address.scope == AddressScope::Global
                && Family::of(ip) == family
                && !ip.is_loopback()
        };
        self.addresses
            .get(&ifindex)?
            .iter()
            .find(is_source)
            .map(|address| address.net.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(net: &str, scope: AddressScope) -> InterfaceAddress {
        InterfaceAddress {
            net: net.parse().unwrap(),
            scope,
            usable: true,
        }
    }

    fn global(net: &str) -> InterfaceAddress {
        address(net, AddressScope::Global)
    }

    fn link(index: u32, kind: &str, master: Option<u32>) -> (u32, Link) {
        let kind = Some(kind.to_owned());
        (
            index,
            Link {
                index,
                kind,
                master,
                arp_type: 1,
                ..Link::default()
            },
        )
    }

    /// lo, an uplink without default route, one with it, a bridge with an address and its port, a routed pod veth.
    fn node() -> NodeFacts {
        let lo = [
            address("127.0.0.1/8", AddressScope::Host),
            address("::1/128", AddressScope::Host),
            global("9.9.9.9/32"),
        ];
        let uplink = [
            address("169.254.7.7/16", AddressScope::Link),
            InterfaceAddress {
                usable: false,
                ..global("192.0.2.1/24")
            },
            global("192.0.2.2/24"),
            address("fe80::2/64", AddressScope::Link),
        ];
        NodeFacts {
            links: BTreeMap::from([
                link(2, "veth", None),
                link(3, "veth", None),
                link(4, "bridge", None),
                link(5, "veth", Some(4)),
                link(6, "veth", None),
            ]),
            addresses: BTreeMap::from([
                (1, lo.to_vec()),
                (2, uplink.to_vec()),
                (3, vec![global("198.51.100.3/24"), global("2001:db8::3/64")]),
                (4, vec![global("10.244.0.1/24"), global("fd00::1/64")]),
                (6, vec![address("fe80::6/64", AddressScope::Link)]),
            ]),
            default_route_ifindex: BTreeMap::from([(Family::V4, 3)]),
            ..NodeFacts::default()
        }
    }

    #[test]
    fn node_ports_are_served_on_every_address_but_loopback() {
        let expected = [
            "9.9.9.9",
            "10.244.0.1",
            "169.254.7.7",
            "192.0.2.1",
            "192.0.2.2",
            "198.51.100.3",
            "2001:db8::3",
            "fd00::1",
            "fe80::2",
            "fe80::6",
        ];
        let expected: BTreeSet<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(node().local_addresses(), expected);
    }

    #[test]
    fn what_ipvs_mode_has_left_behind_is_no_address_of_the_node() {
        let mut node = node();
        node.links.get_mut(&4).unwrap().name = "kube-ipvs0".to_owned();
        let gone: Vec<IpAddr> = ["10.244.0.1", "fd00::1"].map(|text| text.parse().unwrap()).into();
        assert!(
            gone.iter()
                .all(|address| !node.local_addresses().contains(address))
        );
        assert_eq!(node.local_addresses().len(), 8);
    }

    #[test]
    fn masquerading_takes_the_first_usable_global_address_of_the_device() {
        assert_eq!(
            node().snat_address(2, Family::V4),
            Some("192.0.2.2".parse().unwrap())
        );
        assert_eq!(
            node().snat_address(3, Family::V6),
            Some("2001:db8::3".parse().unwrap())
        );
    }

    #[test]
    fn a_bridge_port_is_masqueraded_with_its_bridges_address() {
        assert_eq!(
            node().snat_address(5, Family::V4),
            Some("10.244.0.1".parse().unwrap())
        );
        assert_eq!(
            node().snat_address(5, Family::V6),
            Some("fd00::1".parse().unwrap())
        );
    }

    #[test]
    fn a_device_without_addresses_is_masqueraded_with_that_of_the_default_route() {
        assert_eq!(
            node().snat_address(6, Family::V4),
            Some("198.51.100.3".parse().unwrap())
        );
    }

    #[test]
    fn without_a_default_route_the_lowest_interface_lends_its_address() {
        // fe80::2 on interface 2 does not count: it is no global address.
        assert_eq!(
            node().snat_address(6, Family::V6),
            Some("2001:db8::3".parse().unwrap())
        );
    }

    #[test]
    fn a_node_without_addresses_of_a_family_masquerades_nothing() {
        let mut facts = node();
        facts.addresses.retain(|index, _| *index == 2);
        assert_eq!(facts.snat_address(6, Family::V6), None);
    }

    #[test]
    fn the_ports_of_a_bridge_are_attached_to_and_the_bridge_is_not() {
        assert_eq!(node().attachments().into_keys().collect::<Vec<_>>(), [2, 3, 5, 6]);
    }
}
