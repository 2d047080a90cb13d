//! A ClusterIP that is also the address of a device of the node, as NodeLocal DNSCache makes it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use harness::{
    exec,
    traffic::{Client, Role, Server},
    wait,
    world::{Variant, World, shared},
};

for_each_variant!(a_cluster_ip_on_a_device_is_left_to_its_listener_and_nothing_else_is);

/// From the kernel's doing to the agent's.
const LIMIT: Duration = Duration::from_secs(1);
/// For an answer that may not come.
const PATIENCE: Duration = Duration::from_millis(200);
/// What the listener calls itself.
const LOCAL: &str = "node-local";

fn a_cluster_ip_on_a_device_is_left_to_its_listener_and_nothing_else_is(variant: Variant) {
    let world = shared();
    let pod = &world.topology.nodes[0].pods[0];
    let dns = world.publish(variant, &[pod]).unwrap();
    let other = world.publish(variant, &[pod]).unwrap();
    assert_eq!(answerer(&world, variant, dns.vip()).unwrap(), pod.name);

    let device = format!("dns-{}", dns.service.target_port);
    put_on(&world, &device, dns.vip());
    let node = &world.topology.nodes[0].host.ns;
    let local = Server::start(node, LOCAL, Role::WhoAmI, variant.protocol, dns.vip()).unwrap();
    wait_for(&world, variant, dns.vip(), LOCAL);
    assert_eq!(answerer(&world, variant, other.vip()).unwrap(), pod.name);
    let node_port = dns.node_port(&world.topology.nodes[0].host);
    assert_eq!(answerer(&world, variant, node_port).unwrap(), pod.name);

    ip(&world, &format!("link del {device}"));
    wait_for(&world, variant, dns.vip(), &pod.name);
    drop(local);
}

#[test]
fn what_ipvs_mode_has_left_behind_keeps_no_service_from_being_served() {
    let world = World::start(harness::agent::TcAttach::Auto).unwrap();
    let pod = &world.topology.nodes[0].pods[0];
    for (variant, marker) in [(crate::IPV4_TCP, "192.0.2.77"), (crate::IPV6_TCP, "2001:db8::77")] {
        let service = world.publish(variant, &[pod]).unwrap();
        put_on(&world, "kube-ipvs0", service.vip());
        // Once the NodePort answers at an address that came later, the agent has seen this one, too.
        let later = SocketAddr::new(marker.parse().unwrap(), service.service.node_port.unwrap());
        put_on(&world, "later", later);
        wait_for(&world, variant, later, &pod.name);
        assert_eq!(answerer(&world, variant, service.vip()).unwrap(), pod.name);
        ip(&world, "link del kube-ipvs0\nlink del later");
    }
}

fn wait_for(world: &World, variant: Variant, target: SocketAddr, name: &str) {
    wait::until(name, LIMIT, || {
        let answer = answerer(world, variant, target)?;
        ensure!(answer == name, "{answer} answers");
        Ok(())
    })
    .unwrap();
}

/// Who answers a pod of the node.
fn answerer(world: &World, variant: Variant, target: SocketAddr) -> Result<String> {
    let client = Client::new(&world.topology.nodes[0].pods[2].ns).patience(PATIENCE);
    Ok(client.ask(variant.protocol, target).context("no answer")?.server)
}

fn put_on(world: &World, device: &str, address: SocketAddr) {
    let address = address.ip();
    ip(
        world,
        &format!("link add {device} type bridge\nlink set {device} up\naddr add {address} dev {device}"),
    );
}

fn ip(world: &World, lines: &str) {
    exec::ip_batch(Some(world.topology.nodes[0].host.ns.name()), lines).unwrap();
}
