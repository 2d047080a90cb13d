//! Which devices carry data and therefore get our programs: decided by what the kernel says about a device, never by its name.
//!
//! A packet must meet us once on its way in and once on its way out. So of devices stacked on each other exactly one is taken:
//! the ports and not their bridge, the bond and not its slaves.

/// `IFF_UP`.
const UP: u32 = 0x1;
/// `IFF_LOOPBACK`.
const LOOPBACK: u32 = 0x8;
/// `IFF_SLAVE`: set on the devices below a bond or a failover pair.
const SLAVE: u32 = 0x800;

/// What `RTM_GETLINK` says about a network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in the network namespace.
    pub index: u32,
    /// Name, for messages only.
    pub name: String,
    /// `IFLA_INFO_KIND`: `veth`, `bridge`, `vxlan`, …; none for hardware.
    pub kind: Option<String>,
    /// `ARPHRD_*` of `<linux/if_arp.h>`: 1 is Ethernet.
    pub arp_type: u16,
    /// Interface index of the bridge, bond, VRF, … that the device belongs to.
    pub master: Option<u32>,
    /// `IFLA_INFO_SLAVE_KIND`: the kind of that master.
    pub master_kind: Option<String>,
    /// `IFLA_LINK`: the veth peer, or the device that this one is stacked on.
    pub peer: Option<u32>,
    /// `IFLA_LINK_NETNSID`: set if that device is in another network namespace, as a pod's end of a veth is.
    pub peer_netns: Option<i32>,
    /// `IFF_*` of `<linux/if.h>`.
    pub flags: u32,
    /// `IFLA_ADDRESS` of an Ethernet device.
    pub mac: Option<[u8; 6]>,
}

impl Link {
    /// Whether the device is administratively up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    /// Whether it is `lo`.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.flags & LOOPBACK != 0
    }

    /// Whether a container's end of a pair is on the other side: a pod, as opposed to an uplink or a tunnel.
    #[must_use]
    pub fn is_pod_side(&self) -> bool {
        matches!(self.kind.as_deref(), Some("veth" | "netkit")) && self.peer_netns.is_some()
    }
}

/// What a packet on a device begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Ip,
}

/// How to attach to `link`, or `None` if it is not one of the devices that carry data. `all` are the links of the namespace.
#[must_use]
pub fn attachment<'a>(link: &Link, all: impl IntoIterator<Item = &'a Link>) -> Option<Layer> {
    let layer = layer(link.arp_type)?;
    let is_data = !link.is_loopback()
        && !is_lower_half(link)
        && !carries_nothing(link)
        && !is_bridge_with_ports(link, all);
    is_data.then_some(layer)
}

/// Numbers from `<linux/if_arp.h>`.
const fn layer(arp_type: u16) -> Option<Layer> {
    match arp_type {
        1 => Some(Layer::Ethernet),
        // PPP, RAWIP, TUNNEL (ipip, vti), TUNNEL6 (ip6tnl, vti6), SIT, IPGRE, IP6GRE, NONE (tun, WireGuard, xfrm).
        512 | 519 | 768 | 769 | 776 | 778 | 823 | 65534 => Some(Layer::Ip),
        _ => None,
    }
}

/// A slave's traffic is seen on its master.
fn is_lower_half(link: &Link) -> bool {
    link.flags & SLAVE != 0 || matches!(link.master_kind.as_deref(), Some("bond" | "team"))
}

/// Devices that swallow or copy packets, and VRFs, whose traffic is seen on their members.
fn carries_nothing(link: &Link) -> bool {
    matches!(link.kind.as_deref(), Some("dummy" | "ifb" | "nlmon" | "vrf"))
}

fn is_bridge_with_ports<'a>(link: &Link, all: impl IntoIterator<Item = &'a Link>) -> bool {
    link.kind.as_deref() == Some("bridge") && all.into_iter().any(|port| port.master == Some(link.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: &str, arp_type: u16) -> Link {
        let kind = (!kind.is_empty()).then(|| kind.to_owned());
        Link {
            index: 7,
            name: "x".to_owned(),
            kind,
            arp_type,
            flags: UP,
            ..Link::default()
        }
    }

    fn port_of(master_kind: &str, port: Link) -> Link {
        Link {
            index: 8,
            master: Some(7),
            master_kind: Some(master_kind.to_owned()),
            ..port
        }
    }

    #[test]
    fn every_kind_of_device_is_classified_by_its_facts() {
        use Layer::{Ethernet, Ip};
        let cases = [
            ("uplink", link("", 1), Some(Ethernet)),
            ("pod veth", link("veth", 1), Some(Ethernet)),
            ("netkit", link("netkit", 1), Some(Ethernet)),
            (
                "veth on a bridge",
                port_of("bridge", link("veth", 1)),
                Some(Ethernet),
            ),
            (
                "uplink on a bridge",
                port_of("bridge", link("", 1)),
                Some(Ethernet),
            ),
            (
                "vxlan on a bridge",
                port_of("bridge", link("vxlan", 1)),
                Some(Ethernet),
            ),
            ("member of a VRF", port_of("vrf", link("", 1)), Some(Ethernet)),
            ("bond", link("bond", 1), Some(Ethernet)),
            ("team", link("team", 1), Some(Ethernet)),
            ("bond slave", port_of("bond", link("", 1)), None),
            ("team port", port_of("team", link("", 1)), None),
            (
                "failover slave",
                Link {
                    flags: UP | SLAVE,
                    ..link("", 1)
                },
                None,
            ),
            ("VLAN", link("vlan", 1), Some(Ethernet)),
            ("macvlan", link("macvlan", 1), Some(Ethernet)),
            ("vxlan", link("vxlan", 1), Some(Ethernet)),
            ("geneve", link("geneve", 1), Some(Ethernet)),
            ("gretap", link("gretap", 1), Some(Ethernet)),
            ("tap", link("tun", 1), Some(Ethernet)),
            ("tun", link("tun", 65534), Some(Ip)),
            ("WireGuard", link("wireguard", 65534), Some(Ip)),
            ("ipip", link("ipip", 768), Some(Ip)),
            ("ip6tnl", link("ip6tnl", 769), Some(Ip)),
            ("sit", link("sit", 776), Some(Ip)),
            ("gre", link("gre", 778), Some(Ip)),
            ("ip6gre", link("ip6gre", 823), Some(Ip)),
            ("ppp", link("", 512), Some(Ip)),
            (
                "lo",
                Link {
                    flags: UP | LOOPBACK,
                    ..link("", 772)
                },
                None,
            ),
            (
                "loopback by flag",
                Link {
                    flags: UP | LOOPBACK,
                    ..link("", 1)
                },
                None,
            ),
            ("VRF", link("vrf", 1), None),
            ("dummy", link("dummy", 1), None),
            ("ifb", link("ifb", 1), None),
            ("nlmon", link("nlmon", 824), None),
            ("CAN", link("vcan", 280), None),
            ("InfiniBand", link("ipoib", 32), None),
            ("bridge without ports", link("bridge", 1), Some(Ethernet)),
        ];
        for (what, link, expected) in cases {
            assert_eq!(attachment(&link, [&link]), expected, "{what}");
        }
    }

    #[test]
    fn a_bridge_with_ports_leaves_its_traffic_to_them() {
        let bridge = link("bridge", 1);
        let port = port_of("bridge", link("veth", 1));
        assert_eq!(attachment(&bridge, &[bridge.clone(), port.clone()]), None);
        assert_eq!(attachment(&port, &[bridge, port.clone()]), Some(Layer::Ethernet));
    }

    #[test]
    fn the_name_of_a_device_decides_nothing() {
        let named_lo = Link {
            name: "lo".to_owned(),
            ..link("veth", 1)
        };
        assert_eq!(attachment(&named_lo, [&named_lo]), Some(Layer::Ethernet));
    }

    #[test]
    fn only_a_pair_with_an_end_in_another_namespace_is_pod_side() {
        let veth = link("veth", 1);
        assert!(!veth.is_pod_side());
        assert!(
            Link {
                peer_netns: Some(0),
                ..veth
            }
            .is_pod_side()
        );
        assert!(
            !Link {
                peer_netns: Some(0),
                ..link("macvlan", 1)
            }
            .is_pod_side()
        );
    }
}
