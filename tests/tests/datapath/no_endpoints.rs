//! A Service that nobody serves: its clients are told at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use harness::bpf::{ACK, Hook, Layer, Outcome};
use proxy_agent::model::Family;
use proxy_common::{Counter, RateLimit};

use crate::{
    Variant, refusal,
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(
    a_service_without_endpoints_refuses_every_client,
    a_long_packet_is_refused_as_a_short_one,
);

// Not UDP without Ethernet: its headers are shorter than what the kernel takes for a test run.
for_each!([
    ipv4_tcp = IPV4_TCP, ipv4_udp = IPV4_UDP, ipv6_tcp = IPV6_TCP, ipv6_udp = IPV6_UDP,
    l3_ipv4_tcp = L3_IPV4_TCP, l3_ipv6_tcp = L3_IPV6_TCP
] a_packet_without_payload_is_refused);

for_each_variant!(
    a_service_gets_its_first_endpoint_between_two_packets,
    a_frame_to_many_hosts_is_not_answered,
    a_sender_that_is_no_host_is_not_answered,
    refusals_beyond_the_rate_are_dropped,
);

for_each!([
    ipv4_tcp = IPV4_TCP, ipv4_udp = IPV4_UDP, l3_ipv4_tcp = L3_IPV4_TCP, l3_ipv4_udp = L3_IPV4_UDP
] a_packet_with_ipv4_options_is_refused_without);

for_each_tcp!(
    a_segment_that_opens_nothing_passes,
    padding_of_ethernet_is_not_acknowledged,
);

fn a_service_without_endpoints_refuses_every_client(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([])]);
    for (destination, refused) in [(variant.vip(1), 1), (variant.node_port(), 2)] {
        let request = variant.opening(variant.client(1, EPHEMERAL), destination);
        assert_eq!(scene.answer(&request), refusal::of(&request, variant.layer));
        assert_eq!(scene.counted(), [(Counter::Refused.name(), refused)]);
    }
    assert_eq!(scene.flows(Hook::Ingress) + scene.flows(Hook::Egress), 0);
}

fn a_long_packet_is_refused_as_a_short_one(variant: Variant) {
    is_refused_with(variant, &[0x5a; 1400]);
}

fn a_packet_without_payload_is_refused(variant: Variant) {
    is_refused_with(variant, &[]);
}

fn is_refused_with(variant: Variant, payload: &[u8]) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let mut request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    request.payload = payload.to_vec();
    assert_eq!(scene.answer(&request), refusal::of(&request, variant.layer));
}

fn a_packet_with_ipv4_options_is_refused_without(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    for words in 1..=10 {
        let mut request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
        request.options = vec![1; 4 * words];
        assert_eq!(scene.answer(&request), refusal::of(&request, variant.layer));
    }
}

fn padding_of_ethernet_is_not_acknowledged(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let mut request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    request.payload.clear();
    let mut bytes = request.bytes(variant.layer);
    bytes.extend([0; 20]);
    let answer = scene.send_bytes(Hook::Ingress, &bytes).unwrap();
    assert_eq!(answer, Outcome::Redirected(refusal::of(&request, variant.layer)));
}

fn a_frame_to_many_hosts_is_not_answered(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    for (first, drops) in [(0xff, 1), (0x33, 2)] {
        let mut bytes = request.bytes(variant.layer);
        bytes[0] = first;
        assert_eq!(scene.send_bytes(Hook::Ingress, &bytes).unwrap(), Outcome::Dropped);
        assert_eq!(scene.counted(), [(Counter::NoEndpoints.name(), drops)]);
    }
}

fn a_sender_that_is_no_host_is_not_answered(variant: Variant) {
    let senders: [IpAddr; 2] = match variant.family {
        Family::V4 => [Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()],
        Family::V6 => [
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        ],
    };
    let mut scene = Scene::new(variant, &[variant.service([])]);
    for (sender, drops) in senders.into_iter().zip(1..) {
        let request = variant.opening((sender, EPHEMERAL).into(), variant.vip(1));
        assert_eq!(scene.try_send(Hook::Ingress, &request), None);
        assert_eq!(scene.counted(), [(Counter::NoEndpoints.name(), drops)]);
    }
}

fn refusals_beyond_the_rate_are_dropped(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let request = variant
        .opening(variant.client(1, EPHEMERAL), variant.vip(1))
        .bytes(Layer::Ethernet);
    let mut sent: u64 = 0;
    // Each CPU answers 1,000 at once; however the thread moves about, all are spent before long.
    while scene.count(Counter::RejectRate) < 100 {
        let outcome = scene.send_bytes(Hook::Ingress, &request).unwrap();
        assert!(!matches!(outcome, Outcome::Next(_)), "packet {sent} goes on");
        sent += 1;
        assert!(sent < 1_000_000, "{:?}", scene.counted());
    }
    let answered = scene.count(Counter::Refused);
    assert!(answered >= u64::from(RateLimit::BURST), "{:?}", scene.counted());
    assert_eq!(answered + scene.count(Counter::RejectRate), sent);
}

fn a_service_gets_its_first_endpoint_between_two_packets(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    scene.answer(&request);
    scene.apply(&[variant.service([1])]);
    assert_eq!(scene.round_trip(&request).arrived, request.to(variant.target(1)));
}

fn a_segment_that_opens_nothing_passes(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([])]);
    let segment = variant
        .opening(variant.client(1, EPHEMERAL), variant.vip(1))
        .flags(ACK);
    assert_eq!(scene.send(Hook::Ingress, &segment), segment);
    assert_eq!(scene.counted(), []);
}
