//! Sizes of the maps, and the version of their layout.

/// Part of the pin directory's name: maps of another layout are never opened. Raise it with every change of a wire type.
pub const WIRE_VERSION: u32 = 2;

/// Frontends per family.
pub const MAX_FRONTENDS: usize = 262_144;
/// Slots of all endpoint lists per family.
pub const MAX_ENDPOINTS: usize = 1_048_576;
/// Entries of each flow table, unless the agent sizes them.
pub const DEFAULT_FLOWS: usize = 65_536;
/// Service ports.
pub const MAX_SERVICES: usize = 131_072;
/// Local addresses per family.
pub const MAX_NODE_ADDRESSES: usize = 4_096;
/// Network interfaces.
pub const MAX_INTERFACES: usize = 16_384;
