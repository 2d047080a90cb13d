//! Which segments open a flow, and what ends one.

use std::collections::BTreeSet;

use harness::bpf::{ACK, FIN, Hook, Packet, RST, SYN};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_tcp!(
    only_a_syn_opens_a_flow,
    a_retransmitted_syn_stays_with_its_endpoint,
    after_both_sides_have_said_fin_a_syn_picks_anew,
    after_one_fin_a_syn_stays_with_its_endpoint,
    after_a_reset_data_keeps_the_flow_and_a_syn_picks_anew,
    an_established_flow_outlives_its_endpoints_place_in_the_list,
    an_established_flow_outlives_its_service,
    a_connection_on_the_tuple_of_a_closed_one_may_be_idle_for_hours,
    a_masqueraded_connection_on_the_tuple_of_a_closed_one_may_be_idle_for_hours,
);

/// Picks among this many endpoints are all the same once in 8³⁹ runs.
const PICKS: usize = 40;

fn opening(variant: Variant) -> Packet {
    variant.opening(variant.client(1, EPHEMERAL), variant.vip(1))
}

/// A Service with eight endpoints, and an established flow.
fn established(variant: Variant) -> (Scene, Packet) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    scene.round_trip(&opening(variant));
    let arrived = scene.round_trip(&opening(variant).flags(ACK)).arrived;
    (scene, arrived)
}

fn only_a_syn_opens_a_flow(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    for flags in [
        0,
        ACK,
        SYN | ACK,
        FIN,
        FIN | ACK,
        RST,
        RST | ACK,
        SYN | RST,
        SYN | FIN,
    ] {
        let packet = opening(variant).flags(flags);
        assert_eq!(scene.send(Hook::Ingress, &packet), packet, "flags {flags:#04x}");
    }
    assert_eq!(scene.counted(), []);
    assert_eq!(scene.flows(Hook::Ingress) + scene.flows(Hook::Egress), 0);
}

fn a_retransmitted_syn_stays_with_its_endpoint(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    let first = scene.request(&opening(variant));
    for _ in 0..PICKS {
        assert_eq!(scene.request(&opening(variant)), first);
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
}

fn after_both_sides_have_said_fin_a_syn_picks_anew(variant: Variant) {
    let (mut scene, _) = established(variant);
    let mut seen = BTreeSet::new();
    for _ in 0..PICKS {
        let arrived = scene.round_trip(&opening(variant).flags(FIN | ACK)).arrived;
        scene.reply(&arrived.answer().flags(FIN | ACK));
        seen.insert(scene.round_trip(&opening(variant)).arrived.destination);
    }
    assert!(seen.len() > 1, "always {seen:?}");
    assert_eq!(scene.count(Counter::FlowsOpened), PICKS as u64 + 1);
}

fn after_one_fin_a_syn_stays_with_its_endpoint(variant: Variant) {
    let (mut scene, arrived) = established(variant);
    scene.reply(&arrived.answer().flags(FIN | ACK));
    for _ in 0..PICKS {
        assert_eq!(
            scene.request(&opening(variant)).arrived.destination,
            arrived.destination
        );
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
}

fn after_a_reset_data_keeps_the_flow_and_a_syn_picks_anew(variant: Variant) {
    let (mut scene, arrived) = established(variant);
    for _ in 0..PICKS {
        // An off-window reset: both sides go on talking.
        scene.reply(&arrived.answer().flags(RST));
        assert_eq!(scene.round_trip(&opening(variant).flags(ACK)).arrived, arrived);
        assert_eq!(
            scene.request(&opening(variant)).arrived,
            arrived.flags(SYN),
            "taken back by data"
        );
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
    let mut seen = BTreeSet::new();
    for _ in 0..PICKS {
        scene.request(&opening(variant).flags(RST));
        seen.insert(scene.round_trip(&opening(variant)).arrived.destination);
    }
    assert!(seen.len() > 1, "always {seen:?}");
}

fn an_established_flow_outlives_its_endpoints_place_in_the_list(variant: Variant) {
    let (mut scene, arrived) = established(variant);
    let others = (1..=8).filter(|number| variant.target(*number) != arrived.destination);
    scene.apply(&[variant.service(others)]);
    for _ in 0..3 {
        assert_eq!(scene.round_trip(&opening(variant).flags(ACK)).arrived, arrived);
    }
    scene.apply(&[variant.service([])]);
    assert_eq!(scene.round_trip(&opening(variant).flags(ACK)).arrived, arrived);
}

fn an_established_flow_outlives_its_service(variant: Variant) {
    let (mut scene, arrived) = established(variant);
    scene.apply(&[]);
    for _ in 0..3 {
        assert_eq!(scene.round_trip(&opening(variant).flags(ACK)).arrived, arrived);
    }
}

fn a_connection_on_the_tuple_of_a_closed_one_may_be_idle_for_hours(variant: Variant) {
    let scene = Scene::new(variant, &[variant.service([1])]);
    idle_after_reopening(scene, &opening(variant), 2);
}

fn a_masqueraded_connection_on_the_tuple_of_a_closed_one_may_be_idle_for_hours(variant: Variant) {
    let scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let opening = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    idle_after_reopening(scene, &opening, 4);
}

/// One connection is closed by both sides, and the client opens another from the same port.
fn idle_after_reopening(mut scene: Scene, opening: &Packet, entries: usize) {
    const HOURS: u32 = 4 * 3_600;
    let data = opening.flags(ACK);
    scene.round_trip(opening);
    let arrived = scene.request(&opening.flags(FIN | ACK)).arrived;
    scene.reply(&arrived.answer().flags(FIN | ACK));
    scene.round_trip(opening);
    let trip = scene.round_trip(&data);
    for (hook, packet) in trip.entries(&data).iter().take(entries) {
        scene.age(*hook, packet, HOURS);
    }
    assert_eq!(scene.round_trip(&data), trip);
}
