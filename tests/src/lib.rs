//! Everything that tests of the whole need: a small cluster made of network namespaces, traffic in it, and the real
//! `kube-portal` agent on its nodes.
//!
//! ```text
//! world ─▶ topology ─▶ netns, exec        namespaces, devices, routes; gone with their owner, also on panic
//!   │  │               cgroup             who makes a node's sockets, if a test asks for it
//!   │  ├─▶ agent ────▶ scratch            the binary on each node, pinning in a private bpffs
//!   │  └─▶ manifests                      Services as YAML files that the agents read
//!   └────▶ traffic                        servers and clients on real sockets
//!
//! apiserver, kube_proxy                  the real ones, on machines of a topology
//!
//! flows                                  who asks where and what comes of it, for whoever decides that
//! rules                                  what iptables rules do to a packet, without a kernel
//! bpf                                    the programs alone, given packets by the kernel's test run
//! ```
//!
//! Nothing here touches the network namespace it is started in.

pub mod agent;
pub mod apiserver;
pub mod bpf;
pub mod cgroup;
pub mod exec;
pub mod flows;
pub mod foreign_program;
pub mod iptables;
mod janitor;
pub mod kube_proxy;
pub mod manifests;
pub mod netns;
mod once;
pub mod process;
pub mod rules;
pub mod scratch;
pub mod signals;
pub mod skip;
pub mod topology;
pub mod traffic;
pub mod tun;
pub mod wait;
pub mod world;
