//! The cluster as the sources last told it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ipnet::IpNet;

use super::{
    EndpointSlice, Node, ObjectName, Service, ServiceCidr,
    api_server::{Kept, is_usable},
    shared_names::SharedNames,
};

/// Every object that matters to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Services with a virtual IP.
    pub(super) services: BTreeMap<ObjectName, Service>,
    /// EndpointSlices of all Services.
    pub(super) endpoint_slices: BTreeMap<ObjectName, EndpointSlice>,
    /// Each Service with the name of each of its slices, which are in its namespace.
    slices_by_service: BTreeSet<(ObjectName, String)>,
    /// Nodes that the source watches: only this node's own from Kubernetes.
    pub(super) nodes: BTreeMap<ObjectName, Node>,
    /// Ranges of cluster IPs.
    pub(super) service_cidrs: BTreeMap<ObjectName, ServiceCidr>,
    mesh_groups: Option<BTreeSet<String>>,
    listed: BTreeSet<ObjectKind>,
    kept: Kept,
    names: SharedNames,
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
    /// `networking.k8s.io/v1` ServiceCIDR. Clusters before Kubernetes 1.33 have none.
    ServiceCIDR,
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
    /// A ServiceCIDR.
    ServiceCIDR(ServiceCidr),
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
    /// All API groups of service meshes ([`super::Mesh::of_group`]) that are served now.
    MeshGroups(BTreeSet<String>),
}

/// What an event may have touched: a hint that a dataplane may ignore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names of the Services.
    pub services: BTreeSet<ObjectName>,
    /// Something changed that concerns all of them.
    pub all: bool,
    /// Something changed that concerns what holds for the node, and none of them.
    pub node: bool,
}

impl Object {
    /// The name that the object is filed under.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        let (kind, name) = match self {
            Self::Service(service) => (ObjectKind::Service, service.name.clone()),
            Self::EndpointSlice(slice) => (ObjectKind::EndpointSlice, slice.name.clone()),
            Self::Node(node) => (ObjectKind::Node, ObjectName::cluster_scoped(&node.name)),
            Self::ServiceCIDR(cidr) => (ObjectKind::ServiceCIDR, ObjectName::cluster_scoped(&cidr.name)),
        };
        ObjectRef { kind, name }
    }
}

impl ObjectKind {
    /// Every kind, for loops.
    pub const ALL: [Self; 4] = [Self::Service, Self::EndpointSlice, Self::Node, Self::ServiceCIDR];
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::ServiceCIDR => "ServiceCIDR",
        })
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Changes {
    /// Everything may be different.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Adds what another event touched, so that several events can be acted on at once.
    pub fn merge(&mut self, other: Self) {
        self.services.extend(other.services);
        self.all |= other.all;
        self.node |= other.node;
    }

    /// Whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && !self.node && self.services.is_empty()
    }
}

impl Cluster {
    /// Files what a source says and tells what that may have touched: nothing if nothing is different.
    pub fn handle(&mut self, event: ClusterEvent) -> Changes {
        let mut changes = Changes::default();
        match event {
            ClusterEvent::Apply(object) => self.apply(object, &mut changes),
            ClusterEvent::Delete(reference) => self.delete(&reference, &mut changes),
            ClusterEvent::Replace(kind, objects) => self.replace(kind, objects, &mut changes),
            ClusterEvent::MeshGroups(groups) => {
                changes.node = self.mesh_groups.replace(groups.clone()) != Some(groups);
            }
        }
        changes
    }

    /// The Services that have a virtual IP.
    #[must_use]
    pub const fn services(&self) -> &BTreeMap<ObjectName, Service> {
        &self.services
    }

    /// The EndpointSlices of all Services.
    #[must_use]
    pub const fn endpoint_slices(&self) -> &BTreeMap<ObjectName, EndpointSlice> {
        &self.endpoint_slices
    }

    /// The Nodes that the source watches: only this node's own from Kubernetes.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<ObjectName, Node> {
        &self.nodes
    }

    /// The ranges of cluster IPs, in ascending order.
    #[must_use]
    pub fn service_cidrs(&self) -> BTreeSet<IpNet> {
        let cidrs = self.service_cidrs.values().flat_map(|object| &object.cidrs);
        cidrs.map(IpNet::trunc).collect()
    }

    /// The API groups of service meshes that are served; `None` as long as the source has not said.
    #[must_use]
    pub const fn mesh_groups(&self) -> Option<&BTreeSet<String>> {
        self.mesh_groups.as_ref()
    }

    /// Whether the source has listed every kind once: before that, what is missing may only not have been read yet.
    ///
    /// A Node that does not exist counts: its list came, and was empty.
    #[must_use]
    pub fn has_listed_all(&self) -> bool {
        ObjectKind::ALL.iter().all(|kind| self.listed.contains(kind))
    }

    /// The slices of a Service, in the order of their names.
    #[must_use]
    pub fn slices_of(&self, service: &ObjectName) -> Vec<&EndpointSlice> {
        let slices = self.slices_by_service.range((service.clone(), String::new())..);
        let names = slices
            .take_while(|(owner, _)| owner == service)
            .map(|(_, slice)| ObjectName::new(&service.namespace, slice));
        names.filter_map(|name| self.endpoint_slices.get(&name)).collect()
    }

    fn apply(&mut self, object: Object, changes: &mut Changes) {
        match object {
            Object::Service(service) => {
                let name = service.name.clone();
                if put(&mut self.services, name.clone(), service).is_some() {
                    changes.services.insert(name);
                }
            }
            Object::EndpointSlice(slice) => self.apply_slice(slice, changes),
            Object::Node(node) => {
                let name = ObjectName::cluster_scoped(&node.name);
                changes.all |= put(&mut self.nodes, name, node).is_some();
            }
            Object::ServiceCIDR(cidr) => {
                let name = ObjectName::cluster_scoped(&cidr.name);
                changes.all |= put(&mut self.service_cidrs, name, cidr).is_some();
            }
        }
    }

    fn apply_slice(&mut self, mut slice: EndpointSlice, changes: &mut Changes) {
        let nodes = slice.endpoints.iter_mut().filter_map(|at| at.node_name.as_mut());
        nodes.for_each(|name| self.names.share(name));
        let (name, service) = (slice.name.clone(), slice.service_name());
        if slice.is_api_server() {
            if is_usable(&slice) {
                self.release_kept(&slice, changes);
            } else if self.keeps(&name) {
                return;
            }
        }
        let Some(before) = put(&mut self.endpoint_slices, name.clone(), slice) else {
            return;
        };
        if let Some(before) = before.filter(|before| before.service_name() != service) {
            self.leave_service(&before, changes);
        }
        self.slices_by_service.insert((service.clone(), name.name));
        changes.services.insert(service);
    }

    /// Whether the slice stays although the source says that it is gone or empty.
    fn keeps(&mut self, name: &ObjectName) -> bool {
        let mut kept = std::mem::take(&mut self.kept);
        let keeps = self.endpoint_slices.get(name).is_some_and(|slice| {
            let of_service = self.slices_of(&slice.service_name());
            kept.keep(slice, of_service.into_iter())
        });
        self.kept = kept;
        keeps
    }

    fn release_kept(&mut self, by: &EndpointSlice, changes: &mut Changes) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.release(&by.name);
        let of_service = self.slices_of(&by.service_name());
        let released = kept.release_all(by.family, of_service.into_iter());
        self.kept = kept;
        for name in released {
            self.remove_slice(&name, changes);
        }
    }

    fn remove_slice(&mut self, name: &ObjectName, changes: &mut Changes) {
        if let Some(gone) = self.endpoint_slices.remove(name) {
            self.leave_service(&gone, changes);
        }
    }

    fn leave_service(&mut self, slice: &EndpointSlice, changes: &mut Changes) {
        let service = slice.service_name();
        let entry = (service, slice.name.name.clone());
        self.slices_by_service.remove(&entry);
        changes.services.insert(entry.0);
    }

    fn delete(&mut self, reference: &ObjectRef, changes: &mut Changes) {
        let name = &reference.name;
        match reference.kind {
            ObjectKind::Service => {
                let gone = self.services.remove(name);
                changes.services.extend(gone.map(|service| service.name));
            }
            ObjectKind::EndpointSlice => {
                if !self.keeps(name) {
                    self.remove_slice(name, changes);
                }
            }
            ObjectKind::Node => changes.all |= self.nodes.remove(name).is_some(),
            ObjectKind::ServiceCIDR => changes.all |= self.service_cidrs.remove(name).is_some(),
        }
    }

    fn replace(&mut self, kind: ObjectKind, objects: Vec<Object>, changes: &mut Changes) {
        self.listed.insert(kind);
        let kept: BTreeSet<ObjectRef> = objects.iter().map(Object::reference).collect();
        for name in self.names(kind) {
            let reference = ObjectRef { kind, name };
            if !kept.contains(&reference) {
                self.delete(&reference, changes);
            }
        }
        for object in objects {
            self.apply(object, changes);
        }
        self.names.tidy();
    }

    fn names(&self, kind: ObjectKind) -> Vec<ObjectName> {
        match kind {
            ObjectKind::Service => self.services.keys().cloned().collect(),
            ObjectKind::EndpointSlice => self.endpoint_slices.keys().cloned().collect(),
            ObjectKind::Node => self.nodes.keys().cloned().collect(),
            ObjectKind::ServiceCIDR => self.service_cidrs.keys().cloned().collect(),
        }
    }
}

/// Files `value`; answers `None` if it was there already, else what was there before.
fn put<T: PartialEq>(map: &mut BTreeMap<ObjectName, T>, name: ObjectName, value: T) -> Option<Option<T>> {
    if map.get(&name) == Some(&value) {
        return None;
    }
    Some(map.insert(name, value))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, name};
    use super::*;

    fn service(at: &str) -> Object {
        Object::Service(samples::service(at, "10.96.0.1"))
    }

    fn slice(at: &str, of: &str) -> Object {
        Object::EndpointSlice(samples::slice(at, of, &["10.0.0.1"]))
    }

    fn touched(changes: &Changes) -> Vec<String> {
        assert!(!changes.all, "only a Node concerns all Services");
        changes.services.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_replace_removes_what_is_missing_and_touches_only_what_differs() {
        let mut cluster = Cluster::default();
        cluster.handle(ClusterEvent::Apply(service("default/kept")));
        cluster.handle(ClusterEvent::Apply(service("default/gone")));
        let list = vec![service("default/kept"), service("default/new")];

        let changes = cluster.handle(ClusterEvent::Replace(ObjectKind::Service, list));

        assert_eq!(touched(&changes), ["default/gone", "default/new"]);
        let names: Vec<_> = cluster.services.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["default/kept", "default/new"]);
    }

    #[test]
    fn an_unchanged_object_touches_nothing() {
        let mut cluster = Cluster::default();
        for object in [
            service("default/a"),
            slice("default/a-1", "a"),
            Object::Node(samples::node("here")),
        ] {
            assert!(!cluster.handle(ClusterEvent::Apply(object.clone())).is_empty());
            assert!(cluster.handle(ClusterEvent::Apply(object)).is_empty());
        }
    }

    #[test]
    fn a_slice_touches_the_service_that_it_named_before_and_the_one_it_names_now() {
        let mut cluster = Cluster::default();
        let first = cluster.handle(ClusterEvent::Apply(slice("default/s", "old")));
        let moved = cluster.handle(ClusterEvent::Apply(slice("default/s", "new")));
        let reference = ObjectRef {
            kind: ObjectKind::EndpointSlice,
            name: name("default/s"),
        };
        let gone = cluster.handle(ClusterEvent::Delete(reference));

        assert_eq!(touched(&first), ["default/old"]);
        assert_eq!(touched(&moved), ["default/new", "default/old"]);
        assert_eq!(touched(&gone), ["default/new"]);
    }

    #[test]
    fn a_changed_or_deleted_node_concerns_all_services() {
        let mut cluster = Cluster::default();
        let node = samples::node("here");
        let reference = Object::Node(node.clone()).reference();
        assert!(cluster.handle(ClusterEvent::Apply(Object::Node(node))).all);
        assert!(cluster.handle(ClusterEvent::Delete(reference.clone())).all);
        assert!(cluster.handle(ClusterEvent::Delete(reference)).is_empty());
    }

    #[test]
    fn other_api_groups_of_meshes_concern_the_node_and_no_service() {
        let mut cluster = Cluster::default();
        cluster.handle(ClusterEvent::Apply(service("default/a")));
        for groups in [&[][..], &["networking.istio.io"]] {
            let groups: BTreeSet<String> = groups.iter().map(|&group| group.to_owned()).collect();
            let event = ClusterEvent::MeshGroups(groups.clone());
            let changes = cluster.handle(event.clone());
            assert!(changes.node && !changes.is_empty());
            assert_eq!(touched(&changes), [""; 0]);
            assert_eq!(cluster.mesh_groups(), Some(&groups));
            assert!(cluster.handle(event).is_empty());
        }
    }

    #[test]
    fn everything_is_listed_only_after_a_replace_of_every_kind() {
        let mut cluster = Cluster::default();
        cluster.handle(ClusterEvent::Apply(service("default/a")));
        for kind in ObjectKind::ALL {
            assert!(!cluster.has_listed_all());
            cluster.handle(ClusterEvent::Replace(kind, Vec::new()));
        }
        assert!(cluster.has_listed_all());
    }
}
