//! NodePorts: reached from everywhere, and always masqueraded under policy Cluster.

use std::net::IpAddr;

use harness::{
    topology::{Host, Node},
    traffic::{Client, Conversation},
    world::{Variant, World, shared},
};

for_each_variant!(
    the_client_outside_reaches_an_endpoint_on_the_node_it_asks,
    the_client_outside_reaches_an_endpoint_on_the_other_node,
    a_pod_reaches_a_node_port_of_its_own_node,
    two_clients_with_one_source_port_do_not_meet,
);

fn the_client_outside_reaches_an_endpoint_on_the_node_it_asks(variant: Variant) {
    let world = shared();
    let [one, _] = &world.topology.nodes;
    reaches(&world, variant, &world.topology.client, one, &one.pods[0]);
}

fn the_client_outside_reaches_an_endpoint_on_the_other_node(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    reaches(&world, variant, &world.topology.client, one, &two.pods[0]);
}

fn a_pod_reaches_a_node_port_of_its_own_node(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        reaches(&world, variant, &one.pods[2], one, endpoint);
    }
}

fn reaches(world: &World, variant: Variant, client: &Host, node: &Node, endpoint: &Host) {
    let service = world.publish(variant, &[endpoint]).unwrap();
    let answer = Client::new(&client.ns)
        .ask(variant.protocol, service.node_port(&node.host))
        .unwrap();
    assert_eq!(answer.server, endpoint.name);
    assert_eq!(
        answer.client.ip(),
        node.host.ip(variant.family),
        "the reply must come back to the node"
    );
}

fn two_clients_with_one_source_port_do_not_meet(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let open = |host: &Host| {
        let client = Client::new(&host.ns).from_port(service.service.target_port);
        client
            .talk(variant.protocol, service.node_port(&one.host))
            .unwrap()
    };
    let mut talks: Vec<Conversation> = [&world.topology.client, &one.pods[2], &one.pods[1]]
        .map(open)
        .into();
    let mut seen: Vec<_> = talks
        .iter_mut()
        .map(|talk| talk.ask("who").unwrap().client)
        .collect();
    let expected: IpAddr = one.host.ip(variant.family);
    assert!(seen.iter().all(|client| client.ip() == expected), "{seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(
        seen.len(),
        3,
        "the server must be able to tell them apart: {seen:?}"
    );
}
