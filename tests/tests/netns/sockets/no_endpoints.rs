//! A Service that nobody serves.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use harness::world::{Variant, shared_with_sockets};
use proxy_agent::model::Family;

use super::{connected, exchange, unconnected};
use crate::no_endpoints::is_refused;

for_each_variant!(
    every_client_is_refused_at_once,
    the_call_of_a_process_of_the_node_is_refused,
    a_service_that_loses_its_endpoints_refuses_and_serves_again_when_one_comes,
);
for_each_udp!(a_datagram_of_an_unconnected_socket_is_refused);

fn every_client_is_refused_at_once(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[]).unwrap();
    let loopback = match variant.family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let loopback = SocketAddr::new(loopback, service.service.node_port.unwrap());
    for target in [
        service.vip(),
        service.external_ip(),
        service.node_port(&node.host),
        loopback,
    ] {
        is_refused(variant, &node.host, target);
    }
    is_refused(variant, &node.pods[2], service.vip());
}

fn the_call_of_a_process_of_the_node_is_refused(variant: Variant) {
    let world = shared_with_sockets();
    let service = world.publish(variant, &[]).unwrap();
    let error = connected(variant, &world.topology.nodes[0].host, service.vip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

fn a_service_that_loses_its_endpoints_refuses_and_serves_again_when_one_comes(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let pod = &node.pods[0];
    let mut service = world.publish(variant, &[pod]).unwrap();
    for client in [&node.host, &node.pods[2]] {
        assert_eq!(super::answerer(variant, client, service.vip()), pod.name);
        service.set_endpoints(&[]).unwrap();
        is_refused(variant, client, service.vip());
        service.set_endpoints(&[pod]).unwrap();
    }
}

fn a_datagram_of_an_unconnected_socket_is_refused(variant: Variant) {
    let world = shared_with_sockets();
    let service = world.publish(variant, &[]).unwrap();
    let socket = unconnected(&world.topology.nodes[0].host, variant.family);
    let error = exchange(&socket, service.vip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}
