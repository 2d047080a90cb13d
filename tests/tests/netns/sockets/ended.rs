//! Connected sockets whose endpoint goes away.

use std::net::SocketAddr;

use anyhow::Context as _;
use harness::{
    agent::READY,
    traffic::{Client, Talker},
    wait,
    world::{Variant, shared_with_sockets},
};
use proxy_agent::model::Family;

use super::{answerer, ask, beside, catch, connected, ends};

for_each_udp!(
    a_connected_socket_is_ended_when_its_endpoint_goes_and_connects_again,
    a_socket_that_is_connected_to_another_endpoint_goes_on,
    a_socket_that_was_connected_before_there_was_the_service_is_ended_and_meets_it_then,
    a_socket_that_a_service_meets_with_silence_waits_until_it_is_let_in,
);

fn a_connected_socket_is_ended_when_its_endpoint_goes_and_connects_again(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(variant, &[&one.pods[0]]).unwrap();
    for target in [service.vip(), service.node_port(&one.host)] {
        let socket = connected(variant, &one.host, target).unwrap();
        assert_eq!(ask(&socket).unwrap().0, one.pods[0].name);
        service.set_endpoints(&[&two.pods[0]]).unwrap();
        ends(&socket);
        let again = connected(variant, &one.host, target).unwrap();
        assert_eq!(ask(&again).unwrap().0, two.pods[0].name);
        service.set_endpoints(&[&one.pods[0]]).unwrap();
    }
}

fn a_socket_that_is_connected_to_another_endpoint_goes_on(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let mut service = world.publish(variant, &pods).unwrap();
    let at = |pod: usize, target: SocketAddr| {
        wait::until("a socket at that endpoint", READY, || {
            let socket = connected(variant, &one.host, target)?;
            (ask(&socket)?.0 == pods[pod].name)
                .then_some(socket)
                .context("the other one")
        })
        .unwrap()
    };
    let [stays, goes] = [at(0, service.vip()), at(1, service.vip())];
    service.set_endpoints(&[pods[0]]).unwrap();
    ends(&goes);
    assert_eq!(ask(&stays).unwrap().0, pods[0].name);
}

fn a_socket_that_was_connected_before_there_was_the_service_is_ended_and_meets_it_then(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    service.withdraw().unwrap();
    let _caught = catch(&world, variant, service.vip());
    let beside = SocketAddr::new(service.vip().ip(), service.vip().port() + 1);
    let targets = [
        service.vip(),
        beside,
        service.node_port(&one.host),
        service.node_port(&world.topology.client),
    ];
    let [early, other_port, node_port, not_the_node] =
        targets.map(|target| connected(variant, &one.host, target).unwrap());
    assert_eq!(ask(&early).unwrap().0, "outside");
    service.come_back().unwrap();
    for socket in [early, node_port] {
        ends(&socket);
    }
    for socket in [other_port, not_the_node] {
        socket.peer_addr().unwrap();
    }
    let again = connected(variant, &one.host, service.vip()).unwrap();
    assert_eq!(ask(&again).unwrap().0, two.pods[0].name);
}

fn a_socket_that_a_service_meets_with_silence_waits_until_it_is_let_in(variant: Variant) {
    let others = match variant.family {
        Family::V4 => "203.0.113.0/24",
        Family::V6 => "2001:db8::/64",
    };
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&two.pods[0], &two.pods[1]];
    let service = world.publish_edited(variant, &[pods[0]], |service| {
        service.load_balancer = Some(beside(service.cluster_ips[0], 99));
        service
            .spec
            .push(format!("loadBalancerSourceRanges: [{others:?}]"));
    });
    let mut service = service.unwrap();
    world.agents[0].wait_for(&service.service).unwrap();
    let target = SocketAddr::new(service.service.load_balancer.unwrap(), service.service.port);
    let outside = catch(&world, variant, target);
    let waiting = connected(variant, &one.host, target).unwrap();
    // Whoever is ended in a pass has been by the next.
    for pod in [pods[1], pods[0], pods[1]] {
        let led = connected(variant, &one.host, service.vip()).unwrap();
        service.set_endpoints(&[pod]).unwrap();
        ends(&led);
    }
    waiting.send(b"who\n").unwrap();
    assert_eq!(outside.served(), 0);

    service.service.spec.clear();
    service.set_endpoints(&[pods[1]]).unwrap();
    ends(&waiting);
    assert_eq!(answerer(variant, &one.host, target), pods[1].name);
}

#[test]
fn a_tcp_connection_of_the_node_stays_where_it_is() {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
        let mut service = world.publish(variant, &[&one.pods[0]]).unwrap();
        let talk = |host| Talker::start(Client::new(host).talk(variant.protocol, service.vip()).unwrap());
        let talkers = [talk(&one.host.ns), talk(&one.pods[2].ns)];
        service.set_endpoints(&[&two.pods[0]]).unwrap();
        for talker in talkers {
            talker.keeps_talking(20).unwrap();
            assert_eq!(talker.stop().unwrap().server, one.pods[0].name);
        }
    }
}
