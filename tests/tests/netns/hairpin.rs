//! A pod that is the endpoint of the Service it asks.

use harness::{
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(
    a_pod_reaches_itself_through_the_cluster_ip_and_sees_its_node,
    a_pod_reaches_itself_through_a_node_port_and_sees_its_node,
);

fn a_pod_reaches_itself_through_the_cluster_ip_and_sees_its_node(variant: Variant) {
    let world = shared();
    let node = &world.topology.nodes[0];
    let pod = &node.pods[0];
    let service = world.publish(variant, &[pod]).unwrap();
    let answer = Client::new(&pod.ns).ask(variant.protocol, service.vip()).unwrap();
    assert_eq!(answer.server, pod.name);
    // Would it see its own address, it would answer itself instead of the node.
    assert_eq!(answer.client.ip(), node.host.ip(variant.family));
}

fn a_pod_reaches_itself_through_a_node_port_and_sees_its_node(variant: Variant) {
    let world = shared();
    let node = &world.topology.nodes[0];
    let pod = &node.pods[0];
    let service = world.publish(variant, &[pod]).unwrap();
    let answer = Client::new(&pod.ns)
        .ask(variant.protocol, service.node_port(&node.host))
        .unwrap();
    assert_eq!(
        (answer.server.as_str(), answer.client.ip()),
        (pod.name.as_str(), node.host.ip(variant.family))
    );
}
