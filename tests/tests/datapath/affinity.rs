//! Session affinity: a client's new connections go where its last one went.

use std::net::SocketAddr;

use harness::bpf::{ACK, ClusterIp};

use crate::{
    Variant,
    scene::{EPHEMERAL, Scene},
};

for_each_variant!(
    a_client_keeps_its_endpoint_and_others_have_their_own,
    the_time_begins_anew_with_each_connection,
    packets_of_an_open_connection_do_not_begin_the_time_anew,
    a_client_moves_once_its_endpoint_is_gone_and_keeps_the_new_one,
    affinity_is_kept_by_address_at_all_frontends_of_a_service_port,
);

const TIMEOUT: u32 = 100;
const ENDPOINTS: u8 = 8;
/// By chance they would all go to one of 8 endpoints once in 2^57.
const FLOWS: u16 = 20;

fn sticky(variant: Variant, endpoints: impl IntoIterator<Item = u8>) -> ClusterIp {
    ClusterIp {
        edit: |service| service.session_affinity = Some(TIMEOUT),
        ..variant.node_port_service(endpoints)
    }
}

/// Where the client's next connection goes, from its port number `EPHEMERAL + number`.
fn target(scene: &mut Scene, variant: Variant, client: u8, number: u16) -> SocketAddr {
    let request = variant.opening(variant.client(client, EPHEMERAL + number), variant.vip(1));
    scene.round_trip(&request).arrived.destination
}

fn a_client_keeps_its_endpoint_and_others_have_their_own(variant: Variant) {
    let mut scene = Scene::new(variant, &[sticky(variant, 1..=ENDPOINTS)]);
    let mut met = Vec::new();
    for client in 1..=40 {
        let first = target(&mut scene, variant, client, 0);
        for number in 1..FLOWS {
            assert_eq!(target(&mut scene, variant, client, number), first);
        }
        met.push(first);
    }
    met.sort_unstable();
    met.dedup();
    assert!(met.len() > 1, "each client has its own");
}

fn the_time_begins_anew_with_each_connection(variant: Variant) {
    let mut scene = Scene::new(variant, &[sticky(variant, 1..=ENDPOINTS)]);
    let first = target(&mut scene, variant, 1, 0);
    for number in 1..FLOWS {
        scene.age_affinities(TIMEOUT - 10);
        assert_eq!(target(&mut scene, variant, 1, number), first);
    }
    let mut later = Vec::new();
    for number in FLOWS..2 * FLOWS {
        scene.age_affinities(TIMEOUT + 1);
        later.push(target(&mut scene, variant, 1, number));
    }
    assert!(later.iter().any(|target| *target != first), "the time is over");
}

fn packets_of_an_open_connection_do_not_begin_the_time_anew(variant: Variant) {
    let mut scene = Scene::new(variant, &[sticky(variant, 1..=ENDPOINTS)]);
    let mut met = Vec::new();
    for number in 0..FLOWS {
        met.push(target(&mut scene, variant, 1, number));
        let open = variant.opening(variant.client(1, EPHEMERAL + number), variant.vip(1));
        for _ in 0..2 {
            scene.age_affinities(TIMEOUT / 2 + 1);
            scene.round_trip(&open.flags(ACK));
        }
    }
    assert!(met.iter().any(|target| *target != met[0]), "the time is over");
}

fn a_client_moves_once_its_endpoint_is_gone_and_keeps_the_new_one(variant: Variant) {
    let mut scene = Scene::new(variant, &[sticky(variant, 1..=ENDPOINTS)]);
    let first = target(&mut scene, variant, 1, 0);
    let left = (1..=ENDPOINTS).filter(|number| variant.target(*number) != first);
    scene.apply(&[sticky(variant, left.clone())]);
    let second = target(&mut scene, variant, 1, 1);
    assert_ne!(second, first);
    for number in 2..FLOWS {
        assert_eq!(target(&mut scene, variant, 1, number), second);
    }
    // The first one comes back, the client stays.
    scene.apply(&[sticky(variant, 1..=ENDPOINTS)]);
    assert_eq!(target(&mut scene, variant, 1, FLOWS), second);
}

fn affinity_is_kept_by_address_at_all_frontends_of_a_service_port(variant: Variant) {
    let mut scene = Scene::new(variant, &[sticky(variant, 1..=ENDPOINTS)]);
    // One alone would go to the same endpoint twice by chance, once in 8.
    for client in 1..=10 {
        let first = target(&mut scene, variant, client, 0);
        for number in 1..3 {
            let client = variant.client(client, EPHEMERAL + number);
            let trip = scene.round_trip(&variant.opening(client, variant.node_port()));
            assert_eq!(trip.arrived.destination, first);
        }
    }
}
