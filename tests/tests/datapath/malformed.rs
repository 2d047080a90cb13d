//! Packets that end too early.

use harness::bpf::{Hook, Outcome};

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant_and_layer!(a_packet_cut_anywhere_passes_untouched);

/// The least that the kernel takes for a test run.
const ETHERNET_HEADER: usize = 14;

/// Cut in the headers: what it would take to translate such a packet is not all there.
fn a_packet_cut_anywhere_passes_untouched(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let bytes = request.bytes(variant.layer);
    let headers = bytes.len() - request.payload.len();
    let (mut sent, mut wrong) = (0, Vec::new());
    for len in ETHERNET_HEADER..headers {
        // Some kernels refuse a packet with less than an IP header.
        let Ok(outcome) = scene.send_bytes(Hook::Ingress, &bytes[..len]) else {
            continue;
        };
        sent += 1;
        if outcome != Outcome::Next(bytes[..len].to_vec()) {
            wrong.push((headers - len, outcome == Outcome::Dropped));
        }
    }
    assert!(sent > 0, "the kernel takes none of them");
    assert_eq!(
        wrong,
        [],
        "(bytes of the headers that are missing, whether dropped); {:?}",
        scene.counted()
    );
    assert_eq!(scene.counted(), []);
}
