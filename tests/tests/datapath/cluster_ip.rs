//! A ClusterIP, for clients that are not masqueraded.

use harness::bpf::{ACK, Hook};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene, Trip},
};

for_each_variant_and_layer!(
    a_request_goes_to_the_endpoint_and_its_reply_comes_from_the_virtual_ip,
    packets_of_a_flow_stay_with_its_endpoint,
);

for_each_variant!(a_service_is_found_by_address_port_and_protocol);

fn a_request_goes_to_the_endpoint_and_its_reply_comes_from_the_virtual_ip(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service([1])]);
    let request = variant.opening(variant.client(1, EPHEMERAL), variant.vip(1));
    let to_endpoint = request.to(variant.target(1));

    let expected = Trip {
        inside: to_endpoint.clone(),
        arrived: to_endpoint,
    };
    assert_eq!(scene.round_trip(&request), expected);
    assert_eq!(scene.counted(), [("flows_opened", 1)]);
}

fn packets_of_a_flow_stay_with_its_endpoint(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.service(1..=8)]);
    for port in EPHEMERAL..EPHEMERAL + 20 {
        let opening = variant.opening(variant.client(1, port), variant.vip(1));
        let first = scene.round_trip(&opening).arrived.destination;
        for _ in 0..5 {
            assert_eq!(scene.round_trip(&opening.flags(ACK)).arrived.destination, first);
        }
    }
    assert_eq!(scene.count(Counter::FlowsOpened), 20);
    assert_eq!((scene.flows(Hook::Ingress), scene.flows(Hook::Egress)), (20, 20));
}

fn a_service_is_found_by_address_port_and_protocol(variant: Variant) {
    let mut scene = Scene::new(variant, &[variant.node_port_service([1])]);
    let (client, vip) = (variant.client(1, EPHEMERAL), variant.vip(1));
    let other_protocol = match variant.opening(client, vip).transport {
        harness::bpf::Transport::Tcp(_) => harness::bpf::Transport::Udp,
        _ => harness::bpf::Transport::Tcp(harness::bpf::SYN),
    };
    let mut wrong_protocol = variant.opening(client, vip);
    wrong_protocol.transport = other_protocol;
    for packet in [
        variant.opening(client, variant.vip(2)),
        variant.opening(client, (vip.ip(), 81).into()),
        variant.opening(client, (variant.node(), 80).into()),
        variant.opening(client, (vip.ip(), variant.node_port().port()).into()),
        wrong_protocol,
    ] {
        assert_eq!(scene.send(Hook::Ingress, &packet), packet);
        assert_eq!(scene.send(Hook::Egress, &packet), packet);
    }
    assert_eq!(scene.counted(), []);
}
