//! IPv6 extension headers: what stands before the transport header does not hide it.

use harness::bpf::{Hook, IcmpError, Outcome, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    pieces::{extended, plainer},
    scene::{EPHEMERAL, Scene},
};

for_each_ipv6!(
    packets_with_extension_headers_are_translated_like_any_other,
    what_is_behind_too_many_headers_or_not_yet_at_its_destination_passes,
    a_packet_that_ends_within_its_headers_passes_untouched,
    errors_that_quote_extension_headers_are_translated,
);

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// So many bytes of padding options.
fn options(len: usize) -> Vec<u8> {
    let mut header = vec![
        0,
        u8::try_from(len / 8 - 1).unwrap(),
        1,
        u8::try_from(len - 4).unwrap(),
    ];
    header.resize(len, 0);
    header
}

fn routing(segments_left: u8) -> Vec<u8> {
    vec![0, 0, 4, segments_left, 0, 0, 0, 0]
}

/// Chains of headers that are looked through.
fn chains() -> Vec<Vec<(u8, Vec<u8>)>> {
    vec![
        vec![(HOP_BY_HOP, options(8))],
        vec![(DESTINATION, options(24))],
        vec![(ROUTING, routing(0))],
        // A packet in one piece, with a fragment header.
        vec![(FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4])],
        vec![
            (HOP_BY_HOP, options(128)),
            (DESTINATION, options(8)),
            (ROUTING, routing(0)),
            (FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4]),
            (DESTINATION, options(8)),
            (DESTINATION, options(256)),
        ],
    ]
}

fn packets_with_extension_headers_are_translated_like_any_other(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    for (chain, port) in chains().into_iter().zip(EPHEMERAL..) {
        let lens: Vec<usize> = chain.iter().map(|(_, header)| header.len()).collect();
        let mut send = |hook, packet: &Packet| {
            let bytes = extended(variant, &packet.bytes(variant.layer), &chain);
            match scene.send_bytes(hook, &bytes).unwrap() {
                Outcome::Next(sent) => {
                    assert_eq!(sent.len(), bytes.len());
                    let plain = Packet::parse(&plainer(variant, &sent, &lens), variant.layer);
                    let again = extended(variant, &plain.bytes(variant.layer), &chain);
                    assert_eq!(sent, again, "the headers stay as they are");
                    plain
                }
                other => panic!("{other:?}"),
            }
        };
        let request = variant.opening(variant.client(1, port), variant.node_port());
        let inside = send(Hook::Ingress, &request);
        assert_eq!(inside, request.to(variant.target(1)), "{lens:?}");
        let arrived = send(Hook::Egress, &inside);
        assert_eq!(arrived, inside.from(arrived.source));
        assert_eq!(arrived.source.ip(), variant.node());
        let reply = send(Hook::Ingress, &arrived.answer());
        assert_eq!(send(Hook::Egress, &reply), request.answer());
    }
    assert_eq!(scene.count(Counter::ExtensionHeader), 0);
    assert_eq!(
        scene.datagrams(),
        0,
        "a packet in one piece has no others to follow it"
    );
}

fn what_is_behind_too_many_headers_or_not_yet_at_its_destination_passes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let plain = request.bytes(variant.layer);
    let chains = [
        vec![(DESTINATION, options(8)); 7],
        vec![(ROUTING, routing(1))],
        vec![(DESTINATION, options(8)), (HOP_BY_HOP, options(8))],
    ];
    for (chain, count) in chains.iter().zip(1..) {
        let bytes = extended(variant, &plain, chain);
        let outcome = scene.send_bytes(Hook::Ingress, &bytes).unwrap();
        assert_eq!(outcome, Outcome::Next(bytes));
        assert_eq!(scene.count(Counter::ExtensionHeader), count);
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 0);
}

fn a_packet_that_ends_within_its_headers_passes_untouched(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = Packet {
        payload: Vec::new(),
        ..variant.opening(variant.client(1, EPHEMERAL), variant.vip(1))
    };
    let whole = extended(variant, &request.bytes(variant.layer), chains().last().unwrap());
    // The checksum is UDP's last field, and the last but one of TCP.
    let least = whole.len()
        - if request.protocol() == proxy_common::TCP {
            2
        } else {
            0
        };
    for len in variant.l3() + 40..least {
        // The kernel takes no test run that is shorter than an Ethernet and an IP header.
        let Ok(outcome) = scene.send_bytes(Hook::Ingress, &whole[..len]) else {
            assert!(len < 54, "{len} bytes");
            continue;
        };
        assert_eq!(
            outcome,
            Outcome::Next(whole[..len].to_vec()),
            "{len} of {}",
            whole.len()
        );
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 0);
    let outcome = scene.send_bytes(Hook::Ingress, &whole).unwrap();
    assert!(matches!(outcome, Outcome::Next(sent) if sent != whole));
}

fn errors_that_quote_extension_headers_are_translated(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    let trip = scene.round_trip(&request);
    // The first fragment of what has arrived is too big for the endpoint's link.
    let chain = [
        (DESTINATION, options(8)),
        (FRAGMENT, vec![0, 0, 0, 1, 1, 2, 3, 4]),
    ];
    let error = |about: &Packet| {
        let quote = &extended(variant, &about.bytes(variant.layer), &chain)[variant.l3()..];
        IcmpError::new([2, 0], variant.endpoint(9), about).quoting(variant.layer, quote)
    };
    let outcome = scene.send_bytes(Hook::Ingress, &error(&trip.arrived)).unwrap();
    assert_eq!(outcome, Outcome::Next(error(&trip.inside)));
    let outcome = scene.send_bytes(Hook::Egress, &error(&trip.inside)).unwrap();
    assert_eq!(outcome, Outcome::Next(error(&request)));
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}
