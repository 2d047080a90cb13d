//! States that the model may ask for.

use std::net::IpAddr;

use proptest::{option, prelude::*};

use crate::model::{
    Desired, Endpoint, EndpointList, Family, Frontend, FrontendAddress, FrontendKey, FrontendKind, ListKey,
    Masquerade, ObjectName, Protocol, Scope, ServicePort, ServicePortId, TrafficPolicy, WhenEmpty,
};

/// How many Services the random states have at most.
pub(super) const SERVICES: usize = 3;

/// A Service with a cluster IP and maybe a NodePort, in the families that it has endpoints for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Web {
    /// Bits: which of the endpoints.
    pub(super) v4: Option<u8>,
    /// Bits: which of the endpoints.
    pub(super) v6: Option<u8>,
    /// Policy Local for the cluster IP.
    pub(super) local: bool,
    pub(super) node_port: bool,
    /// Of the endpoint with the lowest address; the others have 1.
    pub(super) weight: u16,
    /// Session affinity, for which the programs ask who is in a list; they do so for UDP, too.
    pub(super) affinity: bool,
    pub(super) udp: bool,
}

/// IPv4 only, with a NodePort; `endpoints` are bits.
pub(super) const fn web(endpoints: u8) -> Web {
    Web {
        v4: Some(endpoints),
        v6: None,
        local: false,
        node_port: true,
        weight: 1,
        affinity: false,
        udp: false,
    }
}

pub(super) fn any_web() -> impl Strategy<Value = Web> {
    let family = || option::weighted(0.8, 0..8_u8);
    let flags = any::<[bool; 4]>();
    (family(), family(), flags, 0..3_u16).prop_map(|(v4, v6, [local, node_port, affinity, udp], weight)| {
        Web {
            v4,
            v6,
            local,
            node_port,
            weight,
            affinity,
            udp,
        }
    })
}

/// The state with these Services, each named after its index.
pub(super) fn desired(webs: &[Option<Web>]) -> Desired {
    let mut desired = Desired::default();
    for (index, web) in (1_u8..).zip(webs) {
        let Some(web) = web else { continue };
        for (family, endpoints) in [(Family::V4, web.v4), (Family::V6, web.v6)] {
            if let Some(endpoints) = endpoints {
                add(&mut desired, (index, family), web, endpoints);
            }
        }
    }
    desired
}

fn add(desired: &mut Desired, (index, family): (u8, Family), web: &Web, endpoints: u8) {
    let protocol = if web.udp { Protocol::Udp } else { Protocol::Tcp };
    let service_port = ServicePortId {
        service: ObjectName::new("default", &format!("web-{index:03}")),
        port: String::new(),
        protocol,
    };
    let port = ServicePort {
        session_affinity: web.affinity.then_some(60),
        health_check_node_port: None,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        externally_accessible: web.node_port,
        source_ranges: Vec::new(),
    };
    desired.service_ports.insert(service_port.clone(), port);
    let mut frontend = |kind, address, port, scope| {
        let key = ListKey {
            service_port: service_port.clone(),
            family,
            scope,
        };
        desired
            .lists
            .insert(key, list(index, family, endpoints, web.weight));
        let key = FrontendKey {
            address,
            port,
            protocol,
        };
        let frontend = Frontend {
            kind,
            service_port: service_port.clone(),
            external_clients: scope,
            internal_clients: scope,
            masquerade: Masquerade::Never,
            when_empty: WhenEmpty::Reject,
            source_ranges: Vec::new(),
        };
        desired.frontends.insert(key, frontend);
    };
    let scope = if web.local { Scope::Local } else { Scope::Cluster };
    let address = FrontendAddress::Ip(address(family, 96, index));
    frontend(FrontendKind::ClusterIP, address, 80, scope);
    if web.node_port {
        let any = FrontendAddress::AnyNode(family);
        let port = 30_000 + u16::from(index);
        frontend(FrontendKind::NodePort, any, port, Scope::Cluster);
    }
}

fn list(index: u8, family: Family, bits: u8, weight: u16) -> EndpointList {
    let endpoints = (0..8).filter(|bit| bits & (1 << bit) != 0).map(|bit| Endpoint {
        address: address(family, index, bit),
        port: 8080,
        weight: 1,
        local: false,
    });
    let mut endpoints: Vec<Endpoint> = endpoints.collect();
    if let Some(first) = endpoints.first_mut() {
        first.weight = weight;
    }
    EndpointList { endpoints }
}

fn address(family: Family, subnet: u8, host: u8) -> IpAddr {
    match family {
        Family::V4 => [10, subnet, 0, host].into(),
        Family::V6 => [0xfd00, 0, 0, 0, 0, 0, subnet.into(), host.into()].into(),
    }
}
