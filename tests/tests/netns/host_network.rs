//! Endpoints that are processes of the nodes themselves.

use harness::{
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(
    a_pod_reaches_a_process_of_its_own_node_and_of_another,
    the_client_outside_reaches_a_process_of_the_node_it_asks_and_of_another,
);

fn a_pod_reaches_a_process_of_its_own_node_and_of_another(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let pod = &one.pods[2];
    for endpoint in [&one.host, &two.host] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        for target in [service.vip(), service.node_port(&one.host)] {
            let answer = Client::new(&pod.ns).ask(variant.protocol, target);
            let answer = answer.unwrap_or_else(|error| panic!("{target} to {}: {error}", endpoint.name));
            assert_eq!(answer.server, endpoint.name);
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
        let answer = Client::new(&client.ns)
            .ask(variant.protocol, service.node_port(&one.host))
            .unwrap();
        assert_eq!(
            (answer.server.as_str(), answer.client.ip()),
            (endpoint.name.as_str(), seen.ip(variant.family))
        );
    }
}
