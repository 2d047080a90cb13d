//! A node with two uplinks, and a rule that what it sends from an uplink's address leaves there.

use std::net::{IpAddr, SocketAddr};

use harness::{
    agent::TcAttach,
    topology::{Host, Topology, uplink_ip},
    world::{Variant, World},
};

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

#[test]
fn packets_are_masqueraded_by_the_uplink_that_they_leave_by_and_replies_come_back_the_same_way() {
    let topology = Topology::build().unwrap();
    let behind = topology.add_uplink().unwrap();
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        a_client_behind_the_second_uplink(&world, &behind, variant);
        an_endpoint_behind_the_second_uplink(&world, &behind, variant);
    }
}

fn a_client_behind_the_second_uplink(world: &World, behind: &Host, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let addresses = [uplink_ip(variant.family), one.host.ip(variant.family)];
    for endpoint in [&one.pods[0], &two.pods[0], &two.host] {
        for address in addresses {
            let seen = asks(world, variant, behind, address, endpoint);
            // A pod's device has no address of its own: the node has no default route either, so the first one serves.
            assert_eq!(
                seen,
                one.host.ip(variant.family),
                "{address} to {}",
                endpoint.name
            );
        }
    }
}

fn an_endpoint_behind_the_second_uplink(world: &World, behind: &Host, variant: Variant) {
    let [one, _] = &world.topology.nodes;
    for address in [uplink_ip(variant.family), one.host.ip(variant.family)] {
        for client in [&one.pods[2], behind] {
            let seen = asks(world, variant, client, address, behind);
            assert_eq!(seen, uplink_ip(variant.family), "{} at {address}", client.name);
        }
    }
    let seen = asks(
        world,
        variant,
        &world.topology.client,
        one.host.ip(variant.family),
        behind,
    );
    assert_eq!(seen, uplink_ip(variant.family));
}

/// Whom the endpoint sees when the client asks at the NodePort of this address.
fn asks(world: &World, variant: Variant, client: &Host, address: IpAddr, endpoint: &Host) -> IpAddr {
    let service = world.publish(variant, &[endpoint]).unwrap();
    let port = service.node_port(&world.topology.nodes[0].host).port();
    crate::seen_by(endpoint, variant, client, SocketAddr::new(address, port))
}
