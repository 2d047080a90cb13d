//! Frames that are almost right, and frames that are anything: nothing but what is ours to change ever changes, and nothing is lost
//! without being counted.

use std::{cell::RefCell, ops::Range};

use harness::bpf::{ClusterIp, Hook, IcmpError, Outcome, Packet};
use proptest::{prelude::*, sample::Index};
use proxy_agent::model::{Family, Protocol};
use proxy_common::Counter;

use crate::{
    IPV4_TCP, IPV4_UDP, IPV6_TCP, IPV6_UDP, Variant,
    pieces::{extended, fragments},
    random::run,
    scene::{EPHEMERAL, NODE_PORT, Scene},
};

for_each!([ethernet = IPV4_TCP]
    mutated_frames_change_in_addresses_ports_and_checksums_alone
    random_bytes_pass
    every_part_of_a_service_packet_is_translated_or_passes);

const VARIANTS: [Variant; 4] = [IPV4_TCP, IPV4_UDP, IPV6_TCP, IPV6_UDP];

/// Services of all kinds, all with endpoints.
fn scene() -> Scene {
    let service = |name, node_port, variant: Variant| ClusterIp {
        name,
        node_port: Some(node_port),
        ..variant.service([1, 2])
    };
    let names = ["tcp4", "udp4", "tcp6", "udp6"];
    let services: Vec<_> = names
        .into_iter()
        .zip(VARIANTS)
        .map(|(name, variant)| {
            let port = NODE_PORT + u16::from(variant.family == Family::V6);
            service(name, port, variant)
        })
        .collect();
    let node = vec![IPV4_TCP.node(), IPV6_TCP.node()];
    let mut scene = Scene::with(IPV4_TCP, &services, &crate::scene::POOL, node);
    for variant in VARIANTS {
        for packet in packets(variant) {
            let bytes = packet.bytes(variant.layer);
            for hook in [Hook::Ingress, Hook::Egress] {
                scene.send_bytes(hook, &bytes).unwrap();
            }
        }
    }
    scene
}

/// To a ClusterIP, to a NodePort, to nobody's Service, and from an endpoint.
fn packets(variant: Variant) -> [Packet; 4] {
    let client = variant.client(1, EPHEMERAL);
    let mut node_port = variant.node_port();
    node_port.set_port(NODE_PORT + u16::from(variant.family == Family::V6));
    [
        variant.opening(client, variant.vip(1)),
        variant.opening(client, node_port),
        variant.opening(client, variant.client(2, 443)),
        variant.opening(variant.target(1), client),
    ]
}

/// Right frames of all kinds: plain, in fragments, with extension headers, quoted by an error.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for variant in VARIANTS {
        for packet in packets(variant) {
            let bytes = packet.bytes(variant.layer);
            frames.extend(fragments(variant, &packet, 24));
            let (kind, sender) = match variant.family {
                Family::V4 => ([3, 4], variant.client(9, 0)),
                Family::V6 => ([2, 0], variant.client(9, 0)),
            };
            frames.push(IcmpError::new(kind, sender.ip(), &packet).bytes(variant.layer));
            if variant.family == Family::V6 {
                let options = vec![0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                for chain in [
                    vec![(0, options.clone())],
                    vec![(60, options.clone()), (43, vec![0; 8]), (60, options.clone())],
                    vec![(60, options.clone()), (44, vec![0, 0, 0, 1, 1, 2, 3, 4])],
                ] {
                    frames.push(extended(variant, &bytes, &chain));
                }
            }
            frames.push(bytes);
        }
    }
    frames
}

/// What may change in a frame: read in another way than the programs do, and more generously.
fn may_change(frame: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    ip_may_change(frame, 14, &mut ranges);
    ranges
}

fn ip_may_change(frame: &[u8], l3: usize, ranges: &mut Vec<Range<usize>>) {
    let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
    let (mut protocol, mut at) = match byte(l3) >> 4 {
        4 => {
            ranges.push(l3 + 10..l3 + 20);
            let is_later = byte(l3 + 6) & 0x1f != 0 || byte(l3 + 7) != 0;
            let carries = if is_later { 59 } else { byte(l3 + 9) };
            (carries, l3 + usize::from(byte(l3) & 15) * 4)
        }
        6 => {
            ranges.push(l3 + 8..l3 + 40);
            (byte(l3 + 6), l3 + 40)
        }
        _ => return,
    };
    while matches!(protocol, 0 | 43 | 44 | 60) && at < frame.len() {
        let is_fragment = protocol == 44;
        protocol = byte(at);
        if is_fragment && (byte(at + 2) != 0 || byte(at + 3) & 0xf8 != 0) {
            return;
        }
        at += if is_fragment {
            8
        } else {
            (usize::from(byte(at + 1)) + 1) * 8
        };
    }
    match protocol {
        6 => ranges.extend([at..at + 4, at + 16..at + 18]),
        17 => ranges.extend([at..at + 4, at + 6..at + 8]),
        1 | 58 if l3 == 14 => {
            ranges.push(at + 2..at + 4);
            ip_may_change(frame, at + 8, ranges);
        }
        _ => {}
    }
}

/// Drops and refusals so far.
fn lost(scene: &Scene) -> u64 {
    scene
        .counted()
        .iter()
        .filter(|(name, _)| name.starts_with("dropped") || *name == "refused" || *name == "fragments_held")
        .map(|(_, count)| *count)
        .sum()
}

fn holds(scene: &mut Scene, hook: Hook, frame: &[u8]) {
    let before = lost(scene);
    // The kernel gives some that are too short to no program.
    let Ok(outcome) = scene.send_bytes(hook, frame) else {
        return;
    };
    match outcome {
        Outcome::Next(sent) => {
            assert_eq!(sent.len(), frame.len(), "{hook:?} {frame:x?}");
            let ranges = may_change(frame);
            for (at, (old, new)) in frame.iter().zip(&sent).enumerate() {
                let may = ranges.iter().any(|range| range.contains(&at));
                assert!(
                    old == new || may,
                    "{hook:?} changes byte {at} of {frame:x?} to {new:x}"
                );
            }
            assert_eq!(lost(scene), before);
        }
        Outcome::Dropped | Outcome::Redirected(_) => {
            assert_eq!(lost(scene), before + 1, "{hook:?} loses {frame:x?} silently");
        }
    }
}

/// Bytes that are put anywhere, and a length that is not the right one.
fn mutated_frames_change_in_addresses_ports_and_checksums_alone(_: Variant) {
    let (scene, frames) = (RefCell::new(scene()), frames());
    let numbers = prop_oneof![
        any::<u8>(),
        proptest::sample::select(vec![
            0_u8, 1, 6, 17, 43, 44, 58, 59, 60, 132, 0x20, 0x45, 0x4f, 0x60, 0xff
        ])
    ];
    let edits = proptest::collection::vec((any::<bool>(), any::<Index>(), numbers), 0..4);
    let lengths = prop_oneof![4 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let all = (any::<Index>(), edits, lengths, any::<bool>());
    run(10_000, &all, |(which, edits, len, at_ingress)| {
        let mut frame = which.get(&frames).clone();
        for (in_headers, at, value) in edits {
            let len = if in_headers {
                frame.len().min(80)
            } else {
                frame.len()
            };
            frame[at.index(len)] = value;
        }
        if let Some(len) = len {
            frame.resize(14 + len.index(frame.len()), 0);
        }
        let hook = if at_ingress { Hook::Ingress } else { Hook::Egress };
        holds(&mut scene.borrow_mut(), hook, &frame);
    });
    let counted = scene.borrow().counted();
    assert!(
        counted
            .iter()
            .any(|(name, count)| *name == "flows_opened" && *count > 8),
        "{counted:?}"
    );
}

fn random_bytes_pass(_: Variant) {
    let scene = RefCell::new(scene());
    let types = prop_oneof![
        Just(0x0800_u16),
        Just(0x86dd),
        Just(0x8100),
        Just(0x0806),
        any::<u16>()
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 14..300);
    run(5_000, &(types, bytes), |(ethertype, mut frame)| {
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        for hook in [Hook::Ingress, Hook::Egress] {
            if let Ok(outcome) = scene.borrow_mut().send_bytes(hook, &frame) {
                assert_eq!(outcome, Outcome::Next(frame.clone()));
            }
        }
    });
}

fn every_part_of_a_service_packet_is_translated_or_passes(_: Variant) {
    let mut scene = scene();
    for frame in frames() {
        for len in 14..=frame.len() {
            for hook in [Hook::Ingress, Hook::Egress] {
                holds(&mut scene, hook, &frame[..len]);
            }
        }
    }
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let variant = Variant { protocol, ..IPV4_TCP };
        let request = variant.opening(variant.client(3, EPHEMERAL), variant.vip(1));
        assert_ne!(scene.send(Hook::Ingress, &request), request);
    }
    assert_eq!(scene.count(Counter::RewriteFailed), 0);
}
