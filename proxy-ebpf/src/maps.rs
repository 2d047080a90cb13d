//! All maps. What they hold and who writes them stands in `proxy_common`.
#![expect(
    missing_docs,
    reason = "each map is described once, in the table of `proxy_common`"
)]

use aya_ebpf::{
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use proxy_common::{
    Addr4, Addr6, Affinity, AffinityKey, Asked, Cookie, Counter, DEFAULT_FLOWS, Endpoint, EndpointKey, Flow,
    FlowKey, Fragment, FragmentKey, FragmentedKey, Frontend, FrontendKey, HINTS, HeldKey, Interface,
    MAX_AFFINITIES, MAX_CANARIES, MAX_DATAGRAMS, MAX_ENDPOINTS, MAX_FRAGMENTED, MAX_FRAGMENTS, MAX_FRONTENDS,
    MAX_HELD, MAX_INTERFACES, MAX_NODE_ADDRESSES, MAX_SERVICES, MAX_SOCKETS, MAX_SOURCE_RANGES, MemberKey,
    Peer, PeerKey, RateLimit, ServiceName, Settings, Socket, SourceRange,
};

use crate::{chain::Chain, fragment::Held, reject::Answer};

/// `BPF_F_NO_PREALLOC`: memory for entries that exist, not for all that could. No program that handles packets writes these maps.
const ON_DEMAND: usize = 1;

/// Destination → what becomes of it.
pub type Frontends<A> = HashMap<FrontendKey<A>, Frontend, { MAX_FRONTENDS as usize }, ON_DEMAND>;
/// List and slot → endpoint.
pub type Endpoints<A> = HashMap<EndpointKey, Endpoint<A>, { MAX_ENDPOINTS as usize }, ON_DEMAND>;
/// List and endpoint → slot.
pub type ListMembers<A> = HashMap<MemberKey<A>, u32, { MAX_ENDPOINTS as usize }, ON_DEMAND>;
/// Service port and client → it is let in.
pub type SourceRanges<A> = LpmTrie<SourceRange<A>, u32, { MAX_SOURCE_RANGES as usize }>;
/// Service port and client → its endpoint. Clients are known by address, or by network namespace.
pub type Affinities<C, A> = LruHashMap<AffinityKey<C>, Affinity<A>, { MAX_AFFINITIES as usize }>;
/// Socket → whom it has asked for, and whom it got.
pub type Sockets = HashMap<Cookie, Socket, { MAX_SOCKETS as usize }, ON_DEMAND>;
/// Socket → what has to be forgotten with it.
pub type Unconnected<A> = HashMap<Cookie, Asked<A>, { MAX_SOCKETS as usize }, ON_DEMAND>;
/// Socket and one side → the other side.
pub type Datagrams<A> = LruHashMap<PeerKey<A>, Peer<A>, { MAX_DATAGRAMS as usize }>;
/// Tuple at a hook → what to put there.
pub type Flows<A> = LruHashMap<FlowKey<A>, Flow<A>, { DEFAULT_FLOWS as usize }>;
/// Datagram → what has become of its first fragment.
pub type Fragments<A> = LruHashMap<FragmentKey<A>, Fragment<A>, { MAX_FRAGMENTS as usize }>;
/// Address of fragmented Service traffic → since when.
pub type Fragmented<A> = LruHashMap<FragmentedKey<A>, u32, { MAX_FRAGMENTED as usize }>;
/// Datagram and slot → a fragment that waits for the first one.
pub type HeldFragments<A> = LruHashMap<HeldKey<A>, Held, { MAX_HELD as usize }>;
/// Local addresses that serve NodePorts.
pub type NodeAddresses<A> = HashMap<A, u32, { MAX_NODE_ADDRESSES as usize }, ON_DEMAND>;

#[btf_map]
pub static FRONTENDS4: Frontends<Addr4> = Frontends::new();
#[btf_map]
pub static FRONTENDS6: Frontends<Addr6> = Frontends::new();
#[btf_map]
pub static ENDPOINTS4: Endpoints<Addr4> = Endpoints::new();
#[btf_map]
pub static ENDPOINTS6: Endpoints<Addr6> = Endpoints::new();
#[btf_map]
pub static LIST_MEMBERS4: ListMembers<Addr4> = ListMembers::new();
#[btf_map]
pub static LIST_MEMBERS6: ListMembers<Addr6> = ListMembers::new();
#[btf_map]
pub static SOURCE_RANGES4: SourceRanges<Addr4> = SourceRanges::new();
#[btf_map]
pub static SOURCE_RANGES6: SourceRanges<Addr6> = SourceRanges::new();
#[btf_map]
pub static AFFINITY4: Affinities<Addr4, Addr4> = Affinities::new();
#[btf_map]
pub static AFFINITY6: Affinities<Addr6, Addr6> = Affinities::new();
#[btf_map]
pub static SOCKET_AFFINITY4: Affinities<Cookie, Addr4> = Affinities::new();
#[btf_map]
pub static SOCKET_AFFINITY6: Affinities<Cookie, Addr6> = Affinities::new();
#[btf_map]
pub static TCP_SOCKETS: Sockets = Sockets::new();
#[btf_map]
pub static UDP_SOCKETS: Sockets = Sockets::new();
#[btf_map]
pub static UNCONNECTED4: Unconnected<Addr4> = Unconnected::new();
#[btf_map]
pub static UNCONNECTED6: Unconnected<Addr6> = Unconnected::new();
#[btf_map]
pub static DATAGRAMS4: Datagrams<Addr4> = Datagrams::new();
#[btf_map]
pub static DATAGRAMS6: Datagrams<Addr6> = Datagrams::new();
#[btf_map]
pub static CANARIES: HashMap<Cookie, Cookie, { MAX_CANARIES as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static INGRESS_FLOWS4: Flows<Addr4> = Flows::new();
#[btf_map]
pub static INGRESS_FLOWS6: Flows<Addr6> = Flows::new();
#[btf_map]
pub static EGRESS_FLOWS4: Flows<Addr4> = Flows::new();
#[btf_map]
pub static EGRESS_FLOWS6: Flows<Addr6> = Flows::new();
/// Hook → whether there ever was a flow with such a serving end.
#[btf_map]
pub static FLOW_HINTS: Array<[u8; HINTS], 2> = Array::new();
/// Whether there ever was a TCP socket with such an endpoint.
#[btf_map]
pub static SOCKET_HINTS: Array<[u8; HINTS], 1> = Array::new();
#[btf_map]
pub static NODE_ADDRESSES4: NodeAddresses<Addr4> = NodeAddresses::new();
#[btf_map]
pub static NODE_ADDRESSES6: NodeAddresses<Addr6> = NodeAddresses::new();
#[btf_map]
pub static FRAGMENTS4: Fragments<Addr4> = Fragments::new();
#[btf_map]
pub static FRAGMENTS6: Fragments<Addr6> = Fragments::new();
#[btf_map]
pub static FRAGMENTED4: Fragmented<Addr4> = Fragmented::new();
#[btf_map]
pub static FRAGMENTED6: Fragmented<Addr6> = Fragmented::new();
#[btf_map]
pub static HELD_FRAGMENTS4: HeldFragments<Addr4> = HeldFragments::new();
#[btf_map]
pub static HELD_FRAGMENTS6: HeldFragments<Addr6> = HeldFragments::new();
#[btf_map]
pub static FRAGMENT_ROOM: PerCpuArray<Held, 2> = PerCpuArray::new();
#[btf_map]
pub static CHAIN: PerCpuArray<Chain, 1> = PerCpuArray::new();
#[btf_map]
pub static INTERFACES: HashMap<u32, Interface, { MAX_INTERFACES as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static SERVICES: HashMap<u32, ServiceName, { MAX_SERVICES as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub static REJECT_RATE: PerCpuArray<RateLimit, 1> = PerCpuArray::new();
#[btf_map]
pub static ANSWERS: PerCpuArray<Answer, 1> = PerCpuArray::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { Counter::ALL.len() }> = PerCpuArray::new();
