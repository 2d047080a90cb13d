//! Devices without Ethernet headers, such as tun and WireGuard: between the nodes, and to a client.

use std::net::SocketAddr;

use harness::{
    agent::TcAttach,
    exec,
    netns::NetNs,
    topology::{Host, Node, Topology},
    traffic::{Client, Role, exchange},
    tun::Tun,
    world::{Variant, World},
};
use proxy_agent::model::Family;

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

/// 1 MiB each way: each packet goes through a thread.
const BLOCKS: u64 = 16;

#[test]
fn services_work_over_devices_without_ethernet_headers() {
    let topology = Topology::build().unwrap();
    let [one, two] = &topology.nodes;
    let nodes = Tun::join(&one.host.ns, &two.host.ns, "wg0").unwrap();
    plug_in(&one.host, "wg0", 1, pods(two), 2);
    plug_in(&two.host, "wg0", 2, pods(one), 1);
    let outside = Tun::join(&one.host.ns, &topology.client.ns, "wg1").unwrap();
    plug_in(&one.host, "wg1", 3, Vec::new(), 4);
    plug_in(&topology.client, "wg1", 4, Vec::new(), 3);
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        pods_reach_each_other(&world, variant);
        a_client_reaches_node_ports(&world, variant);
    }
    for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
        let [one, two] = &world.topology.nodes;
        let service = world.publish_role(variant, &[&two.pods[0]], Role::Echo).unwrap();
        let pod = Client::new(&one.pods[2].ns).connect(service.vip()).unwrap();
        exchange(pod, BLOCKS).unwrap();
        let target = node_port(&service, variant.family);
        let client = Client::new(&world.topology.client.ns).connect(target).unwrap();
        exchange(client, BLOCKS).unwrap();
    }
    drop((nodes, outside));
}

fn pods_reach_each_other(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    for pod in [&one.pods[2], &two.pods[1]] {
        let answer = Client::new(&pod.ns).ask(variant.protocol, service.vip()).unwrap();
        assert_eq!(answer.client.ip(), pod.ip(variant.family));
    }
}

/// By the address of node1's end of the cable, which only that leads to.
fn a_client_reaches_node_ports(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    for (endpoint, seen) in [
        (&one.pods[0], one.host.ip(variant.family)),
        (&two.pods[0], cable(variant.family, 1)),
    ] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let target = node_port(&service, variant.family);
        let answer = Client::new(&world.topology.client.ns).ask(variant.protocol, target);
        let answer = answer.unwrap_or_else(|error| panic!("{variant:?} {}: {error}", endpoint.name));
        assert_eq!((answer.server, answer.client.ip()), (endpoint.name.clone(), seen));
    }
}

fn node_port(service: &harness::world::Published<'_>, family: Family) -> SocketAddr {
    let port = service.service.node_port.unwrap();
    SocketAddr::new(cable(family, 3), port)
}

/// The address of an end of a cable.
fn cable(family: Family, end: u8) -> std::net::IpAddr {
    match family {
        Family::V4 => format!("10.70.0.{end}").parse().unwrap(),
        Family::V6 => format!("fd00:70::{end}").parse().unwrap(),
    }
}

fn pods(node: &Node) -> Vec<String> {
    let addresses = node
        .pods
        .iter()
        .flat_map(|pod| Family::ALL.map(|family| pod.ip(family).to_string()));
    addresses.collect()
}

/// Brings an end up; what is behind the other end is reached by it.
fn plug_in(host: &Host, device: &str, own: u8, behind: Vec<String>, other: u8) {
    ip(&host.ns, &format!("link set {device} up"));
    let ends = Family::ALL.map(|family| cable(family, other).to_string());
    for family in Family::ALL {
        let bits = if family == Family::V4 { 32 } else { 128 };
        let address = cable(family, own);
        ip(&host.ns, &format!("addr add {address}/{bits} dev {device}"));
    }
    for address in ends.into_iter().chain(behind) {
        ip(&host.ns, &format!("route replace {address} dev {device}"));
    }
}

fn ip(ns: &NetNs, lines: &str) {
    exec::ip_batch(Some(ns.name()), &format!("{lines}\n")).unwrap();
}
