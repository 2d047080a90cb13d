//! One generic body for both address families.

use aya_ebpf::programs::TcContext;
use proxy_common::{
    Addr4, Addr6, Address, CANARY4, CANARY6, Cookie, FlowKey, Interface, InterfaceFlags, Network, Settings,
    SocketRules,
};

use crate::{
    chain::{ipv4_chain, ipv6_chain},
    maps::{
        self, Affinities, Datagrams, Endpoints, Flows, Fragmented, Fragments, Frontends, HeldFragments,
        ListMembers, NodeAddresses, SourceRanges, Unconnected,
    },
    packet::Load,
    parse::{Header, Packet, Skip, ipv4_header, ipv6_header},
    rewrite::{Side, store_ipv4, store_ipv6},
};

mod sealed {
    pub trait Sealed {}
}

/// An address family: its address, header and maps. Implemented by [`V4`] and [`V6`] only.
pub trait Family: sealed::Sealed + Sized {
    /// Its address.
    type Address: Address + Client<Self>;
    /// Whether it is IPv6.
    const IPV6: bool;
    /// Bytes of its header up to and with the ports and flags of a TCP header without options.
    const HEADERS: u32;

    /// Where source and destination address stand in its header.
    const ADDRESSES: usize;

    /// Reads its header at `offset`.
    fn header(packet: &(impl Load + ?Sized), offset: usize) -> Result<Header, Skip>;
    /// The same, past extension headers and with what a fragment header says.
    fn chain(packet: &(impl Load + ?Sized), offset: usize, header: &mut Header) -> Result<(), Skip>;
    /// Bytes of its header without options.
    const HEADER_LEN: usize;

    /// Puts the addresses and ports of `new`, which differs from the packet's at `side`, into a header without options and what
    /// follows it. `diff` is what the sum of its addresses changes by.
    fn store_ends(
        ctx: &TcContext,
        packet: &Packet<'_, Self::Address>,
        new: &FlowKey<Self::Address>,
        side: Side,
        diff: u32,
    ) -> Result<(), i64>;
    /// The address that masqueraded packets leave an interface with.
    fn snat_address(interface: &Interface) -> Self::Address;
    /// The bit of an interface behind which local pods are.
    const PODS: InterfaceFlags;
    /// The addresses of local pods.
    fn pods(settings: &Settings) -> &Network<Self::Address>;
    /// What no host has: the agent asks for it to see whether its sockets are caught.
    const CANARY: Self::Address;
    /// The bit by which sockets of other network namespaces are local pods'.
    const POD_SOCKETS: SocketRules;
    /// The address that the node's own packets leave with.
    fn node(settings: &Settings) -> Self::Address;
    /// `FRONTENDS`.
    fn frontends() -> &'static Frontends<Self::Address>;
    /// `ENDPOINTS`.
    fn endpoints() -> &'static Endpoints<Self::Address>;
    /// `LIST_MEMBERS`.
    fn list_members() -> &'static ListMembers<Self::Address>;
    /// `SOURCE_RANGES`.
    fn source_ranges() -> &'static SourceRanges<Self::Address>;
    /// `SOCKET_AFFINITY`.
    fn socket_affinities() -> &'static Affinities<Cookie, Self::Address>;
    /// `UNCONNECTED`.
    fn unconnected() -> &'static Unconnected<Self::Address>;
    /// `DATAGRAMS`.
    fn datagrams() -> &'static Datagrams<Self::Address>;
    /// `INGRESS_FLOWS`.
    fn ingress_flows() -> &'static Flows<Self::Address>;
    /// `EGRESS_FLOWS`.
    fn egress_flows() -> &'static Flows<Self::Address>;
    /// The flow table of a hook.
    #[inline(always)]
    fn flows(hook: Side) -> &'static Flows<Self::Address> {
        match hook {
            Side::Destination => Self::ingress_flows(),
            Side::Source => Self::egress_flows(),
        }
    }
    /// `NODE_ADDRESSES`.
    fn node_addresses() -> &'static NodeAddresses<Self::Address>;
    /// `FRAGMENTS`.
    fn fragments() -> &'static Fragments<Self::Address>;
    /// `FRAGMENTED`.
    fn fragmented() -> &'static Fragmented<Self::Address>;
    /// `HELD_FRAGMENTS`.
    fn held_fragments() -> &'static HeldFragments<Self::Address>;
}

/// What a client of a Service with session affinity is known by.
pub trait Client<F: Family>: Copy + 'static {
    /// Where it is remembered.
    fn affinities() -> &'static Affinities<Self, F::Address>;
}

impl Client<V4> for Addr4 {
    #[inline(always)]
    fn affinities() -> &'static Affinities<Self, Self> {
        &maps::AFFINITY4
    }
}

impl Client<V6> for Addr6 {
    #[inline(always)]
    fn affinities() -> &'static Affinities<Self, Self> {
        &maps::AFFINITY6
    }
}

/// A socket's network namespace, because its address is not chosen yet.
impl<F: Family> Client<F> for Cookie {
    #[inline(always)]
    fn affinities() -> &'static Affinities<Self, F::Address> {
        F::socket_affinities()
    }
}

/// IPv4.
pub enum V4 {}
/// IPv6.
pub enum V6 {}

macro_rules! family {
    ($family:ident, $address:ty, ipv6: $ipv6:literal, header: $header_len:literal, headers: $headers:literal, addresses: $addresses:literal,
     $header:ident $chain:ident, $store:ident, $snat:ident, $node:ident, $canary:ident, pods: $pods:ident $pods_bit:ident,
     [$frontends:ident, $endpoints:ident, $members:ident, $ranges:ident, $affinities:ident, $unconnected:ident,
      $datagrams:ident, $ingress:ident, $egress:ident, $nodes:ident,
      $fragments:ident, $fragmented:ident, $held:ident]) => {
        impl sealed::Sealed for $family {}

        impl Family for $family {
            type Address = $address;
            const IPV6: bool = $ipv6;
            const HEADERS: u32 = $headers;
            const ADDRESSES: usize = $addresses;
            const HEADER_LEN: usize = $header_len;
            const PODS: InterfaceFlags = InterfaceFlags::$pods_bit;
            const CANARY: $address = $canary;
            const POD_SOCKETS: SocketRules = SocketRules::$pods_bit;

            #[inline(always)]
            fn header(packet: &(impl Load + ?Sized), offset: usize) -> Result<Header, Skip> {
                $header(packet, offset)
            }
            #[inline(always)]
            fn chain(packet: &(impl Load + ?Sized), offset: usize, header: &mut Header) -> Result<(), Skip> {
                $chain(packet, offset, header)
            }
            #[inline(always)]
            fn store_ends(
                ctx: &TcContext,
                packet: &Packet<'_, $address>,
                new: &FlowKey<$address>,
                side: Side,
                diff: u32,
            ) -> Result<(), i64> {
                $store(ctx, packet, new, side, diff)
            }
            #[inline(always)]
            fn snat_address(interface: &Interface) -> $address {
                interface.$snat()
            }
            #[inline(always)]
            fn pods(settings: &Settings) -> &Network<$address> {
                settings.$pods()
            }
            #[inline(always)]
            fn node(settings: &Settings) -> $address {
                settings.$node()
            }
            #[inline(always)]
            fn frontends() -> &'static Frontends<$address> {
                &maps::$frontends
            }
            #[inline(always)]
            fn endpoints() -> &'static Endpoints<$address> {
                &maps::$endpoints
            }
            #[inline(always)]
            fn list_members() -> &'static ListMembers<$address> {
                &maps::$members
            }
            #[inline(always)]
            fn source_ranges() -> &'static SourceRanges<$address> {
                &maps::$ranges
            }
            #[inline(always)]
            fn socket_affinities() -> &'static Affinities<Cookie, $address> {
                &maps::$affinities
            }
            #[inline(always)]
            fn unconnected() -> &'static Unconnected<$address> {
                &maps::$unconnected
            }
            #[inline(always)]
            fn datagrams() -> &'static Datagrams<$address> {
                &maps::$datagrams
            }
            #[inline(always)]
            fn ingress_flows() -> &'static Flows<$address> {
                &maps::$ingress
            }
            #[inline(always)]
            fn egress_flows() -> &'static Flows<$address> {
                &maps::$egress
            }
            #[inline(always)]
            fn node_addresses() -> &'static NodeAddresses<$address> {
                &maps::$nodes
            }
            #[inline(always)]
            fn fragments() -> &'static Fragments<$address> {
                &maps::$fragments
            }
            #[inline(always)]
            fn fragmented() -> &'static Fragmented<$address> {
                &maps::$fragmented
            }
            #[inline(always)]
            fn held_fragments() -> &'static HeldFragments<$address> {
                &maps::$held
            }
        }
    };
}

family!(V4, Addr4, ipv6: false, header: 20, headers: 40, addresses: 12, ipv4_header ipv4_chain, store_ipv4, snat4, node4, CANARY4, pods: pods4 PODS4,
    [FRONTENDS4, ENDPOINTS4, LIST_MEMBERS4, SOURCE_RANGES4, SOCKET_AFFINITY4, UNCONNECTED4, DATAGRAMS4,
     INGRESS_FLOWS4, EGRESS_FLOWS4, NODE_ADDRESSES4, FRAGMENTS4, FRAGMENTED4, HELD_FRAGMENTS4]);
family!(V6, Addr6, ipv6: true, header: 40, headers: 60, addresses: 8, ipv6_header ipv6_chain, store_ipv6, snat6, node6, CANARY6, pods: pods6 PODS6,
    [FRONTENDS6, ENDPOINTS6, LIST_MEMBERS6, SOURCE_RANGES6, SOCKET_AFFINITY6, UNCONNECTED6, DATAGRAMS6,
     INGRESS_FLOWS6, EGRESS_FLOWS6, NODE_ADDRESSES6, FRAGMENTS6, FRAGMENTED6, HELD_FRAGMENTS6]);
