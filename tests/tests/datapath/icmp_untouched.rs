//! ICMP that is not about a flow goes on as it came, whatever it looks like.

use std::cell::RefCell;

use harness::bpf::{Hook, IcmpError, Layer, Outcome};
use proptest::prelude::*;
use proxy_agent::model::Family;
use proxy_common::Counter;

use crate::{
    Variant,
    icmp::{SHORTEST, flows, kinds, scene},
    random::run,
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(
    messages_that_are_no_errors_pass,
    an_error_cut_anywhere_passes,
    an_error_to_someone_else_than_the_quoted_sender_passes,
    errors_about_anything_but_tcp_and_udp_pass,
    errors_that_quote_random_bytes_pass,
);
for_each_variant!(
    an_error_about_a_flow_without_its_source_port_passes,
    fragments_of_errors_pass
);

/// A scene with flows, and an error that is about one of them at either hook.
fn error(variant: Variant) -> (Scene, [(Hook, IcmpError); 2]) {
    let mut scene = scene(variant);
    let [_, (_, trip)] = flows(&mut scene, variant);
    let sender = trip.arrived.destination.ip();
    let about = |quoted| IcmpError::new(kinds(variant)[0], sender, quoted);
    let errors = [
        (Hook::Ingress, about(&trip.arrived)),
        (Hook::Egress, about(&trip.inside)),
    ];
    for (hook, error) in &errors {
        let bytes = error.bytes(variant.layer);
        let outcome = scene.send_bytes(*hook, &bytes).unwrap();
        assert!(
            matches!(outcome, Outcome::Next(new) if new != bytes),
            "it would be translated"
        );
    }
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
    (scene, errors)
}

#[track_caller]
fn passes(scene: &mut Scene, hook: Hook, bytes: &[u8]) {
    let outcome = scene.send_bytes(hook, bytes).unwrap();
    assert_eq!(outcome, Outcome::Next(bytes.to_vec()), "{hook:?}");
}

const fn header_len(variant: Variant) -> usize {
    match variant.family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

const fn l3(variant: Variant) -> usize {
    match variant.layer {
        Layer::Ethernet => 14,
        Layer::Ip => 0,
    }
}

fn messages_that_are_no_errors_pass(variant: Variant) {
    let (mut scene, errors) = error(variant);
    let others: &[u8] = match variant.family {
        // Echo, source quench, redirect, timestamp; what is an error in ICMPv6.
        Family::V4 => &[0, 1, 2, 4, 5, 8, 10, 13, 14, 19, 27],
        // Echo, neighbour discovery, redirect; what is an error in ICMPv4.
        Family::V6 => &[0, 5, 11, 12, 17, 100, 128, 129, 133, 136, 137],
    };
    for (hook, error) in errors {
        for kind in others {
            let message = IcmpError {
                kind: [*kind, 0],
                ..error.clone()
            };
            passes(&mut scene, hook, &message.bytes(variant.layer));
        }
    }
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}

fn an_error_cut_anywhere_passes(variant: Variant) {
    let (mut scene, errors) = error(variant);
    let mut sent = 0;
    for (hook, error) in errors {
        let bytes = error.bytes(variant.layer);
        for len in 14..bytes.len() {
            // Some kernels refuse a packet with less than an IP header.
            let Ok(outcome) = scene.send_bytes(hook, &bytes[..len]) else {
                continue;
            };
            sent += 1;
            assert_eq!(
                outcome,
                Outcome::Next(bytes[..len].to_vec()),
                "{hook:?}, {len} bytes"
            );
        }
    }
    assert!(sent > 50, "the kernel takes most of them");
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}

fn an_error_to_someone_else_than_the_quoted_sender_passes(variant: Variant) {
    let (mut scene, errors) = error(variant);
    for (hook, error) in errors {
        let stray = IcmpError {
            destination: variant.client(2, 0).ip(),
            ..error
        };
        passes(&mut scene, hook, &stray.bytes(variant.layer));
    }
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}

fn errors_about_anything_but_tcp_and_udp_pass(variant: Variant) {
    let (mut scene, errors) = error(variant);
    for (hook, error) in errors {
        let quoted = error.quoted.bytes(Layer::Ip);
        let edits: Vec<(usize, u8)> = match variant.family {
            // Another protocol, an offset, another version.
            Family::V4 => vec![(9, 1), (9, 132), (7, 1), (6, 0x20 | 0x1f), (0, 0x65), (0, 0x44)],
            // Another protocol, extension headers, fragments, another version.
            Family::V6 => vec![(6, 58), (6, 132), (6, 0), (6, 43), (6, 60), (6, 44), (0, 0x40)],
        };
        for (at, value) in edits {
            let mut other = quoted.clone();
            other[at] = value;
            passes(&mut scene, hook, &error.quoting(variant.layer, &other));
        }
    }
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}

fn errors_that_quote_random_bytes_pass(variant: Variant) {
    let (scene, errors) = error(variant);
    let scene = RefCell::new(scene);
    let first = match variant.family {
        Family::V4 => 0x45,
        Family::V6 => 0x60,
    };
    let quotes = (
        0..errors.len(),
        proptest::sample::select(kinds(variant)),
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), SHORTEST..120),
    );
    run(1_000, &quotes, |(which, kind, plausible, mut quoted)| {
        let (hook, error) = &errors[which];
        if plausible && quoted.len() > header_len(variant) {
            let protocol = error.quoted.protocol();
            quoted[0] = first;
            quoted[if first == 0x60 { 6 } else { 9 }] = protocol;
            if first == 0x45 {
                // By chance almost all would be later fragments, which have no ports.
                quoted[6..8].fill(0);
            }
            // To its source: all that is missing is a flow.
            let (at, own) = match error.destination {
                std::net::IpAddr::V4(own) => (12, own.octets().to_vec()),
                std::net::IpAddr::V6(own) => (8, own.octets().to_vec()),
            };
            quoted[at..at + own.len()].copy_from_slice(&own);
        }
        let error = IcmpError {
            kind,
            ..error.clone()
        };
        passes(
            &mut scene.borrow_mut(),
            *hook,
            &error.quoting(variant.layer, &quoted),
        );
    });
    assert_eq!(scene.into_inner().count(Counter::IcmpErrorsTranslated), 2);
}

/// The source binding has no address yet that could be put.
fn an_error_about_a_flow_without_its_source_port_passes(variant: Variant) {
    let mut scene = scene(variant);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    let inside = scene.send(Hook::Ingress, &request);
    let error = IcmpError::new(kinds(variant)[0], request.source.ip(), &inside.answer());
    passes(&mut scene, Hook::Egress, &error.bytes(variant.layer));
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 0);
}

fn fragments_of_errors_pass(variant: Variant) {
    let (mut scene, errors) = error(variant);
    let edits: &[(usize, u8)] = match variant.family {
        Family::V4 => &[(6, 0x20), (7, 1)],
        Family::V6 => &[(6, 44)],
    };
    for (hook, error) in errors {
        for (at, value) in edits {
            let mut fragment = error.bytes(variant.layer);
            fragment[l3(variant) + at] = *value;
            passes(&mut scene, hook, &fragment);
        }
    }
    assert_eq!(scene.count(Counter::IcmpErrorsTranslated), 2);
}
