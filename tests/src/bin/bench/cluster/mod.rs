//! A cluster of a given size: as objects in memory, and as documents for an API server.

pub(crate) mod in_memory;
pub(crate) mod objects;
pub(crate) mod writer;
