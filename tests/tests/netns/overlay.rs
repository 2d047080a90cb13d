//! VXLAN between the nodes, as flannel's: packets that leave by the tunnel are smaller, and masqueraded with its address.

use harness::{
    agent::TcAttach,
    topology::{Host, Topology, overlay_ip},
    traffic::{Client, Role, exchange},
    world::{Variant, World},
};

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

/// 4 MiB each way.
const BLOCKS: u64 = 64;

#[test]
fn services_work_through_a_vxlan_tunnel() {
    let topology = Topology::build().unwrap();
    topology.build_overlay().unwrap();
    let world = World::on(topology, TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    let client = &world.topology.client;
    for variant in VARIANTS {
        let (family, protocol) = (variant.family, variant.protocol);
        let service = world.publish(variant, &[&two.pods[0]]).unwrap();
        let asks = |host: &Host, target| Client::new(&host.ns).ask(protocol, target).unwrap().client.ip();
        assert_eq!(asks(&one.pods[2], service.vip()), one.pods[2].ip(family));
        assert_eq!(asks(&two.pods[1], service.vip()), two.pods[1].ip(family));
        for host in [client, &one.pods[2]] {
            let seen = asks(host, service.node_port(&one.host));
            assert_eq!(
                seen,
                overlay_ip(0, family),
                "{} by the tunnel's address",
                host.name
            );
        }
        assert_eq!(asks(client, service.node_port(&two.host)), two.host.ip(family));
    }
    for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
        megabytes_arrive_unchanged(&world, variant);
    }
}

fn megabytes_arrive_unchanged(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let service = world.publish_role(variant, &[&two.pods[0]], Role::Echo).unwrap();
    let ways = [
        (&one.pods[2], service.vip()),
        (&world.topology.client, service.node_port(&one.host)),
    ];
    for (host, target) in ways {
        exchange(Client::new(&host.ns).connect(target).unwrap(), BLOCKS).unwrap();
    }
}
