//! What this node is told by its flags, and what that means with what its Node object says.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{Family, Masquerade, Node, PodSockets, SocketLb};

/// Facts about the node that no object tells, by kube-proxy's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeContext {
    /// The node's name in the cluster: host name or `--hostname-override`, in lower case.
    pub name: String,
    /// How traffic of this node's pods is told from others'.
    pub detect_local: DetectLocal,
    /// `--masquerade-all`: everyone's source address is replaced at cluster IPs.
    pub masquerade_all: bool,
    /// `--nodeport-addresses`.
    pub node_port_addresses: NodePortAddresses,
    /// `--socket-lb`.
    pub socket_lb: SocketLb,
}

/// `--detect-local-mode` with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectLocal {
    /// Sources within `--cluster-cidr`: the first of each family.
    ClusterCidr(Vec<IpNet>),
    /// Sources within the Node's `spec.podCIDRs`: the first of each family.
    NodeCidr,
    /// What comes from this bridge.
    BridgeInterface(String),
    /// What comes from interfaces whose names begin so.
    InterfaceNamePrefix(String),
}

impl Default for DetectLocal {
    /// As kube-proxy without flags: nothing is known.
    fn default() -> Self {
        Self::ClusterCidr(Vec::new())
    }
}

/// `--nodeport-addresses`: on which of the node's addresses NodePorts are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// On all of them.
    #[default]
    All,
    /// On the Node object's primary address of each family.
    Primary,
    /// On those within these ranges; on all of a family that has none.
    Cidrs(Vec<IpNet>),
}

/// What holds for all Services on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRules {
    /// Where cluster IPs are taken from; empty if the cluster does not say.
    pub service_cidrs: BTreeSet<IpNet>,
    /// Where pods' TCP connections are translated.
    pub pod_sockets: PodSockets,
    /// Of IPv4.
    pub v4: FamilyRules,
    /// Of IPv6.
    pub v6: FamilyRules,
}

/// What holds for all Services of one family on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyRules {
    /// How this node's pods are known.
    pub local_traffic: LocalTraffic,
    /// Whose source address is replaced at cluster IPs.
    pub masquerade: Masquerade,
    /// Which of the node's addresses serve NodePorts.
    pub node_ports: NodePorts,
}

impl Default for FamilyRules {
    fn default() -> Self {
        Self {
            local_traffic: LocalTraffic::Unknown,
            masquerade: Masquerade::Never,
            node_ports: NodePorts::Any,
        }
    }
}

/// How packets of this node's pods are told from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalTraffic {
    /// They are not: pods count as clients from anywhere, and nobody as outside of the cluster.
    #[default]
    Unknown,
    /// By their source address.
    Source(IpNet),
    /// By the bridge that they come from.
    Bridge(String),
    /// By how the name of the interface that they come from begins.
    InterfacePrefix(String),
}

/// Addresses that serve NodePorts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePorts {
    /// All of the node's.
    #[default]
    Any,
    /// The node's own within these ranges.
    Within(Vec<IpNet>),
}

impl NodePorts {
    /// Whether an address of the node serves NodePorts.
    #[must_use]
    pub fn serves(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Within(ranges) => ranges.iter().any(|range| range.contains(&address)),
        }
    }
}

impl NodeRules {
    /// By the flags, and where they refer to it by the Node object and by the API groups of service meshes.
    #[must_use]
    pub fn new(context: &NodeContext, own: Option<&Node>, mesh_groups: Option<&BTreeSet<String>>) -> Self {
        let family = |family| {
            let local_traffic = local_traffic(&context.detect_local, own, family);
            FamilyRules {
                masquerade: masquerade(context, &local_traffic),
                local_traffic,
                node_ports: node_ports(&context.node_port_addresses, own, family),
            }
        };
        Self {
            service_cidrs: BTreeSet::new(),
            pod_sockets: PodSockets::new(context.socket_lb, mesh_groups),
            v4: family(Family::V4),
            v6: family(Family::V6),
        }
    }

    /// With the ranges of cluster IPs.
    #[must_use]
    pub fn with_service_cidrs(self, service_cidrs: BTreeSet<IpNet>) -> Self {
        Self {
            service_cidrs,
            ..self
        }
    }

    /// Those of a family.
    #[must_use]
    pub const fn of(&self, family: Family) -> &FamilyRules {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

fn masquerade(context: &NodeContext, local_traffic: &LocalTraffic) -> Masquerade {
    match local_traffic {
        _ if context.masquerade_all => Masquerade::Always,
        LocalTraffic::Unknown => Masquerade::Never,
        _ => Masquerade::OffCluster,
    }
}

fn local_traffic(mode: &DetectLocal, own: Option<&Node>, family: Family) -> LocalTraffic {
    let first = |cidrs: &[IpNet]| {
        let cidr = cidrs.iter().find(|cidr| Family::of(cidr.addr()) == family);
        cidr.map_or(LocalTraffic::Unknown, |cidr| LocalTraffic::Source(cidr.trunc()))
    };
    match mode {
        DetectLocal::ClusterCidr(cidrs) => first(cidrs),
        DetectLocal::NodeCidr => first(own.map_or(&[], |node| &node.pod_cidrs)),
        DetectLocal::BridgeInterface(name) => LocalTraffic::Bridge(name.clone()),
        DetectLocal::InterfaceNamePrefix(prefix) => LocalTraffic::InterfacePrefix(prefix.clone()),
    }
}

fn node_ports(addresses: &NodePortAddresses, own: Option<&Node>, family: Family) -> NodePorts {
    let is_ours = |address: &IpAddr| Family::of(*address) == family;
    match addresses {
        NodePortAddresses::All => NodePorts::Any,
        NodePortAddresses::Primary => {
            let addresses = own.map_or(&[][..], |node| &node.addresses);
            let primary = addresses.iter().copied().find(is_ours);
            NodePorts::Within(primary.map(IpNet::from).into_iter().collect())
        }
        NodePortAddresses::Cidrs(ranges) => {
            let ranges: Vec<IpNet> = ranges
                .iter()
                .filter(|range| is_ours(&range.addr()))
                .map(IpNet::trunc)
                .collect();
            if ranges.is_empty() {
                NodePorts::Any
            } else {
                NodePorts::Within(ranges)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn cidrs(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn node() -> Node {
        Node {
            addresses: ["192.168.0.2", "203.0.113.7", "2001:db8::2"]
                .map(|text| text.parse().unwrap())
                .into(),
            pod_cidrs: cidrs(&["10.180.0.0/16", "fd00:180::/64", "10.181.0.0/16"]),
            ..samples::node("here")
        }
    }

    fn rules(detect_local: DetectLocal, own: Option<&Node>) -> [LocalTraffic; 2] {
        let context = NodeContext {
            detect_local,
            ..NodeContext::default()
        };
        let rules = NodeRules::new(&context, own, None);
        [rules.v4.local_traffic, rules.v6.local_traffic]
    }

    #[test]
    fn the_first_range_of_each_family_tells_local_pods() {
        use LocalTraffic::{Source, Unknown};
        let source = |text: &str| Source(text.parse().unwrap());
        for (mode, own, expected) in [
            (DetectLocal::default(), Some(node()), [Unknown, Unknown]),
            (
                DetectLocal::ClusterCidr(cidrs(&["10.1.2.3/8", "fd00::/16", "11.0.0.0/8"])),
                None,
                [source("10.0.0.0/8"), source("fd00::/16")],
            ),
            (
                DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8"])),
                None,
                [source("10.0.0.0/8"), Unknown],
            ),
            (
                DetectLocal::NodeCidr,
                Some(node()),
                [source("10.180.0.0/16"), source("fd00:180::/64")],
            ),
            (
                DetectLocal::NodeCidr,
                Some(samples::node("here")),
                [Unknown, Unknown],
            ),
            (DetectLocal::NodeCidr, None, [Unknown, Unknown]),
        ] {
            assert_eq!(rules(mode.clone(), own.as_ref()), expected, "{mode:?}");
        }
    }

    #[test]
    fn interfaces_tell_local_pods_of_both_families() {
        let bridge = LocalTraffic::Bridge("cbr0".to_owned());
        let prefix = LocalTraffic::InterfacePrefix("veth".to_owned());
        assert_eq!(
            rules(DetectLocal::BridgeInterface("cbr0".to_owned()), None),
            [bridge.clone(), bridge]
        );
        assert_eq!(
            rules(DetectLocal::InterfaceNamePrefix("veth".to_owned()), None),
            [prefix.clone(), prefix]
        );
    }

    #[test]
    fn node_ports_are_served_on_the_addresses_that_the_flag_names() {
        use NodePortAddresses::{All, Cidrs, Primary};
        let addresses = [
            "192.168.0.2",
            "203.0.113.7",
            "127.0.0.1",
            "2001:db8::2",
            "fd00::1",
        ];
        for (flag, own, expected) in [
            (All, None, vec![0, 1, 2, 3, 4]),
            (Primary, Some(node()), vec![0, 3]),
            (Primary, None, vec![]),
            (Cidrs(cidrs(&["203.0.113.0/24"])), Some(node()), vec![1, 3, 4]),
            (
                Cidrs(cidrs(&["203.0.113.9/24", "127.0.0.0/8", "2001:db8::/32"])),
                None,
                vec![1, 2, 3],
            ),
            (Cidrs(cidrs(&["0.0.0.0/0", "fd00::/8"])), None, vec![0, 1, 2, 4]),
        ] {
            let context = NodeContext {
                node_port_addresses: flag.clone(),
                ..NodeContext::default()
            };
            let rules = NodeRules::new(&context, own.as_ref(), None);
            let serving: Vec<usize> = (0..addresses.len())
                .filter(|index| {
                    let address: IpAddr = addresses[*index].parse().unwrap();
                    rules.of(Family::of(address)).node_ports.serves(address)
                })
                .collect();
            assert_eq!(serving, expected, "{flag:?}");
        }
    }
}
