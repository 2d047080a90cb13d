//! The bit of the mark by which packets pass a node whose FORWARD policy is DROP.

use harness::bpf::Hook;

use crate::{
    Variant,
    pieces::fragments,
    scene::{EPHEMERAL, Scene},
};

const BIT: u32 = 1 << 14;
/// Somebody else's bits.
const OTHERS: u32 = 0x0003_0007;

for_each_variant_and_layer!(
    packets_of_a_masqueraded_flow_have_the_bit_between_the_hooks_and_only_there,
    packets_that_are_not_masqueraded_do_not_get_the_bit,
    without_a_mark_in_the_settings_all_bits_stay,
    later_fragments_have_the_bit_if_the_first_one_has,
);

fn packets_of_a_masqueraded_flow_have_the_bit_between_the_hooks_and_only_there(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    scene.set_forward_mark(BIT);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    let (inside, mark) = scene.send_marked(Hook::Ingress, &request, OTHERS);
    assert_eq!(mark, BIT | OTHERS);
    let (arrived, mark) = scene.send_marked(Hook::Egress, &inside, mark);
    assert_eq!(mark, OTHERS);
    let reply = arrived.answer();
    let (inside, mark) = scene.send_marked(Hook::Ingress, &reply, OTHERS);
    assert_eq!(mark, BIT | OTHERS);
    let (_, mark) = scene.send_marked(Hook::Egress, &inside, mark);
    assert_eq!(mark, OTHERS);
}

fn packets_that_are_not_masqueraded_do_not_get_the_bit(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    scene.set_forward_mark(BIT);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let (inside, mark) = scene.send_marked(Hook::Ingress, &request, OTHERS);
    assert_eq!((inside.destination, mark), (variant.target(1), OTHERS));
    let stranger = variant.opening(variant.client(1, EPHEMERAL), variant.target(2));
    assert_eq!(
        scene.send_marked(Hook::Ingress, &stranger, OTHERS),
        (stranger.clone(), OTHERS)
    );
}

fn without_a_mark_in_the_settings_all_bits_stay(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.node_port());
    for mark in [0, BIT | OTHERS] {
        let (inside, at_ingress) = scene.send_marked(Hook::Ingress, &request, mark);
        let (_, at_egress) = scene.send_marked(Hook::Egress, &inside, mark);
        assert_eq!((at_ingress, at_egress), (mark, mark));
    }
}

/// Without conntrack nothing puts them together before the FORWARD chain.
fn later_fragments_have_the_bit_if_the_first_one_has(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    scene.set_forward_mark(BIT);
    for (port, bit) in [(variant.node_port(), BIT), (variant.vip(1), 0)] {
        let request = variant.opening(variant.client(1, EPHEMERAL), port);
        for fragment in fragments(variant, &request, 24) {
            let sent = scene.send_bytes_marked(Hook::Ingress, &fragment, OTHERS);
            assert_eq!(sent.unwrap().1, bit | OTHERS, "{port}");
        }
    }
}
