//! No UDP flow outlives its endpoint: there is no connection that would break, and nobody who would notice and try again.

use harness::bpf::{Hook, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_udp!(
    a_flow_goes_elsewhere_once_its_endpoint_is_gone,
    a_masqueraded_flow_goes_elsewhere_once_its_endpoint_is_gone,
    a_flow_stays_while_its_endpoint_is_in_the_list,
    after_its_service_a_flow_passes_untouched_and_comes_back_with_it,
    a_flow_of_a_service_that_loses_all_endpoints_is_refused_until_there_is_one,
);

fn request(variant: Variant) -> Packet {
    variant.opening(variant.client(1, EPHEMERAL), variant.vip(1))
}

fn a_flow_goes_elsewhere_once_its_endpoint_is_gone(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    for number in 2..=9 {
        scene.round_trip(&request(variant));
        scene.apply(&[variant.service([number])]);
        assert_eq!(
            scene.round_trip(&request(variant)).arrived.destination,
            variant.target(number)
        );
    }
    assert_eq!(scene.count(Counter::FlowsRebalanced), 8);
}

fn a_masqueraded_flow_goes_elsewhere_once_its_endpoint_is_gone(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    scene.round_trip(&request);
    scene.apply(&[variant.node_port_service([2])]);
    let arrived = scene.round_trip(&request).arrived;
    assert_eq!(arrived.destination, variant.target(2));
    assert_eq!(arrived.source.ip(), variant.node());
}

fn a_flow_stays_while_its_endpoint_is_in_the_list(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    let first = scene.round_trip(&request(variant));
    for others in 9..=16 {
        let kept = (1..=8).find(|number| variant.target(*number) == first.arrived.destination);
        scene.apply(&[variant.service(kept.into_iter().chain(9..=others))]);
        assert_eq!(scene.round_trip(&request(variant)), first);
    }
    assert_eq!(scene.counted(), [("flows_opened", 1)]);
}

fn after_its_service_a_flow_passes_untouched_and_comes_back_with_it(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let first = scene.round_trip(&request(variant));
    scene.apply(&[]);
    for _ in 0..3 {
        assert_eq!(scene.send(Hook::Ingress, &request(variant)), request(variant));
    }
    scene.apply(&[variant.service([1])]);
    assert_eq!(scene.round_trip(&request(variant)), first);
}

fn a_flow_of_a_service_that_loses_all_endpoints_is_refused_until_there_is_one(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    scene.round_trip(&request(variant));
    scene.apply(&[variant.service([])]);
    scene.answer(&request(variant));
    assert_eq!(scene.count(Counter::Refused), 1);
    scene.apply(&[variant.service([2])]);
    assert_eq!(
        scene.round_trip(&request(variant)).arrived.destination,
        variant.target(2)
    );
}
