//! kube-portal's BPF programs, as a library that also builds and is tested on the host.
//!
//! ```text
//!  ingress of a device                              egress of a device
//!  parse ─ no Service traffic can be in it ─▶ pass   parse ─▶ pass
//!    │                                                 │
//!  INGRESS_FLOWS ─ hit ─▶ put destination            EGRESS_FLOWS ─ miss ─▶ pass
//!    │ miss                       ▲                    │ hit
//!  FRONTENDS ─ miss ─▶ pass       │                  without a port yet? reserve one (snat)
//!    │ hit                        │                    │
//!  pick an endpoint, open the flow┘                  put source
//! ```
//!
//! A frontend without endpoints turns the packet into its own refusal, which goes back out of the device (reject).
//! What misses `FRONTENDS` gets another port if its replies could be taken for those of a Service (open).
//! A packet whose ends never served at a hook is not looked for in its flow table (hints), and egress does not look for requests that keep
//! their source (told). A TCP packet that opens nothing and belongs to no known flow passes.
//! A reply that a bridge would carry from pod to pod is sent up to the node's stack (bridge).
//! What processes of the node ask for, and pods by TCP, is translated before there is a packet (socket); a socket that is to hear nothing
//! has its packets end at egress (kept_back).
//! ICMP errors are translated as the packets that they are about.
//! Later fragments get the address of the first one, and IPv6 extension headers are looked through (uncommon, chain, fragment).
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod hooks;
pub mod maps;
pub mod packet;
pub mod parse;
pub mod verdict;

mod affinity;
mod bridge;
pub mod chain;
mod choice;
mod client;
mod clock;
mod count;
mod family;
mod flow;
pub mod fragment;
mod hints;
mod icmp;
mod kept_back;
mod lookup;
mod mark;
mod open;
pub mod reject;
pub mod rewrite;
mod snat;
mod socket;
mod told;
mod uncommon;

pub use family::{Family, V4, V6};
