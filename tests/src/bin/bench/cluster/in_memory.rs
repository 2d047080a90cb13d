//! What the agent knows of a cluster of one family, and how that changes.

use proxy_agent::model::{
    Changes, Cluster, ClusterEvent, Delta, Desired, EndpointSlice, Family, NodeContext, Object, ObjectKind,
    Plan,
};

use super::objects::{self, ENDPOINTS};

/// Objects, and what follows from them for a node.
pub(crate) struct InMemory {
    family: Family,
    services: u32,
    cluster: Cluster,
    plan: Plan,
    /// The next endpoint that nobody has.
    pub(crate) fresh: u32,
    /// The next Service to change.
    turn: u32,
}

impl InMemory {
    /// So many Services, of which nothing is computed yet.
    pub(crate) fn new(services: u32, family: Family, context: NodeContext) -> Self {
        let mut cluster = Cluster::default();
        let list = (0..services).map(|index| Object::Service(objects::service(index, family)));
        cluster.handle(ClusterEvent::Replace(ObjectKind::Service, list.collect()));
        let list = (0..services)
            .map(|index| Object::EndpointSlice(objects::slice(index, objects::endpoints(index), family)));
        cluster.handle(ClusterEvent::Replace(ObjectKind::EndpointSlice, list.collect()));
        Self {
            family,
            services,
            cluster,
            plan: Plan::new(context),
            fresh: services * ENDPOINTS,
            turn: 0,
        }
    }

    pub(crate) const fn services(&self) -> u32 {
        self.services
    }

    /// Computes everything.
    pub(crate) fn compute(&mut self) {
        self.plan.update(&self.cluster, &Changes::everything());
    }

    pub(crate) const fn desired(&self) -> &Desired {
        self.plan.desired()
    }

    /// Follows these objects.
    pub(crate) fn update(&mut self, objects: Vec<Object>) -> Delta {
        let mut changes = Changes::default();
        for object in objects {
            changes.merge(self.cluster.handle(ClusterEvent::Apply(object)));
        }
        self.plan.update(&self.cluster, &changes)
    }

    /// The slice of some Service, in which one endpoint is replaced.
    pub(crate) fn changed_slice(&mut self) -> Object {
        let service = self.next_service();
        let endpoints = objects::endpoints(service).skip(1).chain([self.fresh]);
        let slice = self.slice(service, endpoints);
        self.fresh += 1;
        Object::EndpointSlice(slice)
    }

    /// A Service with its slice.
    pub(crate) fn new_service(&mut self) -> Vec<Object> {
        let index = self.fresh;
        self.fresh += ENDPOINTS;
        vec![
            Object::Service(objects::service(index, self.family)),
            Object::EndpointSlice(self.slice(index, index..index + ENDPOINTS)),
        ]
    }

    fn slice(&self, service: u32, endpoints: impl IntoIterator<Item = u32>) -> EndpointSlice {
        objects::slice(service, endpoints, self.family)
    }

    /// In steps, so that neighbours in maps and texts are not neighbours in time.
    const fn next_service(&mut self) -> u32 {
        self.turn = (self.turn + 7_919) % self.services;
        self.turn
    }
}
