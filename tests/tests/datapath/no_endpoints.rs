//! A Service that nobody serves.

use harness::bpf::{ACK, Hook};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant!(
    a_service_without_endpoints_is_dropped_and_counted,
    a_service_gets_its_first_endpoint_between_two_packets,
);

for_each_tcp!(a_segment_that_opens_nothing_passes);

fn a_service_without_endpoints_is_dropped_and_counted(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([])]);
    for (destination, drops) in [(variant.vip(1), 1), (variant.node_port(), 2)] {
        let request = variant.opening(variant.client(1, EPHEMERAL), destination);
        assert_eq!(scene.try_send(Hook::Ingress, &request), None);
        assert_eq!(scene.counted(), [(Counter::NoEndpoints.name(), drops)]);
    }
    assert_eq!(scene.flows(Hook::Ingress) + scene.flows(Hook::Egress), 0);
}

fn a_service_gets_its_first_endpoint_between_two_packets(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    assert_eq!(scene.try_send(Hook::Ingress, &request), None);
    scene.apply(&[variant.service([1])]);
    assert_eq!(scene.round_trip(&request).arrived, request.to(variant.target(1)));
}

fn a_segment_that_opens_nothing_passes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let segment = variant
        .opening(variant.client(1, EPHEMERAL), variant.vip(1))
        .flags(ACK);
    assert_eq!(scene.send(Hook::Ingress, &segment), segment);
    assert_eq!(scene.counted(), []);
}
