//! Tables: what a Service means at each of its addresses.

use super::super::{
    Cluster, Desired, DetectLocal, NodeContext, Object, Protocol, compute,
    samples::{self, HERE, port, service, slice},
};
use super::*;
use crate::model::{ClusterEvent, EndpointSelector, WeightRule, Weights};

fn compute_for(services: Vec<Service>, slices: Vec<EndpointSlice>) -> Desired {
    let mut cluster = Cluster::default();
    let services = services.into_iter().map(Object::Service);
    for object in services.chain(slices.into_iter().map(Object::EndpointSlice)) {
        cluster.handle(ClusterEvent::Apply(object));
    }
    compute(
        &cluster,
        &NodeContext {
            name: HERE.to_owned(),
            detect_local: DetectLocal::BridgeInterface("cbr0".to_owned()),
            ..NodeContext::default()
        },
    )
}

#[test]
fn weights_hold_in_every_list_of_their_service_and_in_no_other() {
    let rule = |address: &str, weight| WeightRule {
        selector: EndpointSelector::address(address.parse().unwrap()),
        weight,
    };
    let mut weighted = everywhere();
    weighted.external_traffic_policy = TrafficPolicy::Local;
    weighted.weights = Weights::new(vec![rule("10.0.0.1", 0), rule("10.0.0.2", 5)]);
    let endpoints = ["10.0.0.1 @here", "10.0.0.2 @here", "10.0.0.3"];
    let desired = compute_for(
        vec![weighted, service("default/other", "10.96.0.2")],
        vec![
            slice("default/web-1", "web", &endpoints),
            slice("default/other-1", "other", &endpoints),
        ],
    );
    let weights: Vec<_> = desired
        .lists
        .iter()
        .map(|(key, list)| {
            let weights: Vec<u16> = list.endpoints.iter().map(|at| at.weight).collect();
            (key.service_port.to_string(), key.scope, weights)
        })
        .collect();
    assert_eq!(
        weights,
        [
            ("default/other".to_owned(), Scope::Cluster, vec![1, 1, 1]),
            ("default/web".to_owned(), Scope::Cluster, vec![0, 5, 1]),
            ("default/web".to_owned(), Scope::Local, vec![0, 5]),
        ]
    );
}

/// A Service with an address of every kind.
fn everywhere() -> Service {
    let mut service = service("default/web", "10.96.0.1");
    service.external_ips = vec!["203.0.113.1".parse().unwrap()];
    service.load_balancer_ips = vec!["203.0.113.2".parse().unwrap()];
    service.ports[0].node_port = Some(30080);
    service
}

/// `KIND KEY external=LIST internal=LIST masquerade empty`, one line per frontend.
fn rows(desired: &Desired) -> Vec<String> {
    desired
        .frontends
        .iter()
        .map(|(key, frontend)| row(desired, key, frontend))
        .collect()
}

fn row(desired: &Desired, key: &FrontendKey, frontend: &Frontend) -> String {
    let list = |scope| {
        let service_port = frontend.service_port.clone();
        let key = ListKey {
            service_port,
            family: key.address.family(),
            scope,
        };
        let list = &desired.lists[&key].endpoints;
        list.iter()
            .map(|at| format!("{}:{}", at.address, at.port))
            .collect::<Vec<_>>()
            .join(",")
    };
    let (external, internal) = (list(frontend.external_clients), list(frontend.internal_clients));
    let Frontend {
        kind,
        masquerade,
        when_empty,
        ..
    } = frontend;
    format!("{kind:?} {key} external={external} internal={internal} {masquerade:?} {when_empty:?}")
}

#[test]
fn a_service_is_reached_at_its_cluster_ip_and_its_node_port() {
    let mut web = service("default/web", "10.96.0.1");
    web.ports[0].node_port = Some(30080);
    let desired = compute_for(
        vec![web],
        vec![slice("default/web-1", "web", &["10.0.0.1", "10.0.0.2"])],
    );
    let both = "10.0.0.1:8080,10.0.0.2:8080";
    assert_eq!(
        rows(&desired),
        [
            format!("ClusterIP 10.96.0.1:80/TCP external={both} internal={both} OffCluster Reject"),
            format!("NodePort IPv4 node port 30080/TCP external={both} internal={both} Always Reject"),
        ]
    );
}

#[test]
fn policy_cluster_serves_every_endpoint_and_masquerades_external_kinds() {
    let slices = vec![slice(
        "default/web-1",
        "web",
        &["10.0.0.1 @here", "10.0.0.2 @there"],
    )];
    let both = "10.0.0.1:8080,10.0.0.2:8080";
    assert_eq!(
        rows(&compute_for(vec![everywhere()], slices)),
        [
            format!("ClusterIP 10.96.0.1:80/TCP external={both} internal={both} OffCluster Reject"),
            format!("ExternalIP 203.0.113.1:80/TCP external={both} internal={both} Always Reject"),
            format!("LoadBalancer 203.0.113.2:80/TCP external={both} internal={both} Always Reject"),
            format!("NodePort IPv4 node port 30080/TCP external={both} internal={both} Always Reject"),
        ]
    );
}

#[test]
fn external_policy_local_keeps_external_clients_on_the_node_and_sends_internal_ones_anywhere() {
    let mut web = everywhere();
    web.external_traffic_policy = TrafficPolicy::Local;
    let slices = vec![slice(
        "default/web-1",
        "web",
        &["10.0.0.1 @here", "10.0.0.2 @there"],
    )];
    let both = "10.0.0.1:8080,10.0.0.2:8080";
    let here = "10.0.0.1:8080";
    assert_eq!(
        rows(&compute_for(vec![web], slices)),
        [
            format!("ClusterIP 10.96.0.1:80/TCP external={both} internal={both} OffCluster Reject"),
            format!("ExternalIP 203.0.113.1:80/TCP external={here} internal={both} Node Drop"),
            format!("LoadBalancer 203.0.113.2:80/TCP external={here} internal={both} Node Drop"),
            format!("NodePort IPv4 node port 30080/TCP external={here} internal={both} Node Drop"),
        ]
    );
}

#[test]
fn internal_policy_local_concerns_only_the_cluster_ip() {
    let mut web = service("default/web", "10.96.0.1");
    web.internal_traffic_policy = TrafficPolicy::Local;
    web.ports[0].node_port = Some(30080);
    let slices = vec![slice(
        "default/web-1",
        "web",
        &["10.0.0.1 @here", "10.0.0.2 @there"],
    )];
    let (here, both) = ("10.0.0.1:8080", "10.0.0.1:8080,10.0.0.2:8080");
    assert_eq!(
        rows(&compute_for(vec![web], slices)),
        [
            format!("ClusterIP 10.96.0.1:80/TCP external={here} internal={here} OffCluster Drop"),
            format!("NodePort IPv4 node port 30080/TCP external={both} internal={both} Always Reject"),
        ]
    );
}

#[test]
fn an_empty_list_is_dropped_only_if_policy_local_hides_endpoints_elsewhere() {
    for (endpoints, policy, expected) in [
        (vec![], TrafficPolicy::Cluster, WhenEmpty::Reject),
        (vec![], TrafficPolicy::Local, WhenEmpty::Reject),
        (vec!["10.0.0.1 unready"], TrafficPolicy::Local, WhenEmpty::Reject),
        (
            vec!["10.0.0.1 @there terminating"],
            TrafficPolicy::Local,
            WhenEmpty::Reject,
        ),
        (vec!["10.0.0.1 @there"], TrafficPolicy::Local, WhenEmpty::Drop),
        (
            vec!["10.0.0.1 @there serving-terminating"],
            TrafficPolicy::Local,
            WhenEmpty::Drop,
        ),
    ] {
        let mut web = everywhere();
        (web.internal_traffic_policy, web.external_traffic_policy) = (policy, policy);
        let desired = compute_for(vec![web], vec![slice("default/web-1", "web", &endpoints)]);
        assert_eq!(desired.frontends.len(), 4);
        for frontend in desired.frontends.values() {
            assert_eq!(frontend.when_empty, expected, "{endpoints:?} {policy:?}");
        }
    }
}

#[test]
fn a_service_without_slices_is_rejected_everywhere() {
    let desired = compute_for(vec![everywhere()], Vec::new());
    assert_eq!(desired.frontends.len(), 4);
    assert!(
        desired
            .frontends
            .values()
            .all(|frontend| frontend.when_empty == WhenEmpty::Reject)
    );
    assert!(desired.lists.values().all(|list| list.endpoints.is_empty()));
    assert!(
        !desired.lists.is_empty(),
        "a frontend's list exists even when it is empty"
    );
}

#[test]
fn ports_and_protocols_of_one_service_are_served_separately() {
    let mut dns = service("default/dns", "10.96.0.10");
    dns.ports = vec![
        port("tcp", Protocol::Tcp, 53),
        port("udp", Protocol::Udp, 53),
        port("sctp", Protocol::Sctp, 53),
    ];
    let mut dns_slice = slice("default/dns-1", "dns", &["10.0.0.1"]);
    let target = |name: &str, protocol, port| super::super::SlicePort {
        name: name.to_owned(),
        protocol,
        port,
    };
    dns_slice.ports = vec![
        target("tcp", Protocol::Tcp, 1),
        target("udp", Protocol::Udp, 2),
        target("sctp", Protocol::Sctp, 3),
    ];
    let rows = rows(&compute_for(vec![dns], vec![dns_slice]));
    for (row, (protocol, target)) in rows.iter().zip([("TCP", 1), ("UDP", 2), ("SCTP", 3)]) {
        let expected = format!("ClusterIP 10.96.0.10:53/{protocol} external=10.0.0.1:{target} ");
        assert!(row.starts_with(&expected), "{row}");
    }
    assert_eq!(rows.len(), 3);
}

#[test]
fn the_families_of_a_dual_stack_service_are_two_services() {
    let mut web = everywhere();
    web.cluster_ips.push("fd00:96::1".parse().unwrap());
    let slices = vec![
        slice("default/web-4", "web", &["10.0.0.1"]),
        slice("default/web-6", "web", &["fd00::1"]),
    ];
    let rows = rows(&compute_for(vec![web], slices));
    let six: Vec<_> = rows
        .iter()
        .filter(|row| row.contains("external=fd00::1:8080"))
        .collect();
    assert_eq!(six.len(), 2, "cluster IP and node port: {rows:?}");
    assert!(six[0].starts_with("ClusterIP [fd00:96::1]:80/TCP"), "{}", six[0]);
    assert!(
        six[1].starts_with("NodePort IPv6 node port 30080/TCP"),
        "{}",
        six[1]
    );
}

#[test]
fn a_family_without_a_cluster_ip_is_not_served() {
    let mut web = service("default/web", "10.96.0.1");
    web.external_ips = vec!["2001:db8::1".parse().unwrap()];
    web.ports[0].node_port = Some(30080);
    let desired = compute_for(vec![web], Vec::new());
    assert!(
        desired
            .frontends
            .keys()
            .all(|key| key.address.family() == Family::V4),
        "{desired:?}"
    );
}

#[test]
fn a_source_range_of_every_address_leaves_its_family_without_ranges() {
    let mut web = everywhere();
    web.source_ranges = ["203.0.113.0/25", "0.0.0.0/0", "2001:db8::/32"]
        .map(|range| range.parse().unwrap())
        .to_vec();
    let desired = compute_for(vec![web], Vec::new());
    for frontend in desired.frontends.values() {
        assert_eq!(frontend.source_ranges, [], "{:?}", frontend.kind);
    }
    for port in desired.service_ports.values() {
        assert_eq!(port.source_ranges, ["2001:db8::/32".parse::<IpNet>().unwrap()]);
    }
}

#[test]
fn source_ranges_guard_only_load_balancer_addresses_and_only_in_their_family() {
    let mut web = everywhere();
    web.source_ranges = vec![
        "203.0.113.77/25".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ];
    for frontend in compute_for(vec![web], Vec::new()).frontends.values() {
        let expected: Vec<IpNet> = match frontend.kind {
            FrontendKind::LoadBalancer => vec!["203.0.113.0/25".parse().unwrap()],
            _ => Vec::new(),
        };
        assert_eq!(frontend.source_ranges, expected, "{:?}", frontend.kind);
    }
}

#[test]
fn a_range_that_lets_the_node_in_lets_the_load_balancer_address_in() {
    let mut cluster = Cluster::default();
    let mut web = everywhere();
    web.source_ranges = vec!["192.168.0.0/24".parse().unwrap()];
    let mut node = samples::node(HERE);
    node.addresses = vec!["192.168.0.2".parse().unwrap()];
    cluster.handle(ClusterEvent::Apply(Object::Service(web)));
    cluster.handle(ClusterEvent::Apply(Object::Node(node)));
    let desired = compute(
        &cluster,
        &NodeContext {
            name: HERE.to_owned(),
            detect_local: DetectLocal::BridgeInterface("cbr0".to_owned()),
            ..NodeContext::default()
        },
    );
    let guarded = desired
        .frontends
        .values()
        .find(|at| at.kind == FrontendKind::LoadBalancer)
        .unwrap();
    let expected: Vec<IpNet> = vec![
        "192.168.0.0/24".parse().unwrap(),
        "203.0.113.2/32".parse().unwrap(),
    ];
    assert_eq!(guarded.source_ranges, expected);
}

fn conflicts(desired: &Desired) -> Vec<String> {
    let all = desired.refused.keys().flat_map(|key| desired.conflicts(key));
    all.map(|conflict| conflict.to_string()).collect()
}

#[test]
fn of_two_services_with_one_frontend_the_first_by_name_is_served_and_the_other_reported() {
    let services = vec![
        service("default/second", "10.96.0.1"),
        service("default/first", "10.96.0.1"),
    ];
    let desired = compute_for(services, Vec::new());
    let served: Vec<_> = desired
        .frontends
        .values()
        .map(|at| at.service_port.to_string())
        .collect();
    assert_eq!(served, ["default/first"]);
    assert_eq!(
        conflicts(&desired),
        [
            "10.96.0.1:80/TCP belongs to Service port default/first, so default/second is not served there; \
          change one of them"
        ]
    );
}

#[test]
fn nobody_takes_a_cluster_ip_by_naming_it_as_an_external_ip() {
    let mut thief = service("default/a-thief", "10.96.0.2");
    thief.external_ips = vec!["10.96.0.1".parse().unwrap()];
    let desired = compute_for(vec![thief, service("default/owner", "10.96.0.1")], Vec::new());
    let owner = desired.frontends.values().next().unwrap();
    assert_eq!(owner.service_port.to_string(), "default/owner");
    assert_eq!(conflicts(&desired).len(), 1);
}

#[test]
fn one_address_named_twice_by_one_service_is_no_conflict() {
    let mut web = everywhere();
    web.external_ips = web.load_balancer_ips.clone();
    let desired = compute_for(vec![web], Vec::new());
    assert_eq!(conflicts(&desired), [""; 0]);
    assert_eq!(desired.frontends.len(), 3);
}

#[test]
fn a_health_check_port_counts_only_under_external_policy_local() {
    for (policy, expected) in [
        (TrafficPolicy::Cluster, None),
        (TrafficPolicy::Local, Some(32000)),
    ] {
        let mut web = everywhere();
        web.health_check_node_port = Some(32000);
        web.session_affinity = Some(10800);
        web.external_traffic_policy = policy;
        let desired = compute_for(vec![web], Vec::new());
        let port = desired.service_ports.values().next().unwrap();
        assert_eq!(
            (port.health_check_node_port, port.session_affinity),
            (expected, Some(10800))
        );
    }
}
