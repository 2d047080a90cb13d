//! What the Services and EndpointSlices mean for this node.
//!
//! ```text
//! Service ─┬─ per family with a cluster IP ─┬─ per port ─┬─ frontends: where its packets are caught
//!          │                                │            └─ lists: where they go
//! ```
//! A family that the Service has no cluster IP of is not served at all, not even at its external IPs: kube-proxy's rule.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    Cluster, Conflict, Desired, EndpointSlice, Family, Frontend, FrontendAddress, FrontendKey, FrontendKind,
    ListKey, Masquerade, Node, NodeContext, ObjectName, Scope, Service, ServicePort, ServicePortId,
    ServicePortSpec, TrafficPolicy, WhenEmpty, endpoints, topology::Here,
};

/// What this node's dataplane shall do. Equal input gives equal output, whatever the order in which objects came.
#[must_use]
pub fn compute(cluster: &Cluster, node: &NodeContext) -> Desired {
    let slices = slices_by_service(cluster);
    let own = cluster.nodes.get(&ObjectName::cluster_scoped(&node.name));
    let here = Here::new(node, own);
    let mut desired = Desired::default();
    for service in cluster.services.values() {
        let ObjectName { namespace, name } = &service.name;
        let slices = slices
            .get(&(namespace.as_str(), name.as_str()))
            .map_or(&[][..], Vec::as_slice);
        for family in service_families(service) {
            for spec in &service.ports {
                Port::new(service, spec, family, own).add_to(&mut desired, slices, here);
            }
        }
    }
    desired
}

/// By namespace and name of the Service; in the order of the slices' names.
fn slices_by_service(cluster: &Cluster) -> BTreeMap<(&str, &str), Vec<&EndpointSlice>> {
    let mut by_service: BTreeMap<_, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in cluster.endpoint_slices.values() {
        by_service
            .entry((slice.name.namespace.as_str(), slice.service.as_str()))
            .or_default()
            .push(slice);
    }
    by_service
}

fn service_families(service: &Service) -> impl Iterator<Item = Family> {
    Family::ALL
        .into_iter()
        .filter(|&family| of_family(&service.cluster_ips, family).next().is_some())
}

fn of_family(addresses: &[IpAddr], family: Family) -> impl Iterator<Item = IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(move |&address| Family::of(address) == family)
}

/// One port of a Service in one family: what kube-proxy has a set of rules for.
struct Port<'a> {
    service: &'a Service,
    spec: &'a ServicePortSpec,
    family: Family,
    own: Option<&'a Node>,
    id: ServicePortId,
}

impl<'a> Port<'a> {
    fn new(service: &'a Service, spec: &'a ServicePortSpec, family: Family, own: Option<&'a Node>) -> Self {
        let id = ServicePortId {
            service: service.name.clone(),
            port: spec.name.clone(),
            protocol: spec.protocol,
        };
        Self {
            service,
            spec,
            family,
            own,
            id,
        }
    }

    fn add_to(&self, desired: &mut Desired, slices: &[&EndpointSlice], here: Here<'_>) {
        let candidates = endpoints::join(slices, self.family, &self.id, here);
        let any_usable = endpoints::any_usable(&candidates);
        for (kind, address, port) in self.addresses() {
            let frontend = self.frontend(kind, any_usable);
            for scope in [frontend.external_clients, frontend.internal_clients] {
                let key = ListKey {
                    service_port: self.id.clone(),
                    family: self.family,
                    scope,
                };
                desired
                    .lists
                    .entry(key)
                    .or_insert_with(|| endpoints::usable(&candidates, scope, here, &self.service.weights));
            }
            claim(
                desired,
                FrontendKey {
                    address,
                    port,
                    protocol: self.spec.protocol,
                },
                frontend,
            );
        }
        desired
            .service_ports
            .entry(self.id.clone())
            .or_insert_with(|| self.service_port());
    }

    /// Where the port is reached, in the order in which kube-proxy's rules are tried.
    fn addresses(&self) -> Vec<(FrontendKind, FrontendAddress, u16)> {
        let ips = |kind, addresses: &[IpAddr]| -> Vec<_> {
            of_family(addresses, self.family)
                .map(|address| (kind, FrontendAddress::Ip(address), self.spec.port))
                .collect()
        };
        let node_port = self.spec.node_port.map(|port| {
            (
                FrontendKind::NodePort,
                FrontendAddress::AnyNode(self.family),
                port,
            )
        });
        let mut all = ips(FrontendKind::ClusterIP, &self.service.cluster_ips);
        all.extend(ips(FrontendKind::ExternalIP, &self.service.external_ips));
        all.extend(ips(FrontendKind::LoadBalancer, &self.service.load_balancer_ips));
        all.extend(node_port);
        all
    }

    fn frontend(&self, kind: FrontendKind, any_usable: bool) -> Frontend {
        let (policy, internal_clients) = match kind {
            FrontendKind::ClusterIP => (
                self.service.internal_traffic_policy,
                scope(self.service.internal_traffic_policy),
            ),
            // Pods and processes of the node reach a Service by its external address as they would by its cluster IP.
            _ => (self.service.external_traffic_policy, Scope::Cluster),
        };
        Frontend {
            kind,
            service_port: self.id.clone(),
            external_clients: scope(policy),
            internal_clients,
            masquerade: masquerade(kind, policy),
            when_empty: when_empty(policy, any_usable),
            source_ranges: self.source_ranges(kind),
        }
    }

    /// Only load balancer addresses have ranges, and only those of the address's family count.
    ///
    /// If the node itself is allowed in, so is the address: a packet that the node sends to a load balancer address of its own
    /// has that address as its source too.
    fn source_ranges(&self, kind: FrontendKind) -> Vec<IpNet> {
        if kind != FrontendKind::LoadBalancer {
            return Vec::new();
        }
        let in_family = |range: &&IpNet| Family::of(range.addr()) == self.family;
        let mut ranges: Vec<IpNet> = self
            .service
            .source_ranges
            .iter()
            .filter(in_family)
            .map(IpNet::trunc)
            .collect();
        let own = self.own.map_or(&[][..], |node| &node.addresses);
        if ranges
            .iter()
            .any(|range| own.iter().any(|address| range.contains(address)))
        {
            ranges.extend(of_family(&self.service.load_balancer_ips, self.family).map(IpNet::from));
        }
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    fn service_port(&self) -> ServicePort {
        let service = self.service;
        ServicePort {
            session_affinity: service.session_affinity,
            health_check_node_port: service
                .health_check_node_port
                .filter(|_| service.external_traffic_policy == TrafficPolicy::Local),
            internal_traffic_policy: service.internal_traffic_policy,
            external_traffic_policy: service.external_traffic_policy,
        }
    }
}

/// The first to come keeps a frontend, but a cluster IP is its Service's own: nobody else can take it by naming it as an
/// external IP.
fn claim(desired: &mut Desired, key: FrontendKey, frontend: Frontend) {
    match desired.frontends.entry(key) {
        Entry::Vacant(free) => {
            free.insert(frontend);
        }
        Entry::Occupied(mut taken) if taken.get().service_port != frontend.service_port => {
            let ousts = |new: &Frontend, old: &Frontend| {
                new.kind == FrontendKind::ClusterIP && old.kind != FrontendKind::ClusterIP
            };
            let loser = if ousts(&frontend, taken.get()) {
                taken.insert(frontend)
            } else {
                frontend
            };
            desired.conflicts.push(Conflict {
                frontend: taken.key().clone(),
                winner: taken.get().service_port.clone(),
                loser: loser.service_port,
            });
        }
        // One Service port may name an address twice, say as external IP and as load balancer IP.
        Entry::Occupied(_) => {}
    }
}

const fn scope(policy: TrafficPolicy) -> Scope {
    match policy {
        TrafficPolicy::Cluster => Scope::Cluster,
        TrafficPolicy::Local => Scope::Local,
    }
}

const fn masquerade(kind: FrontendKind, policy: TrafficPolicy) -> Masquerade {
    match (kind, policy) {
        (FrontendKind::ClusterIP, _) => Masquerade::OffCluster,
        (_, TrafficPolicy::Cluster) => Masquerade::Always,
        (_, TrafficPolicy::Local) => Masquerade::Node,
    }
}

const fn when_empty(policy: TrafficPolicy, any_usable: bool) -> WhenEmpty {
    match (policy, any_usable) {
        (TrafficPolicy::Local, true) => WhenEmpty::Drop,
        _ => WhenEmpty::Reject,
    }
}

#[cfg(test)]
mod tests;
