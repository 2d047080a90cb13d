//! The first packet to an endpoint whose link-layer address nobody on the node knows.

use std::time::Duration;

use harness::{
    agent::TcAttach,
    exec,
    topology::Topology,
    traffic::Client,
    wait,
    world::{Variant, World},
};

const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(1);

/// With UDP: nobody sends a lost datagram again. In a world of its own, whose neighbours no other test forgets or needs.
#[test]
fn the_first_datagram_to_a_neighbour_that_was_forgotten_gets_through() {
    let world = World::start(TcAttach::Auto).unwrap();
    for variant in [crate::IPV4_UDP, crate::IPV6_UDP] {
        gets_through(&world, variant);
    }
}

fn gets_through(world: &World, variant: Variant) {
    let Topology { nodes, client, .. } = &world.topology;
    let [one, two] = nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        for (host, target) in [
            (&one.pods[2], service.vip()),
            (client, service.node_port(&one.host)),
        ] {
            for _ in 0..ROUNDS {
                forget_neighbours(world);
                let answer = Client::new(&host.ns).ask(variant.protocol, target).unwrap();
                assert_eq!(answer.server, endpoint.name);
            }
        }
    }
}

fn forget_neighbours(world: &World) {
    for node in &world.topology.nodes {
        // It fails over one that the kernel forgets at the same time.
        let flush = || exec::ip_batch(Some(node.host.ns.name()), "neigh flush all");
        wait::until("no neighbours", LIMIT, flush).unwrap();
    }
}
