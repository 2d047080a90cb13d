//! Services as the model knows them, in the few words that tests of the datapath need.

use std::net::{IpAddr, SocketAddr};

use proxy_agent::model::{
    Cluster, ClusterEvent, EndpointSelector, EndpointSlice, Family, Object, ObjectName, Protocol, Service,
    ServicePortSpec, SliceEndpoint, SlicePort, TrafficPolicy, WeightRule, Weights,
};
use thin_vec::thin_vec;

/// The node's name.
pub(super) const NODE: &str = "node";

/// A Service of one port and one family.
#[derive(Clone, Debug)]
pub struct ClusterIp {
    /// `metadata.name`.
    pub name: &'static str,
    /// `spec.clusterIP` and the port.
    pub address: SocketAddr,
    /// The port's protocol.
    pub protocol: Protocol,
    /// `nodePort`.
    pub node_port: Option<u16>,
    /// Addresses of the ready endpoints.
    pub endpoints: Vec<IpAddr>,
    /// Weights of the first endpoints; the others have 1.
    pub weights: Vec<u16>,
    /// `targetPort`.
    pub target_port: u16,
    /// Those of the endpoints that run on the node.
    pub here: Vec<IpAddr>,
    /// What else the Service asks for.
    pub edit: fn(&mut Service),
}

impl ClusterIp {
    fn object_name(&self) -> ObjectName {
        ObjectName::new("default", self.name)
    }

    fn service(&self) -> Service {
        let mut service = self.plain_service();
        (self.edit)(&mut service);
        service
    }

    fn plain_service(&self) -> Service {
        Service {
            name: self.object_name(),
            cluster_ips: vec![self.address.ip()],
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            source_ranges: Vec::new(),
            ports: vec![ServicePortSpec {
                name: String::new(),
                protocol: self.protocol,
                port: self.address.port(),
                node_port: self.node_port,
            }],
            internal_traffic_policy: TrafficPolicy::Cluster,
            external_traffic_policy: TrafficPolicy::Cluster,
            session_affinity: None,
            health_check_node_port: None,
            weights: self.weights(),
        }
    }

    fn weights(&self) -> Weights {
        let rule = |(address, weight): (&IpAddr, &u16)| WeightRule {
            selector: EndpointSelector::address(*address),
            weight: *weight,
        };
        Weights::new(self.endpoints.iter().zip(&self.weights).map(rule).collect())
    }

    fn slice(&self) -> EndpointSlice {
        EndpointSlice {
            name: self.object_name(),
            service: self.name.to_owned(),
            family: Family::of(self.address.ip()),
            ports: vec![SlicePort {
                name: String::new(),
                protocol: self.protocol,
                port: self.target_port,
            }],
            endpoints: self.endpoints.iter().map(|at| self.endpoint(*at)).collect(),
        }
    }

    fn endpoint(&self, address: IpAddr) -> SliceEndpoint {
        SliceEndpoint {
            address,
            ready: true,
            serving: true,
            terminating: false,
            node_name: self.here.contains(&address).then(|| NODE.into()),
            pod: None,
            zone_hints: thin_vec![],
            node_hints: thin_vec![],
        }
    }
}

/// The cluster that has just these Services.
#[must_use]
pub fn cluster(services: &[ClusterIp]) -> Cluster {
    let mut cluster = Cluster::default();
    for service in services {
        cluster.handle(ClusterEvent::Apply(Object::Service(service.service())));
        cluster.handle(ClusterEvent::Apply(Object::EndpointSlice(service.slice())));
    }
    cluster
}
