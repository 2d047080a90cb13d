//! One generic body for both address families.

use aya_ebpf::programs::TcContext;
use proxy_common::{Addr4, Addr6, Address, FlowKey, Interface, InterfaceFlags, Network, Settings};

use crate::{
    chain::{ipv4_chain, ipv6_chain},
    maps::{
        self, Affinities, Endpoints, Flows, Fragmented, Fragments, Frontends, HeldFragments, ListMembers,
        NodeAddresses, SourceRanges,
    },
    packet::Load,
    parse::{Header, Packet, Skip, ipv4_header, ipv6_header},
    rewrite::{Side, store_ipv4, store_ipv6},
};

mod sealed {
    pub trait Sealed {}
}

/// An address family: its address, header and maps. Implemented by [`V4`] and [`V6`] only.
pub trait Family: sealed::Sealed {
    /// Its address.
    type Address: Address;
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
    /// `FRONTENDS`.
    fn frontends() -> &'static Frontends<Self::Address>;
    /// `ENDPOINTS`.
    fn endpoints() -> &'static Endpoints<Self::Address>;
    /// `LIST_MEMBERS`.
    fn list_members() -> &'static ListMembers<Self::Address>;
    /// `SOURCE_RANGES`.
    fn source_ranges() -> &'static SourceRanges<Self::Address>;
    /// `AFFINITY`.
    fn affinities() -> &'static Affinities<Self::Address>;
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

/// IPv4.
pub enum V4 {}
/// IPv6.
pub enum V6 {}

macro_rules! family {
    ($family:ident, $address:ty, ipv6: $ipv6:literal, header: $header_len:literal, headers: $headers:literal, addresses: $addresses:literal,
     $header:ident $chain:ident, $store:ident, $snat:ident, pods: $pods:ident $pods_bit:ident,
     [$frontends:ident, $endpoints:ident, $members:ident, $ranges:ident, $affinities:ident, $ingress:ident, $egress:ident, $nodes:ident,
      $fragments:ident, $fragmented:ident, $held:ident]) => {
        impl sealed::Sealed for $family {}

        impl Family for $family {
            type Address = $address;
            const IPV6: bool = $ipv6;
            const HEADERS: u32 = $headers;
            const ADDRESSES: usize = $addresses;
            const HEADER_LEN: usize = $header_len;
            const PODS: InterfaceFlags = InterfaceFlags::$pods_bit;

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
            fn affinities() -> &'static Affinities<$address> {
                &maps::$affinities
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

family!(V4, Addr4, ipv6: false, header: 20, headers: 40, addresses: 12, ipv4_header ipv4_chain, store_ipv4, snat4, pods: pods4 PODS4,
    [FRONTENDS4, ENDPOINTS4, LIST_MEMBERS4, SOURCE_RANGES4, AFFINITY4, INGRESS_FLOWS4, EGRESS_FLOWS4, NODE_ADDRESSES4,
     FRAGMENTS4, FRAGMENTED4, HELD_FRAGMENTS4]);
family!(V6, Addr6, ipv6: true, header: 40, headers: 60, addresses: 8, ipv6_header ipv6_chain, store_ipv6, snat6, pods: pods6 PODS6,
    [FRONTENDS6, ENDPOINTS6, LIST_MEMBERS6, SOURCE_RANGES6, AFFINITY6, INGRESS_FLOWS6, EGRESS_FLOWS6, NODE_ADDRESSES6,
     FRAGMENTS6, FRAGMENTED6, HELD_FRAGMENTS6]);
