//! Who is who in these tests, and the way of a request and its reply through the node.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::{Deref, DerefMut, RangeInclusive},
};

use harness::bpf::{ClusterIp, Datapath, Hook, Packet, SYN, Setup, Transport};
use ipnet::IpNet;
use proxy_agent::model::{Family, Protocol};

use crate::Variant;

/// Port of every endpoint.
pub(crate) const TARGET_PORT: u16 = 8_080;
/// The NodePort of [`Variant::node_port_service`].
pub(crate) const NODE_PORT: u16 = 30_080;
/// What the agent finds on a node with the kernel's defaults.
pub(crate) const POOL: [RangeInclusive<u16>; 2] = [1_024..=29_999, 61_000..=65_535];
/// A client's port as kernels choose it: none of [`POOL`].
pub(crate) const EPHEMERAL: u16 = 40_000;

/// Clients and endpoints: everything that can be a packet's source when a program sees it.
///
/// A test run takes the packet's protocol from bytes 12 and 13, the EtherType. On a device without Ethernet headers the source
/// address is there, so that it has to read 0x0800 or 0x86dd in that place.
const PODS4: Ipv4Addr = Ipv4Addr::new(8, 0, 0, 0);
const PODS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x86dd, 0, 0, 0, 0, 0);
const VIPS4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
const VIPS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0);
const NODE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);

impl Variant {
    fn choose(self, v4: impl Into<IpAddr>, v6: impl Into<IpAddr>) -> IpAddr {
        match self.family {
            Family::V4 => v4.into(),
            Family::V6 => v6.into(),
        }
    }

    fn host(self, nets: (Ipv4Addr, Ipv6Addr), number: u16) -> IpAddr {
        self.choose(
            Ipv4Addr::from_bits(nets.0.to_bits() | u32::from(number)),
            Ipv6Addr::from_bits(nets.1.to_bits() | u128::from(number)),
        )
    }

    /// A client, none of the endpoints.
    pub(crate) fn client(self, number: u8, port: u16) -> SocketAddr {
        (self.host((PODS4, PODS6), 0x100 + u16::from(number)), port).into()
    }

    /// A client that is no pod in [`Scene::with_pods`].
    pub(crate) fn outsider(self, number: u8, port: u16) -> SocketAddr {
        (self.host((PODS4, PODS6), 0x800 + u16::from(number)), port).into()
    }

    /// The addresses of pods in [`Scene::with_pods`]: all clients and endpoints, but no outsider.
    pub(crate) fn pods(self) -> IpNet {
        let bits = if self.family == Family::V4 { 22 } else { 118 };
        IpNet::new_assert(self.choose(PODS4, PODS6), bits)
    }

    /// An endpoint's address.
    pub(crate) fn endpoint(self, number: u8) -> IpAddr {
        self.host((PODS4, PODS6), 0x200 + u16::from(number))
    }

    /// An endpoint and its port.
    pub(crate) fn target(self, number: u8) -> SocketAddr {
        (self.endpoint(number), TARGET_PORT).into()
    }

    /// A virtual IP and its port.
    pub(crate) fn vip(self, number: u8) -> SocketAddr {
        (self.host((VIPS4, VIPS6), number.into()), 80).into()
    }

    /// The node's address.
    pub(crate) fn node(self) -> IpAddr {
        self.choose(NODE4, NODE6)
    }

    /// The node's address and the NodePort.
    pub(crate) fn node_port(self) -> SocketAddr {
        (self.node(), NODE_PORT).into()
    }

    /// A Service at virtual IP 1 with these endpoints.
    pub(crate) fn service(self, endpoints: impl IntoIterator<Item = u8>) -> ClusterIp {
        ClusterIp {
            name: "web",
            address: self.vip(1),
            protocol: self.protocol,
            node_port: None,
            endpoints: endpoints
                .into_iter()
                .map(|number| self.endpoint(number))
                .collect(),
            weights: Vec::new(),
            target_port: TARGET_PORT,
            here: Vec::new(),
            edit: |_| {},
        }
    }

    /// A Service at virtual IP 1 with as many endpoints, of these weights.
    pub(crate) fn weighted_service(self, weights: &[u16]) -> ClusterIp {
        let endpoints = (1_u8..).zip(weights).map(|(number, _)| number);
        ClusterIp {
            weights: weights.to_vec(),
            ..self.service(endpoints)
        }
    }

    /// The same with a NodePort.
    pub(crate) fn node_port_service(self, endpoints: impl IntoIterator<Item = u8>) -> ClusterIp {
        ClusterIp {
            node_port: Some(NODE_PORT),
            ..self.service(endpoints)
        }
    }

    /// The first packet of a flow.
    pub(crate) fn opening(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        let transport = match self.protocol {
            Protocol::Tcp => Transport::Tcp(SYN),
            _ => Transport::Udp,
        };
        Packet::new(source, destination, transport)
    }

    /// Seconds after which a flow that nobody has answered is forgotten.
    pub(crate) fn unanswered_timeout(self) -> u32 {
        match self.protocol {
            Protocol::Tcp => 120,
            _ => 30,
        }
    }
}

/// The programs, and what the tests are about.
pub(crate) struct Scene {
    datapath: Datapath,
}

/// A request on its way, or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    /// Between the hooks, as the node's stack sees it.
    pub(crate) inside: Packet,
    /// As the endpoint sees it.
    pub(crate) arrived: Packet,
}

impl Trip {
    /// The entries of a flow, as hooks and the packets that they are looked up by there: those of the destination binding,
    /// then those of the source binding, which only masqueraded flows have.
    pub(crate) fn entries(&self, request: &Packet) -> [(Hook, Packet); 4] {
        [
            (Hook::Ingress, request.clone()),
            (Hook::Egress, self.inside.answer()),
            (Hook::Egress, self.inside.clone()),
            (Hook::Ingress, self.arrived.answer()),
        ]
    }
}

impl Scene {
    /// With these Services.
    pub(crate) fn new(variant: Variant, services: &[ClusterIp]) -> Self {
        Self::with_ports(variant, services, &POOL)
    }

    /// With these ports for masquerading.
    pub(crate) fn with_ports(
        variant: Variant,
        services: &[ClusterIp],
        ports: &[RangeInclusive<u16>],
    ) -> Self {
        Self::with(variant, services, ports, vec![variant.node()])
    }

    /// Where pods are known by their addresses.
    pub(crate) fn with_pods(variant: Variant, services: &[ClusterIp]) -> Self {
        let mut datapath = Datapath::load(Setup {
            layer: variant.layer,
            node: vec![variant.node()],
            ports: POOL.to_vec(),
            pods: vec![variant.pods()],
        });
        datapath.apply(services);
        Self { datapath }
    }

    /// With these addresses of the node, too.
    pub(crate) fn with(
        variant: Variant,
        services: &[ClusterIp],
        ports: &[RangeInclusive<u16>],
        node: Vec<IpAddr>,
    ) -> Self {
        let mut datapath = Datapath::load(Setup {
            layer: variant.layer,
            node,
            ports: ports.to_vec(),
            pods: Vec::new(),
        });
        datapath.apply(services);
        Self { datapath }
    }

    /// Sends a request from its client to its endpoint.
    pub(crate) fn request(&mut self, request: &Packet) -> Trip {
        let inside = self.send(Hook::Ingress, request);
        let arrived = self.send(Hook::Egress, &inside);
        Trip { inside, arrived }
    }

    /// Sends what the endpoint answers to what has arrived there; what the node's stack sees and what leaves the node.
    pub(crate) fn reply(&mut self, reply: &Packet) -> Trip {
        self.request(reply)
    }

    /// Sends a request to its endpoint and the reply back, and looks at all of the way but the choices that a node has.
    pub(crate) fn round_trip(&mut self, request: &Packet) -> Trip {
        let there = self.request(request);
        let Trip { inside, arrived } = &there;
        assert_eq!(
            inside.source.ip(),
            request.source.ip(),
            "the stack sees the client"
        );
        assert_eq!(*inside, request.from(inside.source).to(inside.destination));
        assert_eq!(
            *arrived,
            inside.from(arrived.source),
            "egress changes the source alone"
        );
        let back = self.reply(&there.arrived.answer());
        assert_eq!(
            back.inside,
            there.inside.answer(),
            "the stack sees the reply to what it saw before"
        );
        assert_eq!(
            back.arrived,
            request.answer(),
            "the client sees the reply to what it sent"
        );
        there
    }
}

impl Deref for Scene {
    type Target = Datapath;

    fn deref(&self) -> &Datapath {
        &self.datapath
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Datapath {
        &mut self.datapath
    }
}
