//! Each address of a Service, asked by a process of the node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use harness::{
    agent::READY,
    exec,
    traffic::Client,
    wait,
    world::{Variant, shared_with_sockets},
};
use proxy_agent::model::Family;

use super::{NOBODYS_SOURCE, beside, meets_exactly};

for_each_variant!(
    a_process_of_the_node_reaches_a_service_at_each_of_its_addresses,
    a_node_port_is_served_at_an_address_that_the_node_gets_later,
    the_loopback_address_of_a_pod_has_no_node_ports,
);

fn a_process_of_the_node_reaches_a_service_at_each_of_its_addresses(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let service = world.publish_edited(variant, &pods, |service| {
        service.load_balancer = Some(beside(service.cluster_ips[0], 99));
    });
    let service = service.unwrap();
    world.agents[0].wait_for(&service.service).unwrap();
    let port = service.service.port;
    let targets = [
        service.vip(),
        service.external_ip(),
        SocketAddr::new(service.service.load_balancer.unwrap(), port),
        service.node_port(&one.host),
        SocketAddr::new(loopback(variant.family), service.service.node_port.unwrap()),
    ];
    for target in targets {
        meets_exactly(variant, &one.host, target, &pods);
    }
}

fn a_node_port_is_served_at_an_address_that_the_node_gets_later(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let address = beside(service.service.cluster_ips[0], 96);
    let device = format!("more-{}", service.service.target_port);
    let lines = format!(
        "link add {device} type bridge\nlink set {device} up\naddr add {address} dev {device}{NOBODYS_SOURCE}\n"
    );
    exec::ip_batch(Some(node.host.ns.name()), &lines).unwrap();
    let target = SocketAddr::new(address, service.service.node_port.unwrap());
    let answer = || -> Result<()> {
        let answer = Client::new(&node.host.ns).ask(variant.protocol, target)?;
        ensure!(answer.server == node.pods[0].name, "{answer:?}");
        Ok(())
    };
    wait::until("the NodePort at the new address", READY, answer).unwrap();
    exec::ip_batch(Some(node.host.ns.name()), &format!("link del {device}\n")).unwrap();
}

fn the_loopback_address_of_a_pod_has_no_node_ports(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let target = SocketAddr::new(loopback(variant.family), service.service.node_port.unwrap());
    assert_eq!(super::answerer(variant, &node.host, target), node.pods[0].name);
    crate::no_endpoints::is_refused(variant, &node.pods[2], target);
}

const fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}
