//! The objects of a cluster of a given size.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use ipnet::IpNet;
use proxy_agent::model::{
    EndpointSlice, Family, ObjectName, Protocol, Service, ServicePortSpec, SliceEndpoint, SlicePort,
    TrafficPolicy, Weights,
};
use thin_vec::thin_vec;

/// Endpoints of each Service.
pub(crate) const ENDPOINTS: u32 = 10;
/// Namespaces that Services are in, in turn.
pub(super) const NAMESPACES: u32 = 50;

/// Where the pods' addresses begin.
const PODS: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
const PODS_V6: [u16; 3] = [0xfd00, 0x10, 0x128];

/// Service number `index`: one TCP port at a cluster IP, every tenth one at a NodePort too.
pub(crate) fn service(index: u32, family: Family) -> Service {
    Service {
        name: name(index),
        cluster_ips: vec![cluster_ip(index, family)],
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
pub(crate) fn slice(service: u32, endpoints: impl IntoIterator<Item = u32>, family: Family) -> EndpointSlice {
    EndpointSlice {
        name: name(service),
        service: name(service).name,
        family,
        ports: vec![SlicePort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: endpoints
            .into_iter()
            .map(|number| endpoint(number, family))
            .collect(),
    }
}

/// The name of Service `index`, and of its slice.
pub(crate) fn name(index: u32) -> ObjectName {
    ObjectName::new(
        &format!("team-{}", index % NAMESPACES),
        &format!("service-{index}"),
    )
}

/// The cluster IP of Service `index`.
pub(crate) fn cluster_ip(index: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 1, 0).to_bits() + index).into(),
        Family::V6 => numbered([0xfd00, 0x10, 0x96], index),
    }
}

/// The address of endpoint `number`.
pub(crate) fn address(number: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(PODS.to_bits() + number).into(),
        Family::V6 => numbered(PODS_V6, number),
    }
}

/// All addresses that pods may have.
pub(crate) fn pods(family: Family) -> IpNet {
    let length = match family {
        Family::V4 => 9,
        Family::V6 => 48,
    };
    IpNet::new_assert(address(0, family), length).trunc()
}

/// The numbers of the endpoints that Service `index` has at first.
pub(crate) fn endpoints(index: u32) -> Range<u32> {
    index * ENDPOINTS..(index + 1) * ENDPOINTS
}

fn numbered([first, second, third]: [u16; 3], number: u32) -> IpAddr {
    let network = Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0);
    // Not `::`, which no Service may have.
    Ipv6Addr::from_bits(network.to_bits() + 0x100 + u128::from(number)).into()
}

fn endpoint(number: u32, family: Family) -> SliceEndpoint {
    SliceEndpoint {
        address: address(number, family),
        ready: true,
        serving: true,
        terminating: false,
        node_name: Some(format!("node-{}", number % 500).into()),
        zone_hints: thin_vec![],
        node_hints: thin_vec![],
        pod: Some(format!("service-7d4b9c6f5d-{number:05}").into()),
    }
}
