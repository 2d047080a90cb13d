//! `compute` against a naive answer to "where may this packet go?" over random clusters.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{RngSeed, TestRunner},
};
use proxy_agent::model::{Scope, ServicePortId, TrafficPolicy, compute};

use self::{
    answer::{Met, answer},
    world::{World, cluster, world},
};
use crate::{packet::Packet, tracer::trace};

mod answer;
mod packets;
mod world;

/// The same cases in every run, so that what passes passes again; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for others.
fn config(cases: u32) -> ProptestConfig {
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

/// What the oracle must have met.
const SITUATIONS: [&str; 41] = [
    "SCTP over IPv4",
    "SCTP over IPv6",
    "TCP over IPv4",
    "TCP over IPv6",
    "UDP over IPv4",
    "UDP over IPv6",
    "a node port at an address that serves none",
    "a pod asks",
    "an address of a family without a cluster IP",
    "an earlier Service wants another's cluster IP",
    "dropped by ranges",
    "dropped, as endpoints are only elsewhere",
    "external policy Local, but the client is of the node",
    "let in by a range",
    "masquerade all",
    "masquerade external traffic",
    "masquerade off-cluster clients",
    "masquerade only because of a hairpin",
    "masquerade the node",
    "node hints decide",
    "of all, only leaving ones",
    "of those here, only leaving ones",
    "pods are a range",
    "pods are the Node's ranges",
    "pods are unknown",
    "pods come by a bridge",
    "pods come by a prefix",
    "refused",
    "several Services claim one address and port",
    "slices with different port numbers",
    "someone outside asks",
    "the load balancer IP itself let in",
    "the node asks",
    "through a cluster IP",
    "through a load balancer IP",
    "through a node port",
    "through an external IP",
    "two entries for one endpoint that differ",
    "zone hints decide",
    "zone hints on some endpoints only",
    "zone hints, but none for us",
];

/// How many worlds are counted.
const WORLDS: u32 = 500;

/// In so many of them at least each situation has to come up.
const OFTEN: u32 = 5;

/// In how many of the first worlds the oracle meets each situation.
fn reached() -> BTreeMap<&'static str, u32> {
    let mut runner = TestRunner::new(config(WORLDS));
    let mut counts = BTreeMap::new();
    for _ in 0..WORLDS {
        let world = world().new_tree(&mut runner).expect("no value is refused");
        for situation in met(&world.current()) {
            *counts.entry(situation).or_default() += 1;
        }
    }
    counts
}

fn met(world: &World) -> Met {
    let mut met = Met::new();
    for packet in PACKETS.iter() {
        answer(world, packet, &mut met);
    }
    met
}

#[test]
fn the_random_clusters_reach_every_situation() {
    let counts = reached();
    for (situation, count) in &counts {
        println!("{count:>4} of {WORLDS}: {situation}");
    }
    let unknown: Vec<_> = counts
        .keys()
        .filter(|situation| !SITUATIONS.contains(situation))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in SITUATIONS");
    let count = |situation| counts.get(situation).copied().unwrap_or(0);
    let rare: Vec<_> = SITUATIONS
        .iter()
        .filter(|situation| count(situation) < OFTEN)
        .collect();
    assert!(
        rare.is_empty(),
        "{rare:?} come up in less than {OFTEN} of {WORLDS} worlds"
    );
}
