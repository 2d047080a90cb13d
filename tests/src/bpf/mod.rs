//! The real programs, loaded into the kernel and given packets by `BPF_PROG_TEST_RUN`: no device, no traffic, no waiting.
//!
//! ```text
//! services ──compute, encode, reconcile──▶ maps
//! Packet ──▶ hook (test run) ──▶ Outcome        counters, flow tables
//! ```
//!
//! The maps are filled by the agent's own code, so that a test meets the bytes that a node would.

mod affinities;
mod at_once;
mod datapath;
mod flows;
mod fragments;
mod icmp;
mod loaded;
mod packet;
mod service;

pub use self::{
    affinities::Affinities,
    datapath::{Datapath, Hook, Outcome, Setup, in_own_netns},
    flows::FlowTables,
    fragments::Fragments,
    icmp::IcmpError,
    packet::{ACK, FIN, Layer, Packet, RST, SYN, Transport},
    service::{ClusterIp, cluster},
};
