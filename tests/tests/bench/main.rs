//! The benchmarks work: their smallest runs measure everything that they promise. How fast this machine is, is not asked.
//!
//! Needs root and a built `kube-portal`.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows functions marked as tests, not their helpers"
)]

mod control_plane;
mod datapath;
mod iptables;
mod run;
mod sockets;
