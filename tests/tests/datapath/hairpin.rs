//! An endpoint that is sent to itself must see the node as its client, or it would answer itself directly.

use harness::bpf::{ACK, Hook};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, POOL, Scene},
};

for_each_variant_and_layer!(an_endpoint_reaches_itself_through_the_virtual_ip);
for_each_variant!(without_a_source_address_the_packet_is_dropped_and_counted);

fn an_endpoint_reaches_itself_through_the_virtual_ip(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening((variant.endpoint(1), EPHEMERAL).into(), variant.vip(1));
    let opened = scene.round_trip(&request);
    assert_eq!(opened.inside, request.to(variant.target(1)));
    assert_eq!(opened.arrived.source.ip(), variant.node());
    assert_eq!(
        scene.round_trip(&request.flags(ACK)).arrived,
        opened.arrived.flags(ACK)
    );
    assert_eq!(scene.counted(), [("flows_opened", 1), ("flows_masqueraded", 1)]);
}

fn without_a_source_address_the_packet_is_dropped_and_counted(variant: Variant) {
    let mut scene = Scene::with(variant, &[variant.service([1])], &POOL, Vec::new());
    let request = variant.opening((variant.endpoint(1), EPHEMERAL).into(), variant.vip(1));
    let inside = scene.send(Hook::Ingress, &request);
    assert_eq!(scene.try_send(Hook::Egress, &inside), None);
    assert_eq!(scene.count(Counter::NoSourceAddress), 1);
}
