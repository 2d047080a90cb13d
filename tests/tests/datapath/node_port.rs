//! A NodePort, whose clients are masqueraded.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use harness::bpf::{ACK, Hook};
use proxy_agent::model::{Family, Protocol};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, POOL, Scene},
};

/// A port of [`POOL`].
const POOL_PORT: u16 = 2_000;

for_each_variant_and_layer!(
    a_masqueraded_flow_leaves_with_the_nodes_address_and_a_port_of_the_pool,
    a_client_keeps_its_port_if_it_is_in_the_pool,
);

for_each_variant!(
    every_packet_of_a_masqueraded_flow_has_the_same_source,
    a_cluster_ip_of_the_same_service_is_not_masqueraded,
    a_port_that_a_socket_holds_is_not_taken,
    a_flow_that_was_held_up_between_the_hooks_is_still_masqueraded,
);

fn a_masqueraded_flow_leaves_with_the_nodes_address_and_a_port_of_the_pool(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    for port in EPHEMERAL..EPHEMERAL + 50 {
        let request = variant.opening(variant.client(1, port), variant.node_port());
        let trip = scene.round_trip(&request);
        assert_eq!(trip.inside, request.to(variant.target(1)));
        let source = trip.arrived.source;
        assert_eq!(trip.arrived, trip.inside.from(source), "only the source changes");
        assert_eq!(source.ip(), variant.node());
        assert!(
            POOL.iter().any(|range| range.contains(&source.port())),
            "{source}"
        );
    }
    assert_eq!(scene.counted(), [("flows_opened", 50), ("flows_masqueraded", 50)]);
}

fn a_client_keeps_its_port_if_it_is_in_the_pool(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, POOL_PORT), variant.node_port());
    let source = scene.round_trip(&request).arrived.source;
    assert_eq!(source, SocketAddr::from((variant.node(), POOL_PORT)));
}

fn every_packet_of_a_masqueraded_flow_has_the_same_source(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service(1..=8)]);
    for port in EPHEMERAL..EPHEMERAL + 10 {
        let opening = variant.opening(variant.client(1, port), variant.node_port());
        let first = scene.round_trip(&opening).arrived;
        for _ in 0..5 {
            assert_eq!(scene.round_trip(&opening.flags(ACK)).arrived, first.flags(ACK));
        }
    }
    assert_eq!(scene.count(Counter::FlowsMasqueraded), 10);
}

fn a_cluster_ip_of_the_same_service_is_not_masqueraded(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    assert_eq!(scene.round_trip(&request).arrived, request.to(variant.target(1)));
}

fn a_port_that_a_socket_holds_is_not_taken(variant: Variant) {
    let any: SocketAddr = match variant.family {
        Family::V4 => ([0; 4], POOL_PORT).into(),
        Family::V6 => ([0; 16], POOL_PORT).into(),
    };
    // Held until the end of the test, in its network namespace.
    let _socket: Box<dyn std::any::Any> = match variant.protocol {
        Protocol::Tcp => Box::new(TcpListener::bind(any).unwrap()),
        _ => Box::new(UdpSocket::bind(any).unwrap()),
    };
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, POOL_PORT), variant.node_port());
    assert_ne!(scene.round_trip(&request).arrived.source.port(), POOL_PORT);
}

/// A NetworkPolicy that drops, a neighbour that does not answer: ingress sees the client try on every second, egress sees
/// nothing.
fn a_flow_that_was_held_up_between_the_hooks_is_still_masqueraded(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    let inside = scene.send(Hook::Ingress, &request);
    for _ in 0..2 {
        // The first time without a port yet, the second time with one.
        scene.age(Hook::Egress, &inside, variant.unanswered_timeout() + 1);
        scene.age(Hook::Ingress, &request, 1);
        assert_eq!(scene.request(&request).arrived.source.ip(), variant.node());
    }
}
