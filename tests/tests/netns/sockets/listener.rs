//! A process of the node that listens on an address of a Service.

use std::net::SocketAddr;

use super::NOBODYS_SOURCE;
use anyhow::{Result, ensure};
use harness::{
    agent::READY,
    exec,
    topology::Host,
    traffic::{Client, Role, Server},
    wait,
    world::{Variant, shared_with_sockets},
};

for_each_variant!(
    the_service_has_its_port_of_an_external_ip_and_a_listener_the_others,
    a_cluster_ip_on_a_device_is_its_listeners,
);

const OTHER_PORT: u16 = 8_053;

fn the_service_has_its_port_of_an_external_ip_and_a_listener_the_others(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let target = service.external_ip();
    let other = SocketAddr::new(target.ip(), OTHER_PORT);
    let device = put_on_device(&node.host, target);
    let listen = |at| Server::start(&node.host.ns, "listener", Role::WhoAmI, variant.protocol, at).unwrap();
    let _listeners = [target, other].map(listen);
    // Once the NodePort answers at the address, the agent knows it.
    let node_port = SocketAddr::new(target.ip(), service.service.node_port.unwrap());
    for (at, name) in [(node_port, "nginx-a"), (target, "nginx-a"), (other, "listener")] {
        wait::until(name, READY, || answers(variant, &node.host, at, name)).unwrap();
    }
    remove(&node.host, &device);
}

fn a_cluster_ip_on_a_device_is_its_listeners(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let target = service.vip();
    answers(variant, &node.host, target, "nginx-a").unwrap();
    let device = put_on_device(&node.host, target);
    let _listener = Server::start(&node.host.ns, "listener", Role::WhoAmI, variant.protocol, target).unwrap();
    for client in [&node.host, &node.pods[2]] {
        wait::until("listener", READY, || answers(variant, client, target, "listener")).unwrap();
    }
    remove(&node.host, &device);
}

fn answers(variant: Variant, client: &Host, target: SocketAddr, name: &str) -> Result<()> {
    let answer = Client::new(&client.ns).ask(variant.protocol, target)?;
    ensure!(
        answer.server == name,
        "{} answers {} at {target}",
        answer.server,
        client.name
    );
    Ok(())
}

fn put_on_device(node: &Host, address: SocketAddr) -> String {
    // Names of devices have 15 characters at most.
    let ip = address.ip();
    let device = format!("own{:x}", u16::from_be_bytes(last_octets(ip)));
    let device = format!("{device}{}", if ip.is_ipv4() { "v4" } else { "v6" });
    let lines = format!(
        "link add {device} type bridge\nlink set {device} up\naddr add {ip} dev {device}{NOBODYS_SOURCE}\n"
    );
    exec::ip_batch(Some(node.ns.name()), &lines).unwrap();
    device
}

fn last_octets(ip: std::net::IpAddr) -> [u8; 2] {
    match ip {
        std::net::IpAddr::V4(ip) => {
            let [.., third, fourth] = ip.octets();
            [third, fourth]
        }
        std::net::IpAddr::V6(ip) => {
            let [.., last] = ip.segments();
            last.to_be_bytes()
        }
    }
}

fn remove(node: &Host, device: &str) {
    exec::ip_batch(Some(node.ns.name()), &format!("link del {device}\n")).unwrap();
}
