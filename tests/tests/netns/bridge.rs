//! Pods on a bridge of their node, as flannel's are: the answer of a pod to its neighbour never climbs to the node's stack.

use harness::{
    agent::TcAttach,
    exec,
    topology::{Node, Topology, bridge_ip},
    traffic::{Client, Role, exchange},
    world::{Variant, World},
};

use crate::no_endpoints::is_refused;

/// 2 MiB each way: many segments, acknowledgements and window updates.
const BLOCKS: u64 = 32;

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

#[test]
fn bridged_pods_are_served_as_clients_and_as_endpoints() {
    let topology = Topology::build().unwrap();
    topology.nodes[0].bridge_pods().unwrap();
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        everybody_is_answered(&world, variant);
        a_service_without_endpoints_refuses(&world, variant);
    }
}

#[test]
fn conntrack_sees_both_directions_between_bridged_pods_with_or_without_bridge_netfilter() {
    for bridge_netfilter in ["0", "1"] {
        let topology = Topology::build().unwrap();
        let node = &topology.nodes[0];
        node.bridge_pods().unwrap();
        drop_what_conntrack_calls_invalid(node, bridge_netfilter);
        let world = World::on(topology, TcAttach::Auto).unwrap();
        for variant in VARIANTS {
            everybody_is_answered(&world, variant);
        }
        for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
            a_neighbour_sends_and_gets_much(&world, variant);
        }
    }
}

fn everybody_is_answered(world: &World, variant: Variant) {
    a_neighbour_answers(world, variant);
    a_pod_on_another_node_answers(world, variant);
    a_pod_answers_itself(world, variant);
    a_client_outside_is_answered(world, variant);
}

/// The rule that kube-proxy's and many firewalls' FORWARD chains have.
fn drop_what_conntrack_calls_invalid(node: &Node, bridge_netfilter: &str) {
    let settings = [
        ("bridge/bridge-nf-call-iptables", bridge_netfilter),
        ("bridge/bridge-nf-call-ip6tables", bridge_netfilter),
        ("netfilter/nf_conntrack_tcp_be_liberal", "0"),
    ];
    let rule = "-A FORWARD -m conntrack --ctstate INVALID -j DROP";
    for iptables in ["iptables", "ip6tables"] {
        exec::output(node.host.ns.command(iptables).args(rule.split(' '))).unwrap();
    }
    node.host.ns.sysctl(&settings).unwrap();
}

fn a_neighbour_sends_and_gets_much(world: &World, variant: Variant) {
    let [pod, neighbour, _] = &world.topology.nodes[0].pods;
    let service = world.publish_role(variant, &[neighbour], Role::Echo).unwrap();
    exchange(Client::new(&pod.ns).connect(service.vip()).unwrap(), BLOCKS).unwrap();
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
