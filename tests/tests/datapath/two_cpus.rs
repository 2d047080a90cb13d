//! Two CPUs that open flows at the same time never give both the same reply.

use harness::bpf::{ClusterIp, Hook, Packet};
use proxy_common::Counter;

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant!(
    one_free_port_goes_to_one_of_two_cpus,
    the_port_of_an_expired_flow_goes_to_one_of_two_cpus,
    the_reply_of_an_expired_flow_is_given_to_one_of_two_virtual_ips,
    one_free_port_goes_to_one_of_two_virtual_ips_whose_replies_another_has,
);

/// A step of taking an expired port over that is not exclusive is lost by tens of these.
const ROUNDS: u32 = 500;
/// The only port there is for masquerading.
const PORT: u16 = 5_000;

fn one_free_port_goes_to_one_of_two_cpus(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[PORT..=PORT]);
    for _ in 0..ROUNDS {
        let reply = masqueraded_at_once(&mut scene, variant).answer();
        scene.evict(Hook::Ingress, &reply);
    }
}

fn the_port_of_an_expired_flow_goes_to_one_of_two_cpus(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &[variant.node_port_service([1])], &[PORT..=PORT]);
    let old = variant.opening(variant.client(3, EPHEMERAL), variant.node_port());
    let reply = scene.request(&old).arrived.answer();
    for _ in 0..ROUNDS {
        scene.age(Hook::Ingress, &reply, variant.unanswered_timeout() + 1);
        masqueraded_at_once(&mut scene, variant);
    }
}

/// Two clients ask at the same time, and one of them gets the port; its request as the endpoint sees it. It is forgotten but for
/// the entry for its reply.
fn masqueraded_at_once(scene: &mut Scene, variant: Variant) -> Packet {
    let requests =
        [1, 2].map(|client| variant.opening(variant.client(client, EPHEMERAL), variant.node_port()));
    let inside = requests
        .each_ref()
        .map(|request| scene.send(Hook::Ingress, request));
    let (winner, arrived) = match scene.send_at_once(Hook::Egress, inside.each_ref()) {
        [Some(arrived), None] => (0, arrived),
        [None, Some(arrived)] => (1, arrived),
        other => panic!("one port for two clients: {other:?}, {:?}", scene.counted()),
    };
    assert_eq!(arrived.source, (variant.node(), PORT).into());
    scene.evict(Hook::Ingress, &requests[winner]);
    scene.evict(Hook::Egress, &inside[winner]);
    arrived
}

/// All with the same endpoint.
fn three_virtual_ips(variant: Variant) -> [ClusterIp; 3] {
    [(1, "one"), (2, "two"), (3, "three")].map(|(number, name)| ClusterIp {
        name,
        address: variant.vip(number),
        ..variant.service([1])
    })
}

fn the_reply_of_an_expired_flow_is_given_to_one_of_two_virtual_ips(variant: Variant) {
    let services = three_virtual_ips(variant);
    let mut scene = Scene::new(variant, &services);
    let client = variant.client(1, EPHEMERAL);
    let [one, two, old] = [1, 2, 3].map(|number| variant.opening(client, variant.vip(number)));
    let reply = scene.send(Hook::Ingress, &old).answer();
    for round in 1..=ROUNDS {
        scene.age(Hook::Egress, &reply, variant.unanswered_timeout() + 1);
        let inside = scene
            .send_at_once(Hook::Ingress, [&one, &two])
            .map(Option::unwrap);
        assert_ne!(
            inside[0].source, inside[1].source,
            "one reply for two virtual IPs"
        );
        assert_eq!(scene.count(Counter::SourcePortsChanged), u64::from(round));
        for (request, inside) in [&one, &two].into_iter().zip(&inside) {
            scene.evict(Hook::Ingress, request);
            if inside.answer() != reply {
                scene.evict(Hook::Egress, &inside.answer());
            }
        }
    }
}

fn one_free_port_goes_to_one_of_two_virtual_ips_whose_replies_another_has(variant: Variant) {
    let mut scene = Scene::with_ports(variant, &three_virtual_ips(variant), &[PORT..=PORT]);
    let client = variant.client(1, EPHEMERAL);
    let [one, two, other] = [1, 2, 3].map(|number| variant.opening(client, variant.vip(number)));
    for _ in 0..ROUNDS {
        scene.send(Hook::Ingress, &other);
        let inside = scene
            .send_at_once(Hook::Ingress, [&one, &two])
            .map(Option::unwrap);
        let winner = match inside.each_ref().map(|packet| packet.source.port()) {
            [PORT, EPHEMERAL] => 0,
            [EPHEMERAL, PORT] => 1,
            _ => panic!("one port for two virtual IPs: {inside:?}"),
        };
        scene.evict(Hook::Ingress, [&one, &two][winner]);
        scene.evict(Hook::Egress, &inside[winner].answer());
    }
}
