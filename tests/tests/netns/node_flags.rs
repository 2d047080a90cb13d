//! kube-proxy's flags about the node.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::ensure;
use harness::{
    agent::{READY, TcAttach},
    exec,
    traffic::Client,
    wait,
    world::{Published, Variant, World},
};

/// An address that only node1 has, and the client a route to.
const SECOND: &str = "192.0.2.205";

/// With TCP: a UDP flow keeps what it began with, and a later client may get the port of an earlier one.
const VARIANTS: [Variant; 2] = [crate::IPV4_TCP, crate::IPV6_TCP];

#[test]
fn node_ports_are_served_on_the_addresses_that_the_flag_names() {
    let world = world_with_a_second_address();
    let [agent, _] = &world.agents;
    let [v4, v6] = VARIANTS.map(|variant| publish(&world, variant));
    let [first4, first6] = VARIANTS.map(|variant| world.topology.nodes[0].host.ip(variant.family));
    let second4 = SECOND.parse().unwrap();
    node_port_answers(&world, &v4, first4, true);
    node_port_answers(&world, &v4, second4, true);

    agent
        .restart_with(&["--nodeport-addresses", "192.0.2.0/24"])
        .unwrap();
    node_port_answers(&world, &v4, first4, false);
    node_port_answers(&world, &v4, second4, true);
    // The flag has no range of this family.
    node_port_answers(&world, &v6, first6, true);

    write_node(&world, first4);
    agent.restart_with(&["--nodeport-addresses", "primary"]).unwrap();
    node_port_answers(&world, &v4, second4, false);
    node_port_answers(&world, &v4, first4, true);
    // The Node has no address of this family.
    node_port_answers(&world, &v6, first6, false);

    write_node(&world, second4);
    node_port_answers(&world, &v4, first4, false);
    node_port_answers(&world, &v4, second4, true);
}

#[test]
fn cluster_ips_masquerade_everyone_if_the_flag_says_so_and_no_pod_by_a_cluster_cidr() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [agent, _] = &world.agents;
    let services = VARIANTS.map(|variant| publish(&world, variant));
    pods_are_masqueraded(&world, &services, false);
    agent.restart_with(&["--masquerade-all"]).unwrap();
    pods_are_masqueraded(&world, &services, true);

    agent
        .restart_with(&["--cluster-cidr", "192.168.166.0/24"])
        .unwrap();
    pods_are_masqueraded(&world, &services, false);
}

fn world_with_a_second_address() -> World {
    let world = World::start(TcAttach::Auto).unwrap();
    let (node, client) = (&world.topology.nodes[0].host, &world.topology.client);
    let add = format!("link add second type bridge\nlink set second up\naddr add {SECOND}/32 dev second\n");
    exec::ip_batch(Some(node.ns.name()), &add).unwrap();
    let gateway = node.ip(crate::IPV4_TCP.family);
    exec::ip_batch(
        Some(client.ns.name()),
        &format!("route add {SECOND} via {gateway}\n"),
    )
    .unwrap();
    world
}

fn publish(world: &World, variant: Variant) -> Published<'_> {
    world
        .publish(variant, &[&world.topology.nodes[0].pods[0]])
        .unwrap()
}

/// Waits until the client outside gets an answer, or none, from the NodePort at `address`.
fn node_port_answers(world: &World, service: &Published<'_>, address: IpAddr, expected: bool) {
    let [node, _] = &world.topology.nodes;
    let target = SocketAddr::new(address, service.node_port(&node.host).port());
    let client = Client::new(&world.topology.client.ns).patience(Duration::from_millis(100));
    let settled = wait::until(&format!("NodePort at {target}"), READY, || {
        let answer = client.ask(service.service.protocol, target);
        ensure!(answer.is_ok() == expected, "{answer:?}");
        Ok(())
    });
    settled.unwrap();
}

/// Waits until the endpoint sees the node, or the pod itself, when a pod asks at the cluster IPs.
fn pods_are_masqueraded(world: &World, services: &[Published<'_>], expected: bool) {
    let [node, _] = &world.topology.nodes;
    let pod = &node.pods[2];
    for (variant, service) in VARIANTS.iter().zip(services) {
        let host = if expected { &node.host } else { pod };
        let client = Client::new(&pod.ns).patience(Duration::from_millis(100));
        let settled = wait::until("the client's address", READY, || {
            let seen = client.ask(variant.protocol, service.vip())?.client.ip();
            ensure!(seen == host.ip(variant.family), "{seen}");
            Ok(())
        });
        settled.unwrap();
    }
}

fn write_node(world: &World, address: IpAddr) {
    let node = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: node1}}\n\
         status: {{addresses: [{{type: InternalIP, address: {address}}}]}}\n"
    );
    world.manifests.write_text("node1", &node).unwrap();
}
