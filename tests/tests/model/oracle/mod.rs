//! `compute` against a naive answer to "where may this packet go?" over random clusters.

use std::sync::LazyLock;

use harness::manifests::cluster;
use proptest::{prelude::*, test_runner::RngSeed};
use proxy_agent::model::{Scope, ServicePortId, TrafficPolicy, compute};

pub(crate) use self::{
    answer::{Met, answer},
    world::{World, world},
};
use crate::{packet::Packet, tracer::trace};

mod answer;
mod client;
mod door;
mod endpoints;
pub(crate) mod packets;
mod reach;
mod weights;
mod world;

/// The same cases in every run, so that what passes passes again; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for others.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

static PACKETS: LazyLock<Vec<Packet>> = LazyLock::new(packets::all);

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn every_packet_goes_where_the_objects_say(world in world()) {
        let desired = compute(&cluster(world.objects()), &world.context);
        let mut met = Met::new();
        for packet in PACKETS.iter() {
            let by_objects = answer(&world, packet, &mut met);
            prop_assert_eq!(trace(&desired, packet), by_objects, "{:?}", packet);
        }
    }

}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn the_order_in_which_objects_come_changes_nothing(
        (world, shuffled) in world().prop_flat_map(|world| {
            let objects = Just(world.objects()).prop_shuffle();
            (Just(world), objects)
        }),
    ) {
        let in_order = compute(&cluster(world.objects()), &world.context);
        prop_assert_eq!(in_order, compute(&cluster(shuffled), &world.context));
    }

    #[test]
    fn every_list_that_a_frontend_names_exists_in_order_and_without_duplicates(world in world()) {
        let desired = compute(&cluster(world.objects()), &world.context);
        for (key, frontend) in &desired.frontends {
            for scope in [frontend.external_clients, frontend.internal_clients] {
                let list = &desired.lists[&frontend.list_key(key.address.family(), scope)].endpoints;
                prop_assert!(list.is_sorted_by(|a, b| (a.address, a.port) < (b.address, b.port)));
                prop_assert!(scope == Scope::Cluster || list.iter().all(|at| at.local));
            }
            prop_assert!(desired.service_ports.contains_key(&frontend.service_port));
        }
    }

    #[test]
    fn what_is_not_about_packets_is_passed_on(world in world()) {
        let desired = compute(&cluster(world.objects()), &world.context);
        for (id, port) in &desired.service_ports {
            let service = &world.services[&id.service];
            let is_local = service.external_traffic_policy == TrafficPolicy::Local;
            let health = service.health_check_node_port.filter(|_| is_local);
            prop_assert_eq!((port.session_affinity, port.health_check_node_port), (service.session_affinity, health));
        }
        for (name, service) in &world.services {
            for port in &service.ports {
                let is_it = |id: &&ServicePortId| {
                    (&id.service, &id.port, id.protocol) == (name, &port.name, port.protocol)
                };
                prop_assert!(desired.service_ports.keys().any(|id| is_it(&id)), "{}:{}", name, port.name);
            }
        }
    }
}
