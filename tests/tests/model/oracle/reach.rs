//! That the random clusters are not all alike.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    PACKETS,
    answer::{Met, answer},
    config,
    world::{World, world},
};

/// What the oracle must have met.
const SITUATIONS: [&str; 46] = [
    "all weights are 0",
    "some weights are 0",
    "unequal weights",
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
    "of two entries for one endpoint both are terminating",
    "of two entries for one endpoint none is terminating",
    "of two entries for one endpoint one is terminating",
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
    let count = |situation: &&'static str| counts.get(*situation).copied().unwrap_or(0);
    let rare: Vec<_> = SITUATIONS
        .iter()
        .filter(|situation| count(situation) < OFTEN)
        .collect();
    assert!(
        rare.is_empty(),
        "{rare:?} come up in less than {OFTEN} of {WORLDS} worlds"
    );
}
