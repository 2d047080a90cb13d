//! Packets in fragments: the first one is translated like any packet, and the others follow it.

use harness::bpf::{Hook, Outcome, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    pieces::{carried_at, fragment, fragments, whole},
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(
    all_fragments_of_requests_and_replies_go_where_the_first_one_goes,
    an_early_fragment_waits_for_the_first_one,
    fragments_of_foreign_packets_pass,
);
for_each_variant!(
    what_overlaps_the_first_fragment_goes_where_it_goes,
    what_was_known_of_a_packet_half_a_minute_ago_is_not_used,
    fragments_of_a_refused_packet_are_dropped,
    a_fragment_that_waited_is_sent_once,
    fragments_of_foreign_packets_to_an_address_that_is_waited_for_pass,
    no_more_than_eight_fragments_of_a_packet_wait,
);
for_each_tcp!(a_first_fragment_without_a_whole_transport_header_passes_with_all_others);

/// Bytes of each fragment.
const EACH: usize = 48;

fn request(variant: Variant, to_node_port: bool) -> Packet {
    let to = if to_node_port {
        variant.node_port()
    } else {
        variant.vip(1)
    };
    Packet {
        payload: (0..=250).collect(),
        ..variant.opening(variant.client(1, EPHEMERAL + u16::from(to_node_port)), to)
    }
}

/// Sends them one after another; what goes on.
fn send(scene: &mut Scene, hook: Hook, fragments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    fragments
        .iter()
        .map(|bytes| match scene.send_bytes(hook, bytes).unwrap() {
            Outcome::Next(bytes) => bytes,
            other => panic!("{hook:?}: {other:?}, {:?}", scene.counted()),
        })
        .collect()
}

/// Sends a packet in fragments through the hook.
fn through(scene: &mut Scene, variant: Variant, hook: Hook, packet: &Packet) -> Packet {
    let sent = send(scene, hook, &fragments(variant, packet, EACH));
    whole(variant, &sent)
}

fn all_fragments_of_requests_and_replies_go_where_the_first_one_goes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    for to_node_port in [false, true] {
        let request = request(variant, to_node_port);
        let inside = through(&mut scene, variant, Hook::Ingress, &request);
        assert_eq!(inside, request.to(variant.target(1)));
        let arrived = through(&mut scene, variant, Hook::Egress, &inside);
        assert_eq!(arrived, inside.from(arrived.source));
        assert_eq!(arrived.source.ip() == variant.node(), to_node_port);
        let inside = through(&mut scene, variant, Hook::Ingress, &arrived.answer());
        assert_eq!(inside, arrived.answer().to(request.source));
        let answer = through(&mut scene, variant, Hook::Egress, &inside);
        assert_eq!(answer, request.answer());
    }
    // Requests to the ClusterIP at egress, and their replies at ingress, are nothing that a hook changes.
    let passed = 2 * (fragments(variant, &request(variant, false), EACH).len() - 1);
    assert_eq!(scene.count(Counter::Fragment), passed as u64);
}

#[track_caller]
fn pass(scene: &mut Scene, hook: Hook, fragments: &[Vec<u8>]) {
    assert_eq!(send(scene, hook, fragments), fragments);
}

fn fragments_of_foreign_packets_pass(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let foreign = request(variant, false).to(variant.client(2, 80));
    for hook in [Hook::Ingress, Hook::Egress] {
        pass(&mut scene, hook, &fragments(variant, &foreign, EACH));
    }
    assert_eq!(scene.datagrams(), 0, "nothing is noted about them");
    assert_eq!(scene.count(Counter::FragmentsHeld), 0);
}

/// Whose bytes count is the endpoint's business.
fn what_overlaps_the_first_fragment_goes_where_it_goes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = request(variant, false);
    let inside = request.to(variant.target(1));
    let overlapping = |packet: &Packet| {
        let bytes = packet.bytes(variant.layer);
        let headers = &bytes[..carried_at(variant, &bytes)];
        fragment(variant, headers, 1, true, &[0xff; 16])
    };
    let pieces = fragments(variant, &request, EACH);
    let mut sent = send(&mut scene, Hook::Ingress, &pieces[..1]);
    assert_eq!(
        send(&mut scene, Hook::Ingress, &[overlapping(&request)]),
        [overlapping(&inside)]
    );
    sent.extend(send(&mut scene, Hook::Ingress, &pieces[1..]));
    assert_eq!(whole(variant, &sent), inside);
}

fn what_was_known_of_a_packet_half_a_minute_ago_is_not_used(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let pieces = fragments(variant, &request(variant, false), EACH);
    send(&mut scene, Hook::Ingress, &pieces[..1]);
    scene.age_fragments(29);
    assert_ne!(send(&mut scene, Hook::Ingress, &pieces[1..2]), pieces[1..2]);
    scene.age_fragments(3);
    let outcome = scene.send_bytes(Hook::Ingress, &pieces[2]).unwrap();
    assert_eq!(
        outcome,
        Outcome::Dropped,
        "it is one of another packet, and waits"
    );
    assert_eq!(scene.count(Counter::FragmentsHeld), 1);
}

fn fragments_of_a_refused_packet_are_dropped(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let pieces = fragments(variant, &request(variant, false), EACH);
    let refused = scene.send_bytes(Hook::Ingress, &pieces[0]).unwrap();
    assert!(matches!(refused, Outcome::Redirected(_)), "{refused:?}");
    for piece in &pieces[1..] {
        assert_eq!(scene.send_bytes(Hook::Ingress, piece).unwrap(), Outcome::Dropped);
    }
    let dropped = u64::try_from(pieces.len() - 1).unwrap();
    assert_eq!(scene.count(Counter::FragmentOfDropped), dropped);
}

/// What is sent again goes to the loopback device of the test's network namespace.
fn raise_loopback() {
    let mut ip = std::process::Command::new("ip");
    harness::exec::output(ip.args(["link", "set", "lo", "up"])).unwrap();
}

/// A scene in which fragments to virtual IP 1 have come for a while.
fn used_to_fragments(variant: Variant) -> (Scene, Vec<Vec<u8>>) {
    raise_loopback();
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = request(variant, false);
    let inside = through(&mut scene, variant, Hook::Ingress, &request);
    through(&mut scene, variant, Hook::Egress, &inside);
    let reply = through(&mut scene, variant, Hook::Ingress, &inside.answer());
    through(&mut scene, variant, Hook::Egress, &reply);
    scene.age_fragments(60);
    (scene, fragments(variant, &request, EACH))
}

fn an_early_fragment_waits_for_the_first_one(variant: Variant) {
    let (mut scene, pieces) = used_to_fragments(variant);
    let replies = fragments(
        variant,
        &request(variant, false).to(variant.target(1)).answer(),
        EACH,
    );
    for (hook, pieces, count) in [(Hook::Ingress, pieces, 1), (Hook::Egress, replies, 2)] {
        let early = scene.send_bytes(hook, &pieces[1]).unwrap();
        assert_eq!(early, Outcome::Dropped, "{hook:?}");
        assert_eq!(scene.count(Counter::FragmentsHeld), count);
        let mut sent = send(&mut scene, hook, &pieces[..1]);
        assert_eq!(scene.count(Counter::FragmentsReleased), count, "{hook:?}");
        // What was sent again comes back to the hook, and goes on from there.
        sent.extend(send(&mut scene, hook, &pieces[1..]));
        whole(variant, &sent);
        assert_ne!(sent[0], pieces[0]);
    }
}

fn a_fragment_that_waited_is_sent_once(variant: Variant) {
    let (mut scene, pieces) = used_to_fragments(variant);
    assert_eq!(
        scene.send_bytes(Hook::Ingress, &pieces[1]).unwrap(),
        Outcome::Dropped
    );
    send(&mut scene, Hook::Ingress, &pieces[..1]);
    assert_eq!(scene.count(Counter::FragmentsReleased), 1);
    // The place is free again.
    send(&mut scene, Hook::Ingress, &pieces[..1]);
    assert_eq!(scene.count(Counter::FragmentsReleased), 1);
}

fn fragments_of_foreign_packets_to_an_address_that_is_waited_for_pass(variant: Variant) {
    let (mut scene, _) = used_to_fragments(variant);
    let mut foreign = request(variant, false);
    foreign.destination.set_port(81);
    pass(&mut scene, Hook::Ingress, &fragments(variant, &foreign, EACH));
    assert_eq!(scene.count(Counter::FragmentsHeld), 0);
}

fn no_more_than_eight_fragments_of_a_packet_wait(variant: Variant) {
    let (mut scene, _) = used_to_fragments(variant);
    let pieces = fragments(variant, &request(variant, false), 16);
    for piece in &pieces[1..9] {
        assert_eq!(scene.send_bytes(Hook::Ingress, piece).unwrap(), Outcome::Dropped);
    }
    pass(&mut scene, Hook::Ingress, &pieces[9..10]);
    assert_eq!(scene.count(Counter::FragmentsHeld), 8);
    send(&mut scene, Hook::Ingress, &pieces[..1]);
    assert_eq!(scene.count(Counter::FragmentsReleased), 8);
}

fn a_first_fragment_without_a_whole_transport_header_passes_with_all_others(variant: Variant) {
    let (mut scene, _) = used_to_fragments(variant);
    let bytes = request(variant, false).bytes(variant.layer);
    let (headers, carried) = bytes.split_at(carried_at(variant, &bytes));
    let pieces = [
        fragment(variant, headers, 0, true, &carried[..16]),
        fragment(variant, headers, 2, false, &carried[16..]),
    ];
    pass(&mut scene, Hook::Ingress, &pieces);
    assert_eq!(scene.count(Counter::FragmentsHeld), 0);
}
