//! The objects of a cluster of a given size.

use std::net::{IpAddr, Ipv4Addr};

use proxy_agent::model::{
    EndpointSlice, Family, ObjectName, Protocol, Service, ServicePortSpec, SliceEndpoint, SlicePort,
    TrafficPolicy, Weights,
};
use thin_vec::thin_vec;

/// Service number `index`: one TCP port at a cluster IP, every tenth one at a NodePort too.
pub(super) fn service(index: u32) -> Service {
    Service {
        name: name(index),
        cluster_ips: vec![cluster_ip(index)],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![ServicePortSpec {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: index
                .is_multiple_of(10)
                .then(|| 30_000 + u16::try_from(index / 10 % 2_768).unwrap_or(0)),
        }],
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        session_affinity: None,
        health_check_node_port: None,
        weights: Weights::default(),
    }
}

/// The slice of Service `service` whose endpoints are those numbers.
pub(super) fn slice(service: u32, endpoints: impl Iterator<Item = u32>) -> EndpointSlice {
    EndpointSlice {
        name: name(service),
        service: name(service).name,
        family: Family::V4,
        ports: vec![SlicePort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: endpoints.map(endpoint).collect(),
    }
}

/// The name of Service `index`, and of its slice.
pub(super) fn name(index: u32) -> ObjectName {
    ObjectName::new(&format!("team-{}", index % 50), &format!("service-{index}"))
}

/// The cluster IP of Service `index`.
pub(super) fn cluster_ip(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 1, 0).to_bits() + index).into()
}

/// The address of endpoint `number`.
pub(super) fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 0).to_bits() + number).into()
}

fn endpoint(number: u32) -> SliceEndpoint {
    SliceEndpoint {
        address: address(number),
        ready: true,
        serving: true,
        terminating: false,
        node_name: Some(format!("node-{}", number % 500).into()),
        zone_hints: thin_vec![],
        node_hints: thin_vec![],
        pod: Some(format!("service-7d4b9c6f5d-{number:05}").into()),
    }
}
