//! What depends on who the client is: a local pod, or somebody else.

use std::net::SocketAddr;

use harness::bpf::{ClusterIp, Hook, Packet};
use proxy_agent::model::{Service, TrafficPolicy};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant!(
    a_client_that_is_no_pod_reaches_a_cluster_ip_with_the_nodes_address,
    external_policy_local_sends_others_to_endpoints_here_with_their_own_address,
    without_an_endpoint_here_others_meet_silence_and_pods_are_served,
    internal_policy_local_holds_for_pods_too,
    only_clients_in_the_source_ranges_reach_the_load_balancer_ip,
    a_change_of_source_ranges_holds_for_the_next_connection,
);

/// Enough to meet both of two endpoints but once in 2^40.
const FLOWS: u16 = 40;

/// The endpoints that the client's flows go to.
fn targets(scene: &mut Scene, variant: Variant, client: SocketAddr, to: SocketAddr) -> Vec<SocketAddr> {
    let arrived = |number| {
        let request = variant.opening((client.ip(), EPHEMERAL + number).into(), to);
        let trip = scene.round_trip(&request);
        (trip.arrived.destination, trip.arrived.source.ip() == client.ip())
    };
    let mut found: Vec<_> = (0..FLOWS).map(arrived).collect();
    found.sort_unstable();
    found.dedup();
    let keeps_address = found.iter().all(|(_, own)| *own);
    assert!(keeps_address, "the client's address stays: {found:?}");
    found.into_iter().map(|(target, _)| target).collect()
}

fn external_local(service: &mut Service) {
    service.external_traffic_policy = TrafficPolicy::Local;
}

fn internal_local(service: &mut Service) {
    service.internal_traffic_policy = TrafficPolicy::Local;
}

/// With two endpoints, the second of them here.
fn two_endpoints(variant: Variant, edit: fn(&mut Service)) -> ClusterIp {
    ClusterIp {
        here: vec![variant.endpoint(2)],
        edit,
        ..variant.node_port_service([1, 2])
    }
}

fn a_client_that_is_no_pod_reaches_a_cluster_ip_with_the_nodes_address(variant: Variant) {
    let mut scene = Scene::with_pods(variant, &[variant.service([1])]);
    for (client, expected) in [
        (variant.client(1, EPHEMERAL), variant.client(1, EPHEMERAL).ip()),
        (variant.outsider(1, EPHEMERAL), variant.node()),
    ] {
        let trip = scene.round_trip(&variant.opening(client, variant.vip(1)));
        assert_eq!(trip.arrived.source.ip(), expected, "{client}");
    }
}

fn external_policy_local_sends_others_to_endpoints_here_with_their_own_address(variant: Variant) {
    let mut scene = Scene::with_pods(variant, &[two_endpoints(variant, external_local)]);
    let (both, here) = (
        vec![variant.target(1), variant.target(2)],
        vec![variant.target(2)],
    );
    let (pod, outsider) = (variant.client(1, 0), variant.outsider(1, 0));
    assert_eq!(targets(&mut scene, variant, outsider, variant.node_port()), here);
    assert_eq!(targets(&mut scene, variant, pod, variant.node_port()), both);
    assert_eq!(targets(&mut scene, variant, pod, variant.vip(1)), both);
}

fn without_an_endpoint_here_others_meet_silence_and_pods_are_served(variant: Variant) {
    let elsewhere = ClusterIp {
        here: Vec::new(),
        ..two_endpoints(variant, external_local)
    };
    let mut scene = Scene::with_pods(variant, &[elsewhere]);
    let request = variant.opening(variant.outsider(1, EPHEMERAL), variant.node_port());
    assert_eq!(scene.try_send(Hook::Ingress, &request), None);
    assert_eq!(scene.counted(), [(Counter::NoLocalEndpoints.name(), 1)]);
    let pod = variant.client(1, 0);
    assert_eq!(
        targets(&mut scene, variant, pod, variant.node_port()),
        [variant.target(1), variant.target(2)]
    );
}

fn internal_policy_local_holds_for_pods_too(variant: Variant) {
    let mut scene = Scene::with_pods(variant, &[two_endpoints(variant, internal_local)]);
    let pod = variant.client(1, 0);
    assert_eq!(
        targets(&mut scene, variant, pod, variant.vip(1)),
        [variant.target(2)]
    );
}

/// A load balancer at virtual IP 2 that lets client 1 in, and the outsiders from number 128 on.
fn guarded(service: &mut Service) {
    let is_v4 = service.cluster_ips[0].is_ipv4();
    service.load_balancer_ips = vec![vip2(is_v4)];
    let ranges = if is_v4 {
        ["8.0.1.1/32", "8.0.8.128/25", "fd00::/8"]
    } else {
        ["2001:db8:86dd::101/128", "2001:db8:86dd::880/121", "10.0.0.0/8"]
    };
    service.source_ranges = ranges.map(|range| range.parse().expect("a range")).to_vec();
}

fn vip2(is_v4: bool) -> std::net::IpAddr {
    let text = if is_v4 { "10.96.0.2" } else { "fd00:96::2" };
    text.parse().expect("an address")
}

/// Whether the client's request is let in, by the load balancer's IP.
fn is_let_in(scene: &mut Scene, variant: Variant, client: SocketAddr) -> bool {
    let to = (vip2(client.is_ipv4()), 80).into();
    let request: Packet = variant.opening(client, to);
    scene.try_send(Hook::Ingress, &request).is_some()
}

fn only_clients_in_the_source_ranges_reach_the_load_balancer_ip(variant: Variant) {
    let service = ClusterIp {
        edit: guarded,
        ..variant.service([1])
    };
    let mut scene = Scene::with_pods(variant, &[service]);
    for (client, expected) in [
        (variant.client(1, EPHEMERAL), true),
        (variant.client(2, EPHEMERAL), false),
        (variant.outsider(128, EPHEMERAL), true),
        (variant.outsider(255, EPHEMERAL), true),
        (variant.outsider(127, EPHEMERAL), false),
    ] {
        assert_eq!(is_let_in(&mut scene, variant, client), expected, "{client}");
    }
    assert_eq!(scene.count(Counter::SourceRange), 2);
    let at_cluster_ip = variant.opening(variant.client(2, EPHEMERAL), variant.vip(1));
    scene.round_trip(&at_cluster_ip);
}

fn a_change_of_source_ranges_holds_for_the_next_connection(variant: Variant) {
    let with = |edit| ClusterIp {
        edit,
        ..variant.service([1])
    };
    let mut scene = Scene::with_pods(variant, &[with(guarded)]);
    let (first, second) = (variant.client(1, EPHEMERAL), variant.client(2, EPHEMERAL));
    assert!(is_let_in(&mut scene, variant, first) && !is_let_in(&mut scene, variant, second));
    scene.apply(&[with(|service| {
        guarded(service);
        service
            .source_ranges
            .retain(|range| range.prefix_len() != range.max_prefix_len());
    })]);
    let again = variant.client(1, EPHEMERAL + 1);
    assert!(!is_let_in(&mut scene, variant, again), "its range is gone");
    scene.apply(&[with(|service| {
        guarded(service);
        service.source_ranges.clear();
    })]);
    assert!(is_let_in(&mut scene, variant, second), "there are no ranges");
}
