//! Small objects for the tests of the model.

use thin_vec::thin_vec;

use super::{
    EndpointSlice, Family, Node, ObjectName, Protocol, Service, ServicePortSpec, SliceEndpoint, SlicePort,
    TrafficPolicy, Weights,
};

/// The node that the tests compute for.
pub(crate) const HERE: &str = "here";

/// `namespace/name`.
pub(crate) fn name(text: &str) -> ObjectName {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    ObjectName::new(namespace, name)
}

/// A Service with one unnamed TCP port 80.
pub(crate) fn service(at: &str, cluster_ip: &str) -> Service {
    Service {
        name: name(at),
        cluster_ips: vec![cluster_ip.parse().expect("an address")],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![port("", Protocol::Tcp, 80)],
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        session_affinity: None,
        health_check_node_port: None,
        weights: Weights::default(),
    }
}

/// A Service port without a node port.
pub(crate) fn port(name: &str, protocol: Protocol, port: u16) -> ServicePortSpec {
    ServicePortSpec {
        name: name.to_owned(),
        protocol,
        port,
        node_port: None,
    }
}

/// A slice with one unnamed TCP port 8080; endpoints as in [`endpoint`].
pub(crate) fn slice(at: &str, service: &str, endpoints: &[&str]) -> EndpointSlice {
    let endpoints: Vec<SliceEndpoint> = endpoints.iter().map(|text| endpoint(text)).collect();
    EndpointSlice {
        name: name(at),
        service: service.to_owned(),
        family: endpoints
            .first()
            .map_or(Family::V4, |endpoint| Family::of(endpoint.address)),
        ports: vec![SlicePort {
            name: String::new(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints,
    }
}

/// `ADDRESS [@NODE] [ready|serving-terminating|terminating|unready]`, ready if it does not say.
pub(crate) fn endpoint(text: &str) -> SliceEndpoint {
    let mut words = text.split(' ');
    let mut endpoint = SliceEndpoint {
        address: words.next().expect("an address").parse().expect("an address"),
        ready: true,
        serving: true,
        terminating: false,
        node_name: None,
        pod: None,
        zone_hints: thin_vec![],
        node_hints: thin_vec![],
    };
    for word in words {
        match word {
            "ready" => {}
            "serving-terminating" => (endpoint.ready, endpoint.terminating) = (false, true),
            "terminating" => (endpoint.ready, endpoint.serving, endpoint.terminating) = (false, false, true),
            "unready" => (endpoint.ready, endpoint.serving) = (false, false),
            node => endpoint.node_name = Some(node.trim_start_matches('@').into()),
        }
    }
    endpoint
}

/// A Node without addresses.
pub(crate) fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        ..Node::default()
    }
}
