//! One client port, one endpoint, two ways there: the replies look alike unless one of the flows gets another port.

use harness::bpf::{ACK, ClusterIp, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, POOL, Scene},
};

for_each_variant_and_layer!(two_virtual_ips_with_one_endpoint_are_told_apart);
for_each_variant_and_layer!(a_direct_flow_and_one_of_a_service_are_told_apart);
for_each_variant!(a_virtual_ip_and_a_node_port_with_one_endpoint_are_told_apart);

fn two_virtual_ips_with_one_endpoint_are_told_apart(variant: Variant) {
    let other = ClusterIp {
        name: "other",
        address: variant.vip(2),
        ..variant.service([1])
    };
    let mut scene = Scene::new(variant, &[variant.service([1]), other]);
    let client = variant.client(1, EPHEMERAL);
    let requests = [1, 2].map(|number| variant.opening(client, variant.vip(number)));

    let ports = opened(&mut scene, &requests);
    assert_eq!(ports[0], EPHEMERAL, "the first flow keeps its port");
    assert!(POOL.iter().any(|range| range.contains(&ports[1])), "{ports:?}");
    assert_eq!(
        scene.counted(),
        [("flows_opened", 2), ("source_ports_changed", 1)]
    );
}

fn a_direct_flow_and_one_of_a_service_are_told_apart(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let client = variant.client(1, EPHEMERAL);
    let requests = [variant.vip(1), variant.target(1)].map(|address| variant.opening(client, address));
    let ports = opened(&mut scene, &requests);
    assert_eq!(ports[0], EPHEMERAL, "the Service's flow keeps its port");
    assert_eq!(
        scene.counted(),
        [("flows_opened", 1), ("source_ports_changed", 1)]
    );
}

fn a_virtual_ip_and_a_node_port_with_one_endpoint_are_told_apart(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let client = variant.client(1, EPHEMERAL);
    let requests = [variant.vip(1), variant.node_port()].map(|address| variant.opening(client, address));
    opened(&mut scene, &requests);
    assert_eq!(scene.count(Counter::SourcePortsChanged), 1);
    assert_eq!(scene.count(Counter::FlowsMasqueraded), 1);
}

/// Opens both flows and sends more packets of both; the source ports that the node's stack sees, which differ.
fn opened(scene: &mut Scene, requests: &[Packet; 2]) -> [u16; 2] {
    let first = requests.clone().map(|request| scene.round_trip(&request));
    for _ in 0..3 {
        for (request, trip) in requests.iter().zip(&first) {
            let again = scene.round_trip(&request.flags(ACK));
            assert_eq!(again.inside, trip.inside.flags(ACK));
            assert_eq!(again.arrived, trip.arrived.flags(ACK));
        }
    }
    let ports = first.map(|trip| trip.inside.source.port());
    assert_ne!(ports[0], ports[1]);
    ports
}
