//! How long flows live, what keeps them, and where their clients go afterwards.

use harness::bpf::{ACK, ClusterIp, FIN, Hook, Packet, RST};
use proxy_agent::model::{Protocol, TrafficPolicy};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene, Trip},
};

for_each_variant!(
    an_unanswered_flow_is_forgotten_once_it_is_idle_for_too_long,
    an_answered_flow_is_forgotten_once_it_is_idle_for_too_long,
    an_idle_flow_to_a_node_port_of_policy_local_goes_on,
    one_protocol_of_a_port_without_endpoints_leaves_the_other_alone,
);

for_each_tcp!(
    a_retransmitted_syn_stays_with_its_endpoint_while_the_list_changes,
    a_half_closed_flow_is_forgotten_after_an_hour,
    a_closed_flow_is_forgotten_after_two_minutes,
    a_connection_on_the_tuple_of_a_closed_one_lives_as_long_as_any,
    a_reset_flow_is_forgotten_after_ten_seconds_unless_it_goes_on,
    after_a_close_the_clients_port_goes_to_an_endpoint_that_is_left,
    a_connection_whose_syn_left_before_the_program_was_there_stays_as_it_began,
);

const HOUR: u32 = 3_600;
/// For a machine that is slow between ageing and sending.
const SLACK: u32 = 10;

fn opening(variant: Variant) -> Packet {
    variant.opening(variant.client(1, EPHEMERAL), variant.vip(1))
}

/// Makes both entries of an unmasqueraded flow look as if it had been idle for so long.
fn age(scene: &mut Scene, trip: &Trip, request: &Packet, seconds: u32) {
    for (hook, packet) in trip.entries(request).iter().take(2) {
        scene.age(*hook, packet, seconds);
    }
}

/// Whether a packet in the middle of the flow still goes to its endpoint.
fn goes_on(scene: &mut Scene, trip: &Trip, request: &Packet) -> bool {
    scene.send(Hook::Ingress, request).destination == trip.inside.destination
}

/// The flow lives a while short of `timeout`, and no longer than that: a request that opens nothing is then nobody's, one that does
/// opens another flow.
fn lives_for(scene: &mut Scene, trip: &Trip, request: &Packet, timeout: u32) {
    let opened = scene.count(Counter::FlowsOpened);
    age(scene, trip, request, timeout - SLACK);
    assert!(goes_on(scene, trip, request), "{SLACK} s before its time");
    assert_eq!(scene.count(Counter::FlowsOpened), opened);
    age(scene, trip, request, timeout + 1);
    let went_on = goes_on(scene, trip, request);
    let opened_again = scene.count(Counter::FlowsOpened) > opened;
    assert!(!went_on || opened_again, "beyond its time");
}

fn an_unanswered_flow_is_forgotten_once_it_is_idle_for_too_long(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let trip = scene.request(&opening(variant));
    let request = opening(variant).flags(ACK);
    lives_for(&mut scene, &trip, &request, variant.unanswered_timeout());
}

fn an_answered_flow_is_forgotten_once_it_is_idle_for_too_long(variant: Variant) {
    let timeout = match variant.protocol {
        Protocol::Tcp => 24 * HOUR,
        _ => 120,
    };
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let trip = scene.round_trip(&opening(variant));
    let request = opening(variant).flags(ACK);
    lives_for(&mut scene, &trip, &request, timeout);
}

fn a_half_closed_flow_is_forgotten_after_an_hour(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let trip = scene.round_trip(&opening(variant));
    scene.reply(&trip.arrived.answer().flags(FIN | ACK));
    lives_for(&mut scene, &trip, &opening(variant).flags(ACK), HOUR);
}

fn a_closed_flow_is_forgotten_after_two_minutes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let trip = scene.round_trip(&opening(variant));
    scene.request(&opening(variant).flags(FIN | ACK));
    scene.reply(&trip.arrived.answer().flags(FIN | ACK));
    lives_for(&mut scene, &trip, &opening(variant).flags(ACK), 120);
}

fn a_connection_on_the_tuple_of_a_closed_one_lives_as_long_as_any(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    for _ in 0..2 {
        let trip = scene.round_trip(&opening(variant));
        let request = opening(variant).flags(ACK);
        age(&mut scene, &trip, &request, 24 * HOUR - SLACK);
        assert!(goes_on(&mut scene, &trip, &request));
        scene.request(&opening(variant).flags(FIN | ACK));
        scene.reply(&trip.arrived.answer().flags(FIN | ACK));
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 2);
}

fn a_reset_flow_is_forgotten_after_ten_seconds_unless_it_goes_on(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let trip = scene.round_trip(&opening(variant));
    let (request, reset) = (opening(variant).flags(ACK), trip.arrived.answer().flags(RST));
    scene.reply(&reset);
    assert!(goes_on(&mut scene, &trip, &request), "the reset was none");
    age(&mut scene, &trip, &request, HOUR);
    assert!(goes_on(&mut scene, &trip, &request), "it is taken back");
    scene.reply(&reset);
    age(&mut scene, &trip, &request, 11);
    assert!(!goes_on(&mut scene, &trip, &request));
}

fn an_idle_flow_to_a_node_port_of_policy_local_goes_on(variant: Variant) {
    let local = ClusterIp {
        here: vec![variant.endpoint(1)],
        edit: |service| service.external_traffic_policy = TrafficPolicy::Local,
        ..variant.node_port_service([1])
    };
    let mut scene = Scene::with_pods(variant, &[local]);
    let opening = variant.opening(variant.outsider(1, EPHEMERAL), variant.node_port());
    let trip = scene.round_trip(&opening);
    let request = opening.flags(ACK);
    let pause = match variant.protocol {
        Protocol::Tcp => 24 * HOUR - SLACK,
        _ => 120 - SLACK,
    };
    for _ in 0..3 {
        age(&mut scene, &trip, &request, pause);
        assert!(goes_on(&mut scene, &trip, &request));
        // The endpoint speaks first after the next pause.
        age(&mut scene, &trip, &request, pause);
        let answer = trip.arrived.answer().flags(ACK);
        assert_eq!(scene.reply(&answer).arrived, request.answer());
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
}

fn one_protocol_of_a_port_without_endpoints_leaves_the_other_alone(variant: Variant) {
    let protocol = match variant.protocol {
        Protocol::Tcp => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    let other = Variant { protocol, ..variant };
    let empty = ClusterIp {
        name: "other",
        ..other.service([])
    };
    let mut scene = Scene::new(variant, &[variant.service([1]), empty]);
    scene.round_trip(&opening(variant));
    scene.answer(&opening(other));
    scene.round_trip(&opening(variant).flags(ACK));
    scene.apply(&[variant.service([])]);
    assert_eq!(
        scene.send(Hook::Ingress, &opening(other)),
        opening(other),
        "no Service of this protocol is left"
    );
}

fn a_retransmitted_syn_stays_with_its_endpoint_while_the_list_changes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    let first = scene.request(&opening(variant));
    let picked = (1..=8).find(|number| variant.target(*number) == first.arrived.destination);
    for last in 9..=30 {
        scene.apply(&[variant.service(picked.into_iter().chain(9..=last))]);
        assert_eq!(scene.request(&opening(variant)), first);
    }
    let answer = scene.reply(&first.arrived.answer());
    assert_eq!(answer.arrived, opening(variant).answer());
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
}

fn after_a_close_the_clients_port_goes_to_an_endpoint_that_is_left(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    for (left, is_reset) in (2..=9).zip([false, true].into_iter().cycle()) {
        let arrived = scene.round_trip(&opening(variant)).arrived;
        if is_reset {
            scene.reply(&arrived.answer().flags(RST));
        } else {
            scene.request(&opening(variant).flags(FIN | ACK));
            scene.reply(&arrived.answer().flags(FIN | ACK));
        }
        scene.apply(&[variant.service([left])]);
        let anew = scene.round_trip(&opening(variant));
        assert_eq!(anew.arrived.destination, variant.target(left));
    }
}

fn a_connection_whose_syn_left_before_the_program_was_there_stays_as_it_began(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let syn = || variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    scene.send(Hook::Ingress, &syn());
    let inside = scene.send(Hook::Ingress, &syn().flags(ACK));
    assert_eq!(scene.send(Hook::Egress, &inside), inside);
    let inside = scene.send(Hook::Ingress, &syn());
    let arrived = scene.send(Hook::Egress, &inside);
    assert_eq!(arrived.source.ip(), variant.node(), "it has not begun");
}
