//! Pods on a bridge of their node, as flannel's are: the answer of a pod to its neighbour never climbs to the node's stack.

use harness::{
    agent::TcAttach,
    topology::{Topology, bridge_ip},
    traffic::Client,
    world::{Variant, World},
};

use crate::no_endpoints::is_refused;

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

#[test]
fn bridged_pods_are_served_as_clients_and_as_endpoints() {
    let topology = Topology::build().unwrap();
    topology.nodes[0].bridge_pods().unwrap();
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        a_neighbour_answers(&world, variant);
        a_pod_on_another_node_answers(&world, variant);
        a_pod_answers_itself(&world, variant);
        a_client_outside_is_answered(&world, variant);
        a_service_without_endpoints_refuses(&world, variant);
    }
}

fn a_neighbour_answers(world: &World, variant: Variant) {
    let [pod, neighbour, _] = &world.topology.nodes[0].pods;
    let service = world.publish(variant, &[neighbour]).unwrap();
    let answer = Client::new(&pod.ns).ask(variant.protocol, service.vip()).unwrap();
    assert_eq!(
        (answer.server, answer.client.ip()),
        (neighbour.name.clone(), pod.ip(variant.family))
    );
}

fn a_pod_on_another_node_answers(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let answer = Client::new(&one.pods[0].ns)
        .ask(variant.protocol, service.vip())
        .unwrap();
    assert_eq!(answer.client.ip(), one.pods[0].ip(variant.family));
}

fn a_pod_answers_itself(world: &World, variant: Variant) {
    let pod = &world.topology.nodes[0].pods[0];
    let service = world.publish(variant, &[pod]).unwrap();
    let answer = Client::new(&pod.ns).ask(variant.protocol, service.vip()).unwrap();
    assert_eq!(
        answer.client.ip(),
        bridge_ip(variant.family),
        "the bridge's address, not its own"
    );
}

fn a_client_outside_is_answered(world: &World, variant: Variant) {
    let node = &world.topology.nodes[0];
    let service = world.publish(variant, &[&node.pods[1]]).unwrap();
    let answer = Client::new(&world.topology.client.ns)
        .ask(variant.protocol, service.node_port(&node.host))
        .unwrap();
    assert_eq!(answer.client.ip(), bridge_ip(variant.family));
}

fn a_service_without_endpoints_refuses(world: &World, variant: Variant) {
    let node = &world.topology.nodes[0];
    let service = world.publish(variant, &[]).unwrap();
    for target in [service.vip(), service.node_port(&node.host)] {
        is_refused(variant, &node.pods[0], target);
    }
}
