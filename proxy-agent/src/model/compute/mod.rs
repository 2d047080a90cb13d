//! What one Service and its EndpointSlices mean for this node.
//!
//! ```text
//! Service ─┬─ per family with a cluster IP ─┬─ per port ─┬─ claims: frontends, where its packets are caught
//!          │                                │            └─ lists: where they go
//! ```
//! A family that the Service has no cluster IP of is not served at all, not even at its external IPs: kube-proxy's rule.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    EndpointList, EndpointSlice, Family, Frontend, FrontendAddress, FrontendKey, FrontendKind, ListKey,
    Masquerade, Node, NodeRules, Scope, Service, ServicePort, ServicePortId, ServicePortSpec, TrafficPolicy,
    WhenEmpty, endpoints, topology::Here,
};

/// What the answer depends on beside the Service and its slices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// This node's object.
    pub(super) own: Option<&'a Node>,
    pub(super) here: Here<'a>,
    pub(super) rules: &'a NodeRules,
}

/// What a Service asks for. Whether it gets every frontend depends on who else claims it.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) service_ports: BTreeMap<ServicePortId, ServicePort>,
    pub(super) lists: BTreeMap<ListKey, EndpointList>,
    /// By address and port: at most one claim of each Service port.
    pub(super) claims: BTreeMap<FrontendKey, Vec<Frontend>>,
}

impl Wishes {
    /// Of a Service whose `slices` come in the order of their names.
    pub(super) fn of(service: &Service, slices: &[&EndpointSlice], place: Place<'_>) -> Self {
        let mut wishes = Self::default();
        for family in service_families(service) {
            for spec in &service.ports {
                Port::new(service, spec, family, place).add_to(&mut wishes, slices);
            }
        }
        wishes
    }

    /// A Service port may name an address twice, say as external IP and as load balancer IP: the first counts.
    fn claim(&mut self, key: FrontendKey, frontend: Frontend) {
        let claims = self.claims.entry(key).or_default();
        let known = claims
            .iter_mut()
            .find(|known| known.service_port == frontend.service_port);
        match known {
            Some(known) if frontend.rank() < known.rank() => *known = frontend,
            Some(_) => {}
            None => claims.push(frontend),
        }
    }
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
    place: Place<'a>,
    id: ServicePortId,
}

impl<'a> Port<'a> {
    fn new(service: &'a Service, spec: &'a ServicePortSpec, family: Family, place: Place<'a>) -> Self {
        let id = ServicePortId {
            service: service.name.clone(),
            port: spec.name.clone(),
            protocol: spec.protocol,
        };
        Self {
            service,
            spec,
            family,
            place,
            id,
        }
    }

    fn add_to(&self, wishes: &mut Wishes, slices: &[&EndpointSlice]) {
        let here = self.place.here;
        let candidates = endpoints::join(slices, self.family, &self.id, here);
        let any_usable = endpoints::any_usable(&candidates);
        for (kind, address, port) in self.addresses() {
            let frontend = self.frontend(kind, any_usable);
            for scope in [frontend.external_clients, frontend.internal_clients] {
                let list = || endpoints::usable(&candidates, scope, here, &self.service.weights);
                wishes.lists.entry(self.list_key(scope)).or_insert_with(list);
            }
            let key = FrontendKey {
                address,
                port,
                protocol: self.spec.protocol,
            };
            wishes.claim(key, frontend);
        }
        let service_port = || self.service_port();
        wishes
            .service_ports
            .entry(self.id.clone())
            .or_insert_with(service_port);
    }

    fn list_key(&self, scope: Scope) -> ListKey {
        ListKey {
            service_port: self.id.clone(),
            family: self.family,
            scope,
        }
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
            masquerade: self.masquerade(kind, policy),
            when_empty: when_empty(policy, any_usable),
            source_ranges: self.source_ranges(kind),
        }
    }

    fn masquerade(&self, kind: FrontendKind, policy: TrafficPolicy) -> Masquerade {
        match (kind, policy) {
            (FrontendKind::ClusterIP, _) => self.place.rules.of(self.family).masquerade,
            (_, TrafficPolicy::Cluster) => Masquerade::Always,
            (_, TrafficPolicy::Local) => Masquerade::Node,
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
        let mut ranges: Vec<IpNet> = limiting(&self.service.source_ranges)
            .filter(in_family)
            .map(IpNet::trunc)
            .collect();
        let own = self.place.own.map_or(&[][..], |node| &node.addresses);
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
            externally_accessible: self.spec.node_port.is_some()
                || !service.external_ips.is_empty()
                || !service.load_balancer_ips.is_empty(),
            source_ranges: if service.load_balancer_ips.is_empty() {
                Vec::new()
            } else {
                limiting(&service.source_ranges).copied().collect()
            },
        }
    }
}

/// Without those of a family of which one includes every address: it is as if the family had none.
fn limiting(ranges: &[IpNet]) -> impl Iterator<Item = &IpNet> {
    let is_limited = |range: &&IpNet| {
        let family = Family::of(range.addr());
        ranges
            .iter()
            .all(|other| other.prefix_len() > 0 || Family::of(other.addr()) != family)
    };
    ranges.iter().filter(is_limited)
}

const fn scope(policy: TrafficPolicy) -> Scope {
    match policy {
        TrafficPolicy::Cluster => Scope::Cluster,
        TrafficPolicy::Local => Scope::Local,
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
