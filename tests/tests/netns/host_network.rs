//! Endpoints that are processes of the nodes themselves.

use harness::world::{Variant, shared};

for_each_variant!(
    a_pod_reaches_a_process_of_its_own_node_and_of_another,
    the_client_outside_reaches_a_process_of_the_node_it_asks_and_of_another,
);

fn a_pod_reaches_a_process_of_its_own_node_and_of_another(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let pod = &one.pods[2];
    // As below: at the other node the answer has to come back through this one.
    for (endpoint, by_node_port) in [(&one.host, pod), (&two.host, &one.host)] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let ways = [(service.vip(), pod), (service.node_port(&one.host), by_node_port)];
        for (target, seen) in ways {
            let source = crate::seen_by(endpoint, variant, pod, target);
            assert_eq!(source, seen.ip(variant.family), "{} at {target}", endpoint.name);
        }
    }
}

fn the_client_outside_reaches_a_process_of_the_node_it_asks_and_of_another(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let client = &world.topology.client;
    // What does not leave the node is not masqueraded: nobody could answer past it.
    for (endpoint, seen) in [(&one.host, client), (&two.host, &one.host)] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let source = crate::seen_by(endpoint, variant, client, service.node_port(&one.host));
        assert_eq!(source, seen.ip(variant.family));
    }
}
