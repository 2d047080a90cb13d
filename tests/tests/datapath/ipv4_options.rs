//! IPv4 options move the transport header; nothing else about them is ours.

use harness::bpf::Packet;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each!([tcp = IPV4_TCP, udp = IPV4_UDP, l3_tcp = L3_IPV4_TCP, l3_udp = L3_IPV4_UDP]
    a_packet_with_options_is_translated_like_any_other);

fn a_packet_with_options_is_translated_like_any_other(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    for words in 1..=10 {
        // Type 1 is "no operation".
        let request = Packet {
            options: vec![1; words * 4],
            ..variant.opening(variant.client(1, EPHEMERAL), variant.node_port())
        };
        let trip = scene.round_trip(&request);
        assert_eq!(trip.inside, request.to(variant.target(1)), "{words} words");
    }
}
