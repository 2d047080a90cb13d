//! What `iptables-restore` is to read, from what the dataplane shall do.

pub mod jumps;
pub mod names;
mod probability;
