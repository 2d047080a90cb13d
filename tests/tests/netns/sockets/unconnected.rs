//! UDP sockets that are connected to nobody.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
};

use harness::world::{Variant, shared_with_sockets};

use super::{exchange, unconnected};

for_each_udp!(
    a_reply_comes_from_whom_the_process_has_asked,
    a_socket_keeps_its_endpoint_until_that_goes_and_then_has_another,
    sockets_are_shared_out_over_the_endpoints,
    one_socket_asks_two_services_in_turn,
    what_comes_from_an_endpoint_that_a_process_has_asked_itself_comes_from_the_endpoint,
);

/// By chance all would go to one of three endpoints once in 3^19.
const ASKS: usize = 20;
/// One of three endpoints is missed by so many sockets once in 10^8.
const SOCKETS: usize = 48;

fn a_reply_comes_from_whom_the_process_has_asked(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let socket = unconnected(client, variant.family);
        for _ in 0..3 {
            let met = exchange(&socket, service.vip()).unwrap();
            assert_eq!(met, (two.pods[0].name.clone(), service.vip()));
        }
    }
    let node_port = service.node_port(&one.host);
    let met = exchange(&unconnected(&one.host, variant.family), node_port).unwrap();
    assert_eq!(met, (two.pods[0].name.clone(), node_port));
}

fn a_socket_keeps_its_endpoint_until_that_goes_and_then_has_another(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let all = [&one.pods[0], &one.pods[1], &two.pods[0]];
    for client in [&one.host, &one.pods[2]] {
        let mut service = world.publish(variant, &all).unwrap();
        let socket = unconnected(client, variant.family);
        let first = keeps_one(&socket, service.vip());
        let rest: Vec<_> = all.into_iter().filter(|pod| pod.name != first).collect();
        service.set_endpoints(&rest).unwrap();
        assert_ne!(keeps_one(&socket, service.vip()), first);
    }
}

/// The one who answers all of many questions.
fn keeps_one(socket: &UdpSocket, target: SocketAddr) -> String {
    let asks = (0..ASKS).map(|_| exchange(socket, target).unwrap());
    let met: BTreeSet<_> = asks.collect();
    assert_eq!(met.len(), 1, "{met:?}");
    met.into_iter().next().unwrap().0
}

fn sockets_are_shared_out_over_the_endpoints(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world
        .publish(variant, &[&one.pods[0], &one.pods[1], &two.pods[0]])
        .unwrap();
    let ask = |_| {
        exchange(&unconnected(&one.host, variant.family), service.vip())
            .unwrap()
            .0
    };
    let met: BTreeSet<String> = (0..SOCKETS).map(ask).collect();
    assert_eq!(met.len(), 3, "{met:?}");
}

fn one_socket_asks_two_services_in_turn(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let services = pods.map(|pod| world.publish(variant, &[pod]).unwrap());
    for client in [&one.host, &one.pods[2]] {
        let socket = unconnected(client, variant.family);
        for (service, pod) in services.iter().zip(pods).cycle().take(6) {
            let met = exchange(&socket, service.vip()).unwrap();
            assert_eq!(met, (pod.name.clone(), service.vip()));
        }
    }
}

fn what_comes_from_an_endpoint_that_a_process_has_asked_itself_comes_from_the_endpoint(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let direct = service.direct(&two.pods[0]);
    let socket = unconnected(&one.host, variant.family);
    for target in [service.vip(), direct, service.vip(), direct] {
        assert_eq!(exchange(&socket, target).unwrap().1, target);
    }
}
