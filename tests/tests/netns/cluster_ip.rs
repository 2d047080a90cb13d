//! A pod reaches a Service by its ClusterIP, and the endpoint sees the pod itself.

use harness::{
    topology::Host,
    traffic::Client,
    world::{Variant, World, shared},
};

for_each_variant!(
    a_pod_reaches_an_endpoint_on_its_own_node,
    a_pod_reaches_an_endpoint_on_another_node,
    every_endpoint_gets_its_turn
);

fn a_pod_reaches_an_endpoint_on_its_own_node(variant: Variant) {
    let world = shared();
    let [node, _] = &world.topology.nodes;
    reaches(&world, variant, &node.pods[2], &node.pods[0]);
}

fn a_pod_reaches_an_endpoint_on_another_node(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    reaches(&world, variant, &one.pods[2], &two.pods[0]);
}

fn reaches(world: &World, variant: Variant, client: &Host, endpoint: &Host) {
    let service = world.publish(variant, &[endpoint]).unwrap();
    let answer = Client::new(&client.ns)
        .ask(variant.protocol, service.vip())
        .unwrap();
    assert_eq!(answer.server, endpoint.name);
    assert_eq!(
        answer.client.ip(),
        client.ip(variant.family),
        "a pod is never masqueraded on its way to a ClusterIP"
    );
}

fn every_endpoint_gets_its_turn(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let endpoints = [&one.pods[0], &one.pods[1], &two.pods[0]];
    let service = world.publish(variant, &endpoints).unwrap();
    let client = Client::new(&two.pods[2].ns);
    let mut missing: Vec<&str> = endpoints.iter().map(|pod| pod.name.as_str()).collect();
    // Each try misses a given endpoint with probability 2/3: all 150 miss it once in 10^26 runs.
    for _ in 0..150 {
        let answer = client.ask(variant.protocol, service.vip()).unwrap();
        missing.retain(|name| *name != answer.server);
        if missing.is_empty() {
            return;
        }
    }
    panic!("never chosen: {missing:?}");
}
