//! What the cluster asks for, as pure data and pure functions: no async, kube, aya, clock or files.
//!
//! ```text
//! source ──ClusterEvent──▶ [Cluster] ──Changes──▶ [Plan] ──[Desired], [Delta]──▶ dataplane
//! ```
#![forbid(unsafe_code)]

mod api_server;
mod cluster;
mod compute;
mod context;
mod delta;
mod desired;
mod endpoints;
mod mesh;
mod objects;
mod plan;
#[cfg(test)]
pub(crate) mod samples;
mod shared_names;
mod topology;
mod weights;

pub use cluster::{Changes, Cluster, ClusterEvent, Object, ObjectKind, ObjectRef};
pub use context::{
    DetectLocal, FamilyRules, LocalTraffic, NodeContext, NodePortAddresses, NodePorts, NodeRules,
};
pub use delta::Delta;
pub use desired::{
    Conflict, Desired, Endpoint, EndpointList, Frontend, FrontendAddress, FrontendKey, FrontendKind, ListKey,
    Masquerade, Scope, ServicePort, ServicePortId, WhenEmpty,
};
pub use mesh::{Mesh, PodSockets, SocketLb};
pub use objects::{
    EndpointSlice, Family, Node, ObjectName, PortName, Protocol, Service, ServiceCidr, ServicePortSpec,
    SliceEndpoint, SlicePort, TrafficPolicy,
};
pub use plan::{Plan, compute};
pub use weights::{EndpointSelector, WeightRule, Weights};
