//! Narrow links in the middle of the path through a Service: both ends learn of them and send smaller packets.
//!
//! ```text
//! client ─1500─ node1 ─1400▶ node2 ─1350▶ endpoint      what the client sends
//! client ◀1380─ node1 ─1500─ node2 ─1500─ endpoint      what the endpoint sends
//! ```

use harness::{
    agent::TcAttach,
    exec,
    topology::{Host, Topology, pod_interface},
    traffic::{Client, Role, exchange},
    world::{Variant, World},
};
use proxy_agent::model::Family;

const VARIANTS: [Variant; 2] = [crate::IPV4_TCP, crate::IPV6_TCP];

/// 1 MiB each way.
const BLOCKS: u64 = 16;

/// One world for both families: to load programs takes longer than the traffic.
#[test]
fn both_ends_learn_what_fits_through() {
    let topology = Topology::build().unwrap();
    for variant in VARIANTS {
        narrow(&topology, variant.family);
    }
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        through_the_cluster_ip(&world, variant);
        through_a_node_port(&world, variant);
    }
}

/// The client's own node complains, then the endpoint's.
fn through_the_cluster_ip(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let service = world.publish_role(variant, &[&two.pods[0]], Role::Echo).unwrap();
    exchange(
        Client::new(&one.pods[2].ns).connect(service.vip()).unwrap(),
        BLOCKS,
    )
    .unwrap();
    knows(&one.pods[2], service.vip().ip(), 1_350);
}

/// Masqueraded: complaints of the endpoint's node are addressed to the node, those about replies quote the client.
fn through_a_node_port(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let client = &world.topology.client;
    let service = world.publish_role(variant, &[&two.pods[0]], Role::Echo).unwrap();
    let target = service.node_port(&one.host);
    exchange(Client::new(&client.ns).connect(target).unwrap(), BLOCKS).unwrap();
    knows(client, target.ip(), 1_350);
    knows(&two.pods[0], target.ip(), 1_380);
}

/// Routes stand for links: what forwards by them complains about whatever is larger.
fn narrow(topology: &Topology, family: Family) {
    let [one, two] = &topology.nodes;
    let (endpoint, client) = (two.pods[0].ip(family), topology.client.ip(family));
    let at_two = two.host.ip(family);
    let port = pod_interface(&two.pods[0]);
    route(&one.host, &format!("{endpoint} via {at_two} mtu lock 1400"));
    route(&one.host, &format!("{client} dev eth0 mtu lock 1380"));
    route(&two.host, &format!("{endpoint} dev {port} mtu lock 1350"));
}

fn route(host: &Host, route: &str) {
    exec::ip_batch(Some(host.ns.name()), &format!("route replace {route}\n")).unwrap();
}

#[track_caller]
fn knows(host: &Host, destination: std::net::IpAddr, mtu: u32) {
    let route = exec::output(
        host.ns
            .command("ip")
            .args(["-o", "route", "get", &destination.to_string()]),
    )
    .unwrap();
    assert!(
        route.contains(&format!("mtu {mtu} ")),
        "{} to {destination}: {route}",
        host.name
    );
}
