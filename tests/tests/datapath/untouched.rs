//! What is no Service traffic, or can't be told to be, goes on as it came.

use std::cell::RefCell;

use harness::bpf::{ClusterIp, Hook, Layer, Outcome};
use proptest::prelude::*;
use proxy_agent::model::Family;
use proxy_common::Counter;

use crate::{
    IPV4_UDP, IPV6_TCP, Variant,
    random::run,
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(
    later_fragments_pass_and_are_counted,
    other_transport_protocols_pass,
    foreign_traffic_passes,
);
for_each!([ethernet = IPV4_TCP] frames_of_other_protocols_pass random_frames_pass);

/// A Service, and a packet to it with a known flow: nothing that follows is to find either.
fn scene(variant: Variant) -> (Scene, Vec<u8>) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    scene.round_trip(&request);
    (scene, request.bytes(variant.layer))
}

/// Both hooks let `bytes` pass as they are.
fn passes(scene: &mut Scene, bytes: &[u8]) {
    for hook in [Hook::Ingress, Hook::Egress] {
        let outcome = scene.send_bytes(hook, bytes).unwrap();
        assert_eq!(outcome, Outcome::Next(bytes.to_vec()), "{hook:?}");
    }
}

fn ip_header(variant: Variant) -> usize {
    match variant.layer {
        Layer::Ethernet => 14,
        Layer::Ip => 0,
    }
}

/// Where an IP header says what it carries.
fn protocol_at(variant: Variant) -> usize {
    ip_header(variant)
        + match variant.family {
            Family::V4 => 9,
            Family::V6 => 6,
        }
}

fn later_fragments_pass_and_are_counted(variant: Variant) {
    let (mut scene, bytes) = scene(variant);
    let fragments: &[(usize, u8)] = match variant.family {
        // An offset of 8 bytes, a large one and more to come.
        Family::V4 => &[(7, 1), (6, 0x3f)],
        // The fragment header: what would be the ports is the offset.
        Family::V6 => &[(6, 44)],
    };
    for (at, value) in fragments {
        let mut fragment = bytes.clone();
        fragment[ip_header(variant) + at] = *value;
        passes(&mut scene, &fragment);
    }
    assert_eq!(scene.count(Counter::Fragment), 2 * fragments.len() as u64);
    assert_eq!(scene.count(Counter::FlowsOpened), 1);
}

fn other_transport_protocols_pass(variant: Variant) {
    let (mut scene, bytes) = scene(variant);
    let before = scene.counted();
    // ICMP, IP in IP, IPv6 in IP, GRE, ESP, ICMPv6, SCTP, UDP-Lite.
    for protocol in [1, 4, 41, 47, 50, 58, 132, 136] {
        let mut other = bytes.clone();
        other[protocol_at(variant)] = protocol;
        passes(&mut scene, &other);
    }
    assert_eq!(scene.counted(), before);
}

fn foreign_traffic_passes(variant: Variant) {
    let (mut scene, _) = scene(variant);
    let before = scene.counted();
    for flags in [harness::bpf::SYN, harness::bpf::ACK] {
        let packet = variant.opening(variant.client(1, EPHEMERAL), variant.client(2, 443));
        passes(&mut scene, &packet.flags(flags).bytes(variant.layer));
    }
    assert_eq!(scene.counted(), before);
    assert_eq!((scene.flows(Hook::Ingress), scene.flows(Hook::Egress)), (1, 1));
}

fn frames_of_other_protocols_pass(variant: Variant) {
    let (mut scene, bytes) = scene(variant);
    let before = scene.counted();
    // ARP, a VLAN tag, IPv6 on an IPv4 packet, MPLS, 802.1ad, a length.
    for ethertype in [0x0806_u16, 0x8100, 0x86dd, 0x8847, 0x88a8, 46] {
        let mut frame = bytes.clone();
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        passes(&mut scene, &frame);
    }
    assert_eq!(scene.counted(), before);
}

/// Frames that look like IP at the beginning and hold anything after.
fn random_frames_pass(variant: Variant) {
    let named = |name, variant: Variant| ClusterIp {
        name,
        ..variant.service([1])
    };
    let services = [
        named("tcp", variant),
        named("udp", IPV4_UDP),
        named("six", IPV6_TCP),
    ];
    let scene = RefCell::new(Scene::new(variant, &services));
    let frames = (
        prop_oneof![
            4 => Just((0x0800_u16, 0x40_u8)), 4 => Just((0x86dd, 0x60)), 1 => any::<(u16, u8)>()
        ],
        prop_oneof![3 => Just(6_u8), 3 => Just(17), 1 => any::<u8>()],
        any::<u8>(),
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), 60..160),
    );
    run(
        4_000,
        &frames,
        |((ethertype, version), protocol, low, is_whole, mut bytes)| {
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            bytes[14] = version | (low & 0x0f);
            bytes[if version == 0x60 { 20 } else { 23 }] = protocol;
            if version == 0x40 && is_whole {
                // By chance almost all would be later fragments.
                bytes[20..22].fill(0);
            }
            passes(&mut scene.borrow_mut(), &bytes);
        },
    );
    let mut scene = scene.into_inner();
    assert_eq!(scene.count(Counter::FlowsOpened), 0);
    assert_eq!(scene.flows(Hook::Ingress) + scene.flows(Hook::Egress), 0);
}
