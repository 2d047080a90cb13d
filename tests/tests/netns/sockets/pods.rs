//! Where what clients ask for is translated: at their sockets, or on the devices that their packets pass.

use harness::world::{Variant, shared_with_sockets};

use super::{answerer, flows};

for_each_variant!(what_a_process_of_the_node_asks_for_is_translated_before_there_is_a_packet);
for_each_tcp!(a_connection_of_a_pod_is_translated_before_there_is_a_packet);
for_each_udp!(a_datagram_of_a_pod_is_translated_on_its_way);

fn what_a_process_of_the_node_asks_for_is_translated_before_there_is_a_packet(variant: Variant) {
    assert_eq!(flows_opened(variant, true), 0);
}

fn a_connection_of_a_pod_is_translated_before_there_is_a_packet(variant: Variant) {
    assert_eq!(flows_opened(variant, false), 0);
}

fn a_datagram_of_a_pod_is_translated_on_its_way(variant: Variant) {
    // Request and reply.
    assert_eq!(flows_opened(variant, false), 2);
}

/// Entries for the Service once a client, the node or a pod, has been answered.
fn flows_opened(variant: Variant, is_node: bool) -> usize {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let client = if is_node { &one.host } else { &one.pods[2] };
    assert_eq!(answerer(variant, client, service.vip()), two.pods[0].name);
    let opened = world.agents.iter().map(|agent| flows(agent, &service).len());
    opened.sum()
}
