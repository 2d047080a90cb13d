//! A real Kubernetes API server: etcd and kube-apiserver on a node of the topology, and what talks to them.
//!
//! ```text
//! cluster ─▶ server ─▶ etcd, credentials              the two processes; gone with their owner
//!    │  └──▶ client, access                           requests as JSON documents; what the agent may do
//!    └─────▶ agent                                    started with a kubeconfig
//! ```
//!
//! No controller runs: whoever creates a Service creates its EndpointSlices too.

mod access;
mod binaries;
mod client;
mod cluster;
mod credentials;
mod etcd;
pub mod objects;
mod server;
mod shared;
mod writes;

pub use access::{AGENT_USER, RESOURCES, allow_agent, allow_resources};
pub use binaries::{Binaries, find};
pub use client::{Client, api, refusal};
pub use cluster::{Cluster, expect, lines};
pub use server::{ApiServer, SERVICE_IP};
pub use shared::shared;
pub use writes::Write;
