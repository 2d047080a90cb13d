//! The ports that masqueraded flows get: never one that would mix up two replies.

use std::{collections::BTreeSet, ops::RangeInclusive};

use harness::bpf::{Hook, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, NODE_PORT, Scene, TARGET_PORT},
};

for_each_variant!(
    four_ports_serve_four_flows_and_the_fifth_is_dropped_and_counted,
    ports_are_shared_by_flows_to_different_endpoints,
    the_port_of_an_expired_flow_is_taken_over,
    no_two_of_two_thousand_flows_share_a_reply,
    nine_tenths_of_the_ports_are_given_away_without_a_failure,
);

fn request(variant: Variant, client: u8) -> Packet {
    variant.opening(variant.client(client, EPHEMERAL), variant.node_port())
}

fn opened(scene: &mut Scene, request: &Packet) -> Option<Packet> {
    let inside = scene.send(Hook::Ingress, request);
    scene.try_send(Hook::Egress, &inside)
}

fn four_ports_serve_four_flows_and_the_fifth_is_dropped_and_counted(variant: Variant) {
    const FOUR: RangeInclusive<u16> = 5_000..=5_003;
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[FOUR]);
    let mut ports = BTreeSet::new();
    for client in 1..=4 {
        let arrived = opened(&mut scene, &request(variant, client)).expect("a port is free");
        ports.insert(arrived.source.port());
    }
    assert_eq!(ports, FOUR.collect());
    for client in 1..=4 {
        scene.round_trip(&request(variant, client));
    }
    let (before, fifth) = (scene.count(Counter::NoSourcePort), request(variant, 5));
    let inside = scene.send(Hook::Ingress, &fifth);
    assert_eq!(scene.try_send(Hook::Egress, &inside), None);
    assert_eq!(scene.count(Counter::NoSourcePort), before + 1);
    assert_eq!(scene.count(Counter::FlowsMasqueraded), 4);
}

fn ports_are_shared_by_flows_to_different_endpoints(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[5_000..=5_000]);
    let old = scene.round_trip(&request(variant, 1)).arrived;
    scene.apply(&[variant.node_port_service([2])]);
    let new = scene.round_trip(&request(variant, 2)).arrived;
    assert_eq!(old.source, new.source);
    assert_ne!(old.destination, new.destination);
}

fn the_port_of_an_expired_flow_is_taken_over(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[5_000..=5_000]);
    let [old, new] = [1, 2].map(|client| request(variant, client));
    let trip = scene.request(&old);
    let entries = trip.entries(&old);
    let age = |scene: &mut Scene, seconds| {
        for (hook, packet) in &entries {
            scene.age(*hook, packet, seconds);
        }
    };
    // A few seconds short, however slow this machine is.
    age(&mut scene, variant.unanswered_timeout() - 10);
    assert_eq!(opened(&mut scene, &new), None, "the owner is still alive");
    age(&mut scene, 11);
    assert_eq!(scene.round_trip(&new).arrived.source.port(), 5_000);
    assert_eq!(opened(&mut scene, &old), None, "the port has a new owner");
    scene.round_trip(&new);
}

fn nine_tenths_of_the_ports_are_given_away_without_a_failure(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[5_000..=5_999]);
    let mut sources = BTreeSet::new();
    for number in 0..900 {
        let client = variant.client(u8::try_from(number % 200).unwrap(), EPHEMERAL + number / 200);
        let arrived = opened(&mut scene, &variant.opening(client, variant.node_port()));
        let arrived = arrived.unwrap_or_else(|| panic!("flow {number} of 900 gets no port"));
        assert!(
            sources.insert(arrived.source),
            "{} has two owners",
            arrived.source
        );
    }
    assert_eq!(scene.count(Counter::NoSourcePort), 0);
}

fn no_two_of_two_thousand_flows_share_a_reply(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let mut sources = BTreeSet::new();
    for number in 0..2_000 {
        let client = variant.client(u8::try_from(number % 200).unwrap(), EPHEMERAL + number / 200);
        let arrived = scene
            .round_trip(&variant.opening(client, variant.node_port()))
            .arrived;
        assert_ne!(arrived.source.port(), NODE_PORT);
        assert_eq!(arrived.destination.port(), TARGET_PORT);
        assert!(
            sources.insert(arrived.source),
            "{} has two owners",
            arrived.source
        );
    }
    assert_eq!(scene.count(Counter::FlowsMasqueraded), 2_000);
}
