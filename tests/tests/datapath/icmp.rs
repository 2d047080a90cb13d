//! ICMP errors about flows: what each end gets is about the packet that it has sent itself, and from someone whom it knows.

use harness::bpf::{Hook, IcmpError, Layer, Outcome, Packet, Transport};
use proxy_agent::model::{Family, Protocol};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene, Trip},
};

for_each_variant_and_layer!(
    errors_about_requests_reach_the_client_as_errors_about_what_it_sent,
    errors_about_replies_reach_the_endpoint_as_errors_about_what_it_sent,
    errors_of_the_node_itself_are_about_what_the_packets_sender_sent,
    a_quote_of_any_length_is_translated_from_the_eighth_byte_of_its_transport_header_on,
);
for_each_variant!(
    an_error_is_no_sign_of_life,
    an_error_about_a_forgotten_flow_passes,
);
for_each_udp!(an_error_about_a_packet_without_checksum_gives_it_none);
for_each!([tcp = IPV4_TCP, udp = IPV4_UDP] an_error_about_the_first_fragment_is_translated);
for_each!([tcp = IPV4_TCP, udp = IPV4_UDP, l3 = L3_IPV4_TCP] ipv4_options_of_error_and_quote_are_stepped_over);

/// Quoted bytes: the kernel takes no test run that is shorter than an Ethernet and an IP header.
pub(crate) const SHORTEST: usize = 6;

/// Destination unreachable, too big, time exceeded, parameter problem.
pub(crate) const fn kinds(variant: Variant) -> &'static [[u8; 2]] {
    match variant.family {
        Family::V4 => &[[3, 0], [3, 3], [3, 4], [11, 0], [12, 0]],
        Family::V6 => &[[1, 0], [1, 4], [2, 0], [3, 0], [4, 0]],
    }
}

/// A flow through the ClusterIP, and a masqueraded one through the NodePort.
pub(crate) fn flows(scene: &mut Scene, variant: Variant) -> [(Packet, Trip); 2] {
    [variant.vip(1), variant.node_port()].map(|destination| {
        let request = variant.opening(variant.client(1, EPHEMERAL), destination);
        let trip = scene.round_trip(&request);
        (request, trip)
    })
}

pub(crate) fn scene(variant: Variant) -> Scene {
    Scene::new(variant, &[variant.node_port_service([1])])
}

/// Each kind of error about flows of both kinds.
fn each(variant: Variant, test: impl Fn(&mut Scene, [u8; 2], &Packet, &Trip)) {
    let mut scene = scene(variant);
    for (request, trip) in flows(&mut scene, variant) {
        for kind in kinds(variant) {
            test(&mut scene, *kind, &request, &trip);
        }
    }
}

/// Someone on the way, whose address is nobody's of the flow.
fn router(variant: Variant) -> std::net::IpAddr {
    variant.client(99, 0).ip()
}

#[track_caller]
fn becomes(scene: &mut Scene, hook: Hook, sent: &IcmpError, expected: &IcmpError) {
    becomes_with(scene, hook, sent, expected, &[]);
}

/// With `padding` behind the end of the IP packet, as short frames have it.
#[track_caller]
fn becomes_with(scene: &mut Scene, hook: Hook, sent: &IcmpError, expected: &IcmpError, padding: &[u8]) {
    let layer = scene.layer();
    let padded = |error: &IcmpError| [&error.bytes(layer), padding].concat();
    let outcome = scene.send_bytes(hook, &padded(sent)).unwrap();
    assert_eq!(
        outcome,
        Outcome::Next(padded(expected)),
        "{hook:?}, {sent:?}, {expected:?}, {padding:?}"
    );
}

fn errors_about_requests_reach_the_client_as_errors_about_what_it_sent(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let (endpoint, vip) = (trip.arrived.destination.ip(), request.destination.ip());
        for (sender, seen_as) in [(endpoint, vip), (router(variant), router(variant))] {
            let sent = IcmpError::new(kind, sender, &trip.arrived);
            let inside = IcmpError::new(kind, sender, &trip.inside);
            becomes(scene, Hook::Ingress, &sent, &inside);
            becomes(
                scene,
                Hook::Egress,
                &inside,
                &IcmpError::new(kind, seen_as, request),
            );
        }
    });
}

fn errors_about_replies_reach_the_endpoint_as_errors_about_what_it_sent(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let (client, seen) = (request.source.ip(), trip.arrived.source.ip());
        for (sender, seen_as) in [(client, seen), (router(variant), router(variant))] {
            let sent = IcmpError::new(kind, sender, &request.answer());
            let inside = IcmpError::new(kind, sender, &trip.inside.answer());
            becomes(scene, Hook::Ingress, &sent, &inside);
            let arrived = IcmpError::new(kind, seen_as, &trip.arrived.answer());
            becomes(scene, Hook::Egress, &inside, &arrived);
        }
    });
}

/// What the node can't forward it has seen between the hooks, so that it complains about that.
fn errors_of_the_node_itself_are_about_what_the_packets_sender_sent(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let before = scene.count(Counter::IcmpErrorsTranslated);
        let node = router(variant);
        let to_client = IcmpError::new(kind, node, &trip.inside);
        becomes(
            scene,
            Hook::Egress,
            &to_client,
            &IcmpError::new(kind, node, request),
        );
        let to_endpoint = IcmpError::new(kind, node, &trip.inside.answer());
        let expected = IcmpError::new(kind, node, &trip.arrived.answer());
        becomes(scene, Hook::Egress, &to_endpoint, &expected);
        let translated = if trip.arrived == trip.inside { 1 } else { 2 };
        assert_eq!(scene.count(Counter::IcmpErrorsTranslated), before + translated);
    });
}

fn a_quote_of_any_length_is_translated_from_the_eighth_byte_of_its_transport_header_on(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let whole = IcmpError::new(kind, router(variant), &trip.inside);
        let needed = 8 + match variant.family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        for quoted_len in SHORTEST..=whole.quoted_len {
            // Half of a TCP checksum says nothing, and stays.
            if variant.protocol == Protocol::Tcp && quoted_len == needed + 9 {
                continue;
            }
            let sent = IcmpError {
                quoted_len,
                ..whole.clone()
            };
            let quoted = if quoted_len < needed {
                &trip.inside
            } else {
                request
            };
            let expected = sent.from_about(sent.source, quoted);
            for padding in [&[][..], &[0xa5; 32]] {
                becomes_with(scene, Hook::Egress, &sent, &expected, padding);
            }
        }
    });
}

fn an_error_is_no_sign_of_life(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        for (hook, packet) in trip.entries(request) {
            if scene.has_flow(hook, &packet) {
                scene.age(hook, &packet, 1);
            }
        }
        let before = [Hook::Ingress, Hook::Egress].map(|hook| scene.flow_entries(hook));
        let endpoint = trip.arrived.destination.ip();
        let inside = IcmpError::new(kind, endpoint, &trip.inside);
        becomes(
            scene,
            Hook::Ingress,
            &IcmpError::new(kind, endpoint, &trip.arrived),
            &inside,
        );
        becomes(
            scene,
            Hook::Egress,
            &inside,
            &IcmpError::new(kind, request.destination.ip(), request),
        );
        let after = [Hook::Ingress, Hook::Egress].map(|hook| scene.flow_entries(hook));
        assert_eq!(after, before);
    });
}

fn an_error_about_a_forgotten_flow_passes(variant: Variant) {
    let mut scene = scene(variant);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let trip = scene.request(&request);
    let error = IcmpError::new(kinds(variant)[0], router(variant), &trip.inside);
    becomes(
        &mut scene,
        Hook::Egress,
        &error,
        &error.from_about(error.source, &request),
    );
    scene.age(
        Hook::Egress,
        &trip.inside.answer(),
        variant.unanswered_timeout() + 1,
    );
    becomes(&mut scene, Hook::Egress, &error, &error);
}

fn an_error_about_the_first_fragment_is_translated(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let error = IcmpError::new(kind, router(variant), &trip.inside);
        let fragment = |packet: &Packet| {
            let mut bytes = packet.bytes(Layer::Ip);
            bytes[6] = 0x20;
            bytes[10..12].fill(0);
            let sum: u32 = bytes[..20]
                .chunks(2)
                .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
                .sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            let check = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            bytes[10..12].copy_from_slice(&check.to_be_bytes());
            bytes
        };
        let sent = error.quoting(variant.layer, &fragment(&trip.inside));
        let expected = error.quoting(variant.layer, &fragment(request));
        assert_eq!(
            scene.send_bytes(Hook::Egress, &sent).unwrap(),
            Outcome::Next(expected)
        );
    });
}

fn an_error_about_a_packet_without_checksum_gives_it_none(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        let bare = |packet: &Packet| Packet {
            transport: Transport::UdpWithoutChecksum,
            ..packet.clone()
        };
        let sent = IcmpError::new(kind, router(variant), &bare(&trip.inside));
        becomes(
            scene,
            Hook::Egress,
            &sent,
            &sent.from_about(sent.source, &bare(request)),
        );
    });
}

fn ipv4_options_of_error_and_quote_are_stepped_over(variant: Variant) {
    each(variant, |scene, kind, request, trip| {
        for (own, quoted) in [(4, 0), (0, 4), (40, 40)] {
            let optional = |packet: &Packet| Packet {
                options: vec![1; quoted],
                ..packet.clone()
            };
            let sent = IcmpError {
                options: vec![1; own],
                ..IcmpError::new(kind, router(variant), &optional(&trip.inside))
            };
            becomes(
                scene,
                Hook::Egress,
                &sent,
                &sent.from_about(sent.source, &optional(request)),
            );
        }
    });
}
