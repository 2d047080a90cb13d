//! The tables throw entries away when they are full, one at a time: what is left of a flow brings the rest back.

use harness::bpf::{ACK, Hook, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant!(
    any_entry_of_a_flow_comes_back_with_the_next_packet_of_the_other_direction,
    any_entry_of_a_masqueraded_flow_comes_back_with_the_next_packet_of_the_other_direction,
    packets_within_a_second_do_not_write_the_other_entry,
);

for_each_udp!(a_masqueraded_flow_that_is_opened_again_keeps_its_source);

fn any_entry_of_a_flow_comes_back_with_the_next_packet_of_the_other_direction(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    check(&mut scene, &request, 1);
    assert_eq!(
        scene.counted(),
        [(Counter::FlowsOpened.name(), 1), (Counter::FlowsHealed.name(), 2)]
    );
}

fn any_entry_of_a_masqueraded_flow_comes_back_with_the_next_packet_of_the_other_direction(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service(1..=8)]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    check(&mut scene, &request, 2);
    assert_eq!(scene.count(Counter::FlowsHealed), 4);
    assert_eq!(
        (
            scene.count(Counter::FlowsOpened),
            scene.count(Counter::FlowsMasqueraded)
        ),
        (1, 1)
    );
}

/// Loses each entry of the first bindings of a flow, and has its twin bring it back.
fn check(scene: &mut Scene, opening: &Packet, how_many: usize) {
    scene.round_trip(opening);
    let request = opening.flags(ACK);
    let trip = scene.round_trip(&request);
    for binding in trip.entries(&request).chunks(2).take(how_many) {
        for (lost, kept) in [(0, 1), (1, 0)] {
            let [lost, kept] = [lost, kept].map(|index| binding[index].clone());
            scene.evict(lost.0, &lost.1);
            scene.age(kept.0, &kept.1, 2);
            scene.send(kept.0, &kept.1);
            assert!(scene.has_flow(lost.0, &lost.1), "{:?} has no entry again", lost.0);
            assert_eq!(scene.round_trip(&request), trip);
        }
    }
}

fn packets_within_a_second_do_not_write_the_other_entry(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let opening = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    scene.round_trip(&opening);
    let request = opening.flags(ACK);
    let inside = scene.round_trip(&request).inside;
    // A second may end between two packets, but not between each of these pairs.
    let is_left_alone = (0..5).any(|_| {
        scene.send(Hook::Ingress, &request);
        scene.evict(Hook::Egress, &inside.answer());
        scene.send(Hook::Ingress, &request);
        let is_gone = !scene.has_flow(Hook::Egress, &inside.answer());
        scene.age(Hook::Ingress, &request, 2);
        scene.send(Hook::Ingress, &request);
        is_gone
    });
    assert!(is_left_alone, "each packet writes both tables");
}

fn a_masqueraded_flow_that_is_opened_again_keeps_its_source(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    let first = scene.round_trip(&request);
    scene.evict(Hook::Ingress, &request);
    assert_eq!(scene.round_trip(&request), first);
    assert_eq!(scene.count(Counter::FlowsMasqueraded), 1);
}
