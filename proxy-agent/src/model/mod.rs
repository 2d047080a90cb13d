//! What the cluster asks for, as pure data and pure functions: no async, kube, aya, clock or files.
//!
//! ```text
//! source ──ClusterEvent──▶ [Cluster] ──compute(&Cluster, &NodeContext)──▶ [Desired] ──▶ dataplane
//! ```
#![forbid(unsafe_code)]

mod cluster;
mod compute;
mod desired;
mod endpoints;
mod objects;
#[cfg(test)]
mod oracle;
#[cfg(test)]
pub(crate) mod samples;
mod topology;
mod weights;

pub use cluster::{Changes, Cluster, ClusterEvent, NodeContext, Object, ObjectKind, ObjectRef};
pub use compute::compute;
pub use desired::{
    Conflict, Desired, Endpoint, EndpointList, Frontend, FrontendAddress, FrontendKey, FrontendKind, ListKey,
    Masquerade, Scope, ServicePort, ServicePortId, WhenEmpty,
};
pub use objects::{
    EndpointSlice, Family, Node, ObjectName, PortName, Protocol, Service, ServicePortSpec, SliceEndpoint,
    SlicePort, TrafficPolicy,
};
pub use weights::{EndpointSelector, WeightRule, Weights};
