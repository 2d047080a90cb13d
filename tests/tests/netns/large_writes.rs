//! Megabytes in 64 KiB writes, which pass the hooks as GSO packets with checksums still to be filled in.

use harness::{
    topology::Host,
    traffic::{Client, Role, exchange},
    world::{Variant, World, shared},
};

/// 16 MiB each way.
const BLOCKS: u64 = 256;

#[test]
fn over_ipv4_they_arrive_unchanged() {
    arrive_unchanged(crate::IPV4_TCP);
}

#[test]
fn over_ipv6_they_arrive_unchanged() {
    arrive_unchanged(crate::IPV6_TCP);
}

fn arrive_unchanged(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    through_the_cluster_ip(&world, variant, &one.pods[2], &one.pods[0]);
    through_the_cluster_ip(&world, variant, &one.pods[2], &two.pods[0]);
    through_the_cluster_ip(&world, variant, &one.pods[0], &one.pods[0]);
    through_a_node_port(&world, variant, &two.pods[0]);
}

fn through_the_cluster_ip(world: &World, variant: Variant, client: &Host, endpoint: &Host) {
    let service = world.publish_role(variant, &[endpoint], Role::Echo).unwrap();
    exchange(Client::new(&client.ns).connect(service.vip()).unwrap(), BLOCKS).unwrap();
}

fn through_a_node_port(world: &World, variant: Variant, endpoint: &Host) {
    let service = world.publish_role(variant, &[endpoint], Role::Echo).unwrap();
    let target = service.node_port(&world.topology.nodes[0].host);
    exchange(
        Client::new(&world.topology.client.ns).connect(target).unwrap(),
        BLOCKS,
    )
    .unwrap();
}
