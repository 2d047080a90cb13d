//! Checksums after a rewrite, where the arithmetic has its corners. That they are right everywhere else is looked at by every
//! test: [`Packet::parse`] computes them anew.

use std::cell::RefCell;

use harness::bpf::{Layer, Packet, Transport};
use proptest::prelude::*;

use crate::{
    Variant,
    random::run,
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(checksums_are_right_whatever_the_packet_holds);
for_each_variant!(a_checksum_that_becomes_zero_is_right);
for_each!([ethernet = IPV4_UDP, l3 = L3_IPV4_UDP] a_udp_packet_without_checksum_gets_none);

fn a_udp_packet_without_checksum_gets_none(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    for destination in [variant.vip(1), variant.node_port()] {
        let mut request = variant.opening(variant.client(1, EPHEMERAL), destination);
        request.transport = Transport::UdpWithoutChecksum;
        scene.round_trip(&request);
    }
}

/// A TCP checksum may be zero; a UDP checksum is then written as 0xffff, because zero means that there is none.
fn a_checksum_that_becomes_zero_is_right(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let opening = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let request = (0..=u16::MAX)
        .map(|word| Packet {
            payload: word.to_be_bytes().to_vec(),
            ..opening.clone()
        })
        .find(|request| matches!(checksum(&request.to(variant.target(1)), variant), 0 | 0xffff))
        .expect("one word in 65,536 makes the sum zero");
    scene.round_trip(&request);
}

fn checksum(packet: &Packet, variant: Variant) -> u16 {
    let bytes = packet.bytes(variant.layer);
    let from_end = match packet.transport {
        Transport::Tcp(_) => 4,
        _ => 2,
    };
    let at = bytes.len() - packet.payload.len() - from_end;
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The kernel takes no test run that is shorter than an Ethernet and an IP header.
const fn shortest_payload(variant: Variant) -> usize {
    match variant.layer {
        Layer::Ethernet => 0,
        Layer::Ip => 14,
    }
}

fn checksums_are_right_whatever_the_packet_holds(variant: Variant) {
    let scene = RefCell::new(Scene::new(variant, &[variant.node_port_service([1])]));
    let packets = (
        any::<u8>(),
        1..=u16::MAX,
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), shortest_payload(variant)..64),
    );
    run(500, &packets, |(client, port, masqueraded, payload)| {
        let destination = if masqueraded {
            variant.node_port()
        } else {
            variant.vip(1)
        };
        let request = Packet {
            payload,
            ..variant.opening(variant.client(client, port), destination)
        };
        scene.borrow_mut().round_trip(&request);
    });
}
