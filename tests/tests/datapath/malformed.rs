//! Packets that end too early.

use harness::bpf::{Hook, Outcome};
use proxy_agent::model::Protocol;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

// Not UDP without Ethernet: its headers are shorter than what the kernel takes for a test run.
for_each!([
    ipv4_tcp = IPV4_TCP, ipv4_udp = IPV4_UDP, ipv6_tcp = IPV6_TCP, ipv6_udp = IPV6_UDP,
    l3_ipv4_tcp = L3_IPV4_TCP, l3_ipv6_tcp = L3_IPV6_TCP
] a_packet_that_ends_before_its_transport_checksum_passes_untouched);

/// The least that any kernel takes for a test run.
const ETHERNET_HEADER: usize = 14;

fn a_packet_that_ends_before_its_transport_checksum_passes_untouched(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let bytes = request.bytes(variant.layer);
    // TCP's urgent pointer stands behind the checksum.
    let behind = match variant.protocol {
        Protocol::Tcp => 2,
        _ => 0,
    };
    let needed = bytes.len() - request.payload.len() - behind;
    let (mut sent, mut wrong) = (0, Vec::new());
    for len in ETHERNET_HEADER..needed {
        // Some kernels refuse a packet with less than an IP header.
        let Ok(outcome) = scene.send_bytes(Hook::Ingress, &bytes[..len]) else {
            continue;
        };
        sent += 1;
        if outcome != Outcome::Next(bytes[..len].to_vec()) {
            wrong.push((needed - len, outcome == Outcome::Dropped));
        }
    }
    assert!(sent > 0, "the kernel takes none of them");
    assert_eq!(
        wrong,
        [],
        "(bytes missing, whether dropped), {:?}",
        scene.counted()
    );
    assert_eq!(scene.counted(), []);
}
