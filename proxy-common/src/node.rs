//! What the programs know of the node, and the names behind the ids.

use crate::{
    addr::{Addr4, Addr6, Address as _},
    client::Network,
    snat::PortPool,
    socket::{Cookie, SocketRules},
    wire::{wire_bits, wire_struct, wire_types},
};

wire_struct! {
    /// A network interface that carries our programs.
    pub struct Interface {
        snat4: Addr4,
        snat6: Addr6,
        flags: InterfaceFlags,
        bridge_mac: [u8; 6],
        reserved: [u8; 2],
    }
}

/// Bits of an address in `NODE_ADDRESSES`: NodePorts are served on it.
pub const NODE_PORTS: u32 = 1;

/// The address is one of a device of the node, so a ClusterIP that it also is belongs to whoever has put it there.
pub const ON_DEVICE: u32 = 1 << 1;

/// NodePorts are served on the address to the node's own sockets alone: a loopback address, which no packet on a device may have.
pub const LOOPBACK_NODE_PORTS: u32 = 1 << 2;

wire_bits! {
    /// Bits of an [`Interface`].
    pub struct InterfaceFlags(u32);

    /// No bit.
    NONE = 0;

    /// What arrives here is from local pods of IPv4, by `--detect-local-mode`.
    PODS4 = 1;

    /// What arrives here is from local pods of IPv6.
    PODS6 = 1 << 1;

    /// A port of a bridge, whose MAC address the interface has.
    BRIDGE_PORT = 1 << 2;
}

wire_struct! {
    /// What the agent tells the programs, and itself after a restart.
    pub struct Settings {
        snat_ports: PortPool,
        next_list: u32,
        next_service: u32,
        pods4: Network<Addr4>,
        pods6: Network<Addr6>,
        forward_mark: u32,
        draining: u32,
        netns: Cookie,
        node4: Addr4,
        node6: Addr6,
        sockets: SocketRules,
    }
}

wire_struct! {
    /// `namespace/name:port` and the protocol of a Service port, for whoever looks at the maps.
    pub struct ServiceName {
        protocol: u8,
        reserved: u8,
        limits: Limits,
        text: [u8; 192],
    }
}

wire_bits! {
    /// What of a Service port the programs do not serve, for whoever looks at the maps.
    pub struct Limits(u16);

    /// Everything is served.
    NONE = 0;

    /// Not served at all: not TCP or UDP.
    PROTOCOL = 1;

}

wire_types! {
    Interface = 32,
    Settings = 112,
    ServiceName = 196,
}

impl Interface {
    /// `snat4` and `snat6` are the addresses that masqueraded packets leave with; the any-address where there is none.
    #[must_use]
    pub const fn new(snat4: Addr4, snat6: Addr6, flags: InterfaceFlags) -> Self {
        Self {
            snat4,
            snat6,
            flags,
            bridge_mac: [0; 6],
            reserved: [0; 2],
        }
    }

    /// As a port of the bridge with this MAC address.
    #[must_use]
    pub const fn on_bridge(self, mac: [u8; 6]) -> Self {
        Self {
            flags: self.flags.with(InterfaceFlags::BRIDGE_PORT),
            bridge_mac: mac,
            ..self
        }
    }

    /// MAC address of its bridge, if it is the port of one.
    #[must_use]
    #[inline(always)]
    pub const fn bridge_mac(&self) -> Option<&[u8; 6]> {
        if self.flags.has(InterfaceFlags::BRIDGE_PORT) {
            Some(&self.bridge_mac)
        } else {
            None
        }
    }

    /// Its bits.
    #[must_use]
    #[inline(always)]
    pub const fn flags(&self) -> InterfaceFlags {
        self.flags
    }

    /// Source of masqueraded IPv4 packets.
    #[must_use]
    #[inline(always)]
    pub const fn snat4(&self) -> Addr4 {
        self.snat4
    }

    /// Source of masqueraded IPv6 packets.
    #[must_use]
    #[inline(always)]
    pub const fn snat6(&self) -> Addr6 {
        self.snat6
    }
}

/// The any-address, which is no packet's source that could be answered.
const NOBODY4: Network<Addr4> = Network::new(Addr4::ANY, Addr4::ALL_ONES);
const NOBODY6: Network<Addr6> = Network::new(Addr6::ANY, Addr6::ALL_ONES);

impl Settings {
    /// `next_list` and `next_service` are the lowest ids that were never given away.
    #[must_use]
    pub const fn new(snat_ports: PortPool, next_list: u32, next_service: u32) -> Self {
        Self {
            snat_ports,
            next_list,
            next_service,
            pods4: NOBODY4,
            pods6: NOBODY6,
            forward_mark: 0,
            draining: 0,
            netns: Cookie::NONE,
            node4: Addr4::ANY,
            node6: Addr6::ANY,
            sockets: SocketRules::NONE,
        }
    }

    /// With the network namespace of the node, and whose sockets are translated.
    #[must_use]
    pub const fn with_sockets(self, netns: Cookie, sockets: SocketRules) -> Self {
        Self {
            netns,
            sockets,
            ..self
        }
    }

    /// With the addresses that the node's own packets leave with; the any-address where it has none.
    #[must_use]
    pub const fn with_node(self, node4: Addr4, node6: Addr6) -> Self {
        Self { node4, node6, ..self }
    }

    /// The network namespace of the node; [`Cookie::NONE`] as long as it is not known.
    #[must_use]
    #[inline(always)]
    pub const fn netns(&self) -> Cookie {
        self.netns
    }

    /// Whose sockets are translated.
    #[must_use]
    #[inline(always)]
    pub const fn sockets(&self) -> SocketRules {
        self.sockets
    }

    /// The address that the node's own IPv4 packets leave with.
    #[must_use]
    #[inline(always)]
    pub const fn node4(&self) -> Addr4 {
        self.node4
    }

    /// The address that the node's own IPv6 packets leave with.
    #[must_use]
    #[inline(always)]
    pub const fn node6(&self) -> Addr6 {
        self.node6
    }

    /// Serving what is established and opening nothing, or not.
    #[must_use]
    pub const fn with_draining(self, draining: bool) -> Self {
        Self {
            draining: draining as u32,
            ..self
        }
    }

    /// Whether only established flows are served: somebody else has the new ones.
    #[must_use]
    #[inline(always)]
    pub const fn is_draining(&self) -> bool {
        self.draining != 0
    }

    /// With the bit of the mark that KUBE-FORWARD accepts packets by; 0 for none.
    #[must_use]
    pub const fn with_forward_mark(self, forward_mark: u32) -> Self {
        Self { forward_mark, ..self }
    }

    /// The bit that packets of masqueraded flows carry in their mark between the hooks; 0 for none.
    #[must_use]
    #[inline(always)]
    pub const fn forward_mark(&self) -> u32 {
        self.forward_mark
    }

    /// With the ranges that local pods are known by.
    #[must_use]
    pub fn with_pods(self, pods4: Option<Network<Addr4>>, pods6: Option<Network<Addr6>>) -> Self {
        Self {
            pods4: pods4.unwrap_or(NOBODY4),
            pods6: pods6.unwrap_or(NOBODY6),
            ..self
        }
    }

    /// Addresses of local pods of IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn pods4(&self) -> &Network<Addr4> {
        &self.pods4
    }

    /// Addresses of local pods of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn pods6(&self) -> &Network<Addr6> {
        &self.pods6
    }

    /// Ports for masqueraded flows.
    #[must_use]
    #[inline(always)]
    pub const fn snat_ports(&self) -> &PortPool {
        &self.snat_ports
    }

    /// Lowest list id that was never given away.
    #[must_use]
    pub const fn next_list(&self) -> u32 {
        self.next_list
    }

    /// Lowest service id that was never given away.
    #[must_use]
    pub const fn next_service(&self) -> u32 {
        self.next_service
    }
}

impl ServiceName {
    /// The name in UTF-8, cut at 192 bytes (namespace, name and port name have 63 at most each), and the protocol's number.
    #[must_use]
    pub fn new(text: &str, protocol: u8) -> Self {
        let mut bytes = [0; 192];
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self {
            protocol,
            reserved: 0,
            limits: Limits::NONE,
            text: bytes,
        }
    }

    /// With what the programs do not serve of it.
    #[must_use]
    pub const fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What the programs do not serve of it.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// `namespace/name:port`.
    #[must_use]
    pub fn text(&self) -> &str {
        let len = self
            .text
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.text.len());
        core::str::from_utf8(&self.text[..len]).unwrap_or("?")
    }

    /// IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }
}
