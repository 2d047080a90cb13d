//! ICMP errors through a Service: a refusal reaches the client's socket, and so does what a router on the way has to say.

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use harness::{
    topology::Host,
    traffic::Client,
    world::{Variant, World, shared},
};
use nix::sys::socket::{setsockopt, sockopt};
use proxy_agent::model::Family;

for_each_udp!(
    a_pod_is_refused_by_a_closed_port_of_an_endpoint_on_its_node,
    a_pod_is_refused_by_a_closed_port_of_an_endpoint_on_another_node,
    a_client_outside_is_refused_through_a_node_port,
    a_probe_that_dies_on_the_way_is_reported_to_the_socket_that_sent_it,
);

fn a_pod_is_refused_by_a_closed_port_of_an_endpoint_on_its_node(variant: Variant) {
    let world = shared();
    let [one, _] = &world.topology.nodes;
    let service = world.publish_closed(variant, &[&one.pods[0]]).unwrap();
    is_refused(variant, &one.pods[2], service.vip());
}

fn a_pod_is_refused_by_a_closed_port_of_an_endpoint_on_another_node(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_closed(variant, &[&two.pods[0]]).unwrap();
    is_refused(variant, &one.pods[2], service.vip());
}

fn a_client_outside_is_refused_through_a_node_port(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish_closed(variant, &[endpoint]).unwrap();
        is_refused(variant, &world.topology.client, service.node_port(&one.host));
    }
}

/// A connected socket only hears of errors whose quote names both of its own ends.
fn is_refused(variant: Variant, client: &Host, target: SocketAddr) {
    let error = Client::new(&client.ns).ask(variant.protocol, target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

/// At the client's own node, and at the endpoint's.
fn a_probe_that_dies_on_the_way_is_reported_to_the_socket_that_sent_it(variant: Variant) {
    let world = shared();
    for hops in [1, 2] {
        assert_eq!(
            probe(&world, variant, hops).raw_os_error(),
            Some(nix::libc::EHOSTUNREACH)
        );
    }
}

fn probe(world: &World, variant: Variant, hops: u8) -> Error {
    let [one, two] = &world.topology.nodes;
    let service = world.publish_closed(variant, &[&two.pods[0]]).unwrap();
    let any: IpAddr = match variant.family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = one.pods[2].ns.run(|| UdpSocket::bind((any, 0)).unwrap());
    match variant.family {
        Family::V4 => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap();
            setsockopt(&socket, sockopt::Ipv4Ttl, &hops.into()).unwrap();
        }
        Family::V6 => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true).unwrap();
            setsockopt(&socket, sockopt::Ipv6Ttl, &hops.into()).unwrap();
        }
    }
    socket.connect(service.vip()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.send(b"probe").unwrap();
    socket.recv(&mut [0; 16]).unwrap_err()
}
