//! Session affinity of sockets.

use std::collections::BTreeSet;

use harness::{
    topology::Host,
    world::{Variant, shared_with_sockets},
};
use proxy_agent::model::Protocol;

use super::{answerer, exchange, unconnected};

for_each_variant!(
    all_sockets_of_the_node_keep_the_endpoint_of_the_first_one,
    all_sockets_of_a_pod_keep_the_endpoint_of_the_first_one,
);

/// By chance all would go to one of three endpoints once in 3^23.
const ASKS: usize = 24;

fn all_sockets_of_the_node_keep_the_endpoint_of_the_first_one(variant: Variant) {
    keeps_its_endpoint(variant, |world| &world.topology.nodes[0].host);
}

fn all_sockets_of_a_pod_keep_the_endpoint_of_the_first_one(variant: Variant) {
    keeps_its_endpoint(variant, |world| &world.topology.nodes[0].pods[2]);
}

fn keeps_its_endpoint(variant: Variant, client: impl Fn(&harness::world::World) -> &Host) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_edited(variant, &[&one.pods[0], &one.pods[1], &two.pods[0]], |service| {
        service.spec.push("sessionAffinity: ClientIP".to_owned());
    });
    let service = service.unwrap();
    world.agents[0].wait_for(&service.service).unwrap();
    let client = client(&world);
    let connected = (0..ASKS).map(|_| answerer(variant, client, service.vip()));
    let mut met: BTreeSet<String> = connected.collect();
    if variant.protocol == Protocol::Udp {
        let datagrams = (0..ASKS).map(|_| {
            exchange(&unconnected(client, variant.family), service.vip())
                .unwrap()
                .0
        });
        met.extend(datagrams);
    }
    assert_eq!(met.len(), 1, "{met:?}");
}
