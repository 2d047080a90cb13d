//! The cluster as the sources last told it.

use std::collections::{BTreeMap, BTreeSet};

use super::{EndpointSlice, Node, ObjectName, Service};

/// Every object that matters to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Services with a virtual IP.
    pub services: BTreeMap<ObjectName, Service>,
    /// EndpointSlices of all Services.
    pub endpoint_slices: BTreeMap<ObjectName, EndpointSlice>,
    /// Nodes that the source watches: only this node's own from Kubernetes.
    pub nodes: BTreeMap<ObjectName, Node>,
    listed: BTreeSet<ObjectKind>,
}

/// Facts about the node that no object tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeContext {
    /// The node's name in the cluster: host name or `--hostname-override`, in lower case.
    pub name: String,
}

/// The kinds of objects that must have been listed before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Node.
    Node,
}

/// A converted object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A Node.
    Node(Node),
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ObjectName,
}

/// What a source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// The object is new or has changed.
    Apply(Object),
    /// The object is gone.
    Delete(ObjectRef),
    /// A complete list of one kind: what is not in it is gone. The first one of each kind makes that kind listed.
    Replace(ObjectKind, Vec<Object>),
}

/// Which Services an event may have touched: a hint that a dataplane may ignore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names of the Services.
    pub services: BTreeSet<ObjectName>,
    /// Something changed that concerns all of them.
    pub all: bool,
}
