//! What is not Service traffic goes its way as if there were no agent.

use harness::{
    topology::Host,
    traffic::{Client, Role, Server},
    world::{Variant, shared},
};

for_each_variant!(
    a_node_reaches_its_pod_directly,
    a_pod_reaches_a_pod_directly,
    another_port_of_the_node_is_not_caught,
);

/// Outside of every range that a masquerade would pick from.
const SOURCE_PORT: u16 = 2345;

fn a_node_reaches_its_pod_directly(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    directly(variant, &one.host, &one.pods[0]);
    directly(variant, &one.host, &two.pods[0]);
}

fn a_pod_reaches_a_pod_directly(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    directly(variant, &one.pods[2], &one.pods[0]);
    directly(variant, &one.pods[2], &two.pods[0]);
}

/// Also while the pod is an endpoint.
fn directly(variant: Variant, client: &Host, pod: &Host) {
    let world = shared();
    let service = world.publish(variant, &[pod]).unwrap();
    let answer = Client::new(&client.ns)
        .from_port(SOURCE_PORT)
        .ask(variant.protocol, service.direct(pod))
        .unwrap();
    assert_eq!(
        (answer.server.as_str(), answer.client),
        (pod.name.as_str(), client.at(variant.family, SOURCE_PORT))
    );
}

fn another_port_of_the_node_is_not_caught(variant: Variant) {
    let world = shared();
    let [one, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&one.pods[0]]).unwrap();
    // The endpoint's port, which the Service does not have at the node.
    let beside = one.host.at(variant.family, service.service.target_port);
    let _server = Server::start(&one.host.ns, "daemon", Role::WhoAmI, variant.protocol, beside).unwrap();
    let answer = Client::new(&one.pods[2].ns)
        .ask(variant.protocol, beside)
        .unwrap();
    assert_eq!(
        (answer.server.as_str(), answer.client.ip()),
        ("daemon", one.pods[2].ip(variant.family))
    );
}
