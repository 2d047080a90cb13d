//! The contract between the BPF programs and the agent: wire types, counters and the decisions that both can make.
//!
//! | Map | Key → value | Written by | Lifetime |
//! |---|---|---|---|
//! | `FRONTENDS4/6` | [`FrontendKey`] → [`Frontend`] | agent | as long as the Service port |
//! | `ENDPOINTS4/6` | [`EndpointKey`] → [`Endpoint`] | agent | immutable lists, deleted once no frontend names them |
//! | `LIST_MEMBERS4/6` | [`MemberKey`] → slot | agent | with the list |
//! | `SOURCE_RANGES4/6` | [`SourceRange`] → 1 | agent | with the frontend that asks for it |
//! | `AFFINITY4/6` | [`AffinityKey`] → [`Affinity`] | programs | LRU, expiry on hit |
//! | `INGRESS_FLOWS4/6` | [`FlowKey`] → [`Flow`] | programs | LRU, expiry on hit |
//! | `EGRESS_FLOWS4/6` | [`FlowKey`] → [`Flow`] | programs | LRU, expiry on hit |
//! | `FLOW_HINTS` | hook → a byte for each [`hint`]: the hook has had flows of such an end | programs | the pin directory's |
//! | `TCP_SOCKETS`, `UDP_SOCKETS` | connected socket's [`Cookie`] → [`Socket`] | programs | as long as the socket |
//! | `SOCKET_HINTS` | a byte for each [`hint`]: a TCP socket has got such an endpoint | programs | the pin directory's |
//! | `UNCONNECTED4/6` | socket's [`Cookie`] → [`Asked`] | programs | as long as the socket |
//! | `DATAGRAMS4/6` | [`PeerKey`] → [`Peer`] | programs | as long as the socket, LRU |
//! | `SOCKET_AFFINITY4/6` | [`AffinityKey`] of a network namespace's [`Cookie`] → [`Affinity`] | programs | LRU, expiry on hit |
//! | `CANARIES` | [`Cookie`] of a socket of the agent's → that of its network namespace | both | as long as the agent asks |
//! | `FRAGMENTS4/6` | [`FragmentKey`] → [`Fragment`] | programs | LRU, expiry on hit |
//! | `FRAGMENTED4/6` | [`FragmentedKey`] → second it was first seen | programs | LRU |
//! | `HELD_FRAGMENTS4/6` | [`HeldKey`] → its bytes | programs | LRU, until the first fragment comes |
//! | `NODE_ADDRESSES4/6` | address → bits | agent | as long as the address |
//! | `INTERFACES` | ifindex → [`Interface`] | agent | as long as the interface |
//! | `SERVICES` | service id → [`ServiceName`] | agent | as long as the Service port |
//! | `SETTINGS` | 0 → [`Settings`] | agent | the pin directory's |
//! | `REJECT_RATE` | 0 → [`RateLimit`] per CPU | programs | the programs' |
//! | `ANSWERS` | 0 → room to build an answer in, per CPU | programs | the programs' |
//! | `CHAIN` | 0 → a packet's IP headers, per CPU | programs | the programs' |
//! | `FRAGMENT_ROOM` | 0, 1 → room for a packet's bytes, per CPU | programs | the programs' |
//! | `COUNTERS` | [`Counter`] → u64 per CPU | programs | the pin directory's |
//!
//! Addresses and ports are big-endian bytes, as in the packet; every other number is in the node's byte order.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod csum;
pub mod select;
pub mod snat;
pub mod tcp_state;

mod addr;
mod client;
mod counters;
mod endpoint;
mod flow;
mod fragment;
mod frontend;
mod hints;
mod maps;
mod node;
mod rate;
mod socket;
mod wire;

pub use addr::{Addr4, Addr6, Address, Port, TCP, UDP};
pub use client::{Affinity, AffinityKey, Network, SourceRange};
pub use counters::Counter;
pub use endpoint::{Endpoint, EndpointKey, MemberKey};
pub use flow::{Flow, FlowFlags, FlowKey};
pub use fragment::{Ends, Fragment, FragmentKey, FragmentedKey, HeldKey};
pub use frontend::{Frontend, FrontendFlags, FrontendKey, FrontendKind, List};
pub use hints::{HINTS, hint};
pub use maps::{
    DEFAULT_FLOWS, MAX_AFFINITIES, MAX_CANARIES, MAX_DATAGRAMS, MAX_ENDPOINTS, MAX_FRAGMENTED, MAX_FRAGMENTS,
    MAX_FRONTENDS, MAX_HELD, MAX_INTERFACES, MAX_NODE_ADDRESSES, MAX_SERVICES, MAX_SOCKETS,
    MAX_SOURCE_RANGES, WIRE_VERSION,
};
pub use node::{
    Interface, InterfaceFlags, LOOPBACK_NODE_PORTS, Limits, NODE_PORTS, ON_DEVICE, ServiceName, Settings,
};
pub use rate::RateLimit;
pub use socket::{ASKED, Asked, CANARY4, CANARY6, Cookie, End, Peer, PeerKey, Socket, SocketRules};
