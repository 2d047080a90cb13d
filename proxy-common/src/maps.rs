//! Sizes of the maps, and the version of their layout.

/// Part of the pin directory's name: maps of another layout are never opened. Raise it with every change of a wire type.
pub const WIRE_VERSION: u32 = 11;

/// Frontends per family.
pub const MAX_FRONTENDS: u32 = 262_144;
/// Slots of all endpoint lists per family.
pub const MAX_ENDPOINTS: u32 = 1_048_576;
/// Entries of each flow table, unless the agent sizes them.
pub const DEFAULT_FLOWS: u32 = 65_536;
/// Ranges of `loadBalancerSourceRanges` per family, counted once for each Service port.
pub const MAX_SOURCE_RANGES: u32 = 65_536;
/// Clients of Service ports with session affinity per family.
pub const MAX_AFFINITIES: u32 = 65_536;
/// Datagrams per family whose first fragment has come.
pub const MAX_FRAGMENTS: u32 = 16_384;
/// Addresses per family whose fragments are waited for.
pub const MAX_FRAGMENTED: u32 = 4_096;
/// Fragments per family that wait for the first one of their datagram.
pub const MAX_HELD: u32 = 256;
/// Service ports.
pub const MAX_SERVICES: u32 = 131_072;
/// Local addresses per family.
pub const MAX_NODE_ADDRESSES: u32 = 4_096;
/// Network interfaces.
pub const MAX_INTERFACES: u32 = 16_384;
/// Connected sockets per family, and unconnected ones.
pub const MAX_SOCKETS: u32 = 262_144;
/// Entries per family for whom unconnected sockets exchange datagrams with, two for each.
pub const MAX_DATAGRAMS: u32 = 32_768;
/// Sockets that prove that sockets are translated.
pub const MAX_CANARIES: u32 = 64;
