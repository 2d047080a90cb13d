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
    silence_for_want_of_an_endpoint_here_is_counted,
    only_clients_in_the_source_ranges_reach_the_load_balancer_ip,
    a_change_of_source_ranges_holds_for_the_next_connection,
);

fn external_local(service: &mut Service) {
    service.external_traffic_policy = TrafficPolicy::Local;
}

fn silence_for_want_of_an_endpoint_here_is_counted(variant: Variant) {
    let elsewhere = ClusterIp {
        edit: external_local,
        ..variant.node_port_service([1])
    };
    let mut scene = Scene::with_pods(variant, &[elsewhere]);
    let request = variant.opening(variant.outsider(1, EPHEMERAL), variant.node_port());
    assert_eq!(scene.try_send(Hook::Ingress, &request), None);
    assert_eq!(scene.counted(), [(Counter::NoLocalEndpoints.name(), 1)]);
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
