//! Programs and iptables rules take over from each other, and no process of the node notices, unless it has to.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::{
    agent::READY,
    exec,
    manifests::Endpoint,
    topology::Host,
    traffic::{Client, Crowd, Strangers},
    wait,
    world::{Published, Variant, World},
};
use proxy_agent::model::{Family, Protocol};
use socket2::Socket;

use super::{ask, connected, ends};
use crate::handover::{DRAINING, RULES, VARIANTS, has_rules, restart_until};

/// Of each kind.
const MANY: usize = 40;

/// Where sockets are seen. Rules translate what has a way, so there is one that leads to nobody.
fn world() -> World {
    let world = World::start_with_sockets(&[]).unwrap();
    let outside = &world.topology.client;
    for node in &world.topology.nodes {
        for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
            let services = match variant.family {
                Family::V4 => "10.97.0.0/16",
                Family::V6 => "fd00:10:61::/48",
            };
            let route = format!("route add {services} via {}\n", outside.ip(variant.family));
            exec::ip_batch(Some(node.host.ns.name()), &route).unwrap();
        }
    }
    world
}

fn to_rules(world: &World) {
    restart_until(world, &RULES, DRAINING);
    assert!(has_rules(world));
}

fn to_programs(world: &World) {
    restart_until(world, &["--mode", "bpf"], "translating sockets");
    wait::until("the rules are gone", READY, || {
        ensure!(!has_rules(world), "KUBE-SERVICES is there");
        Ok(())
    })
    .unwrap();
}

/// From a node and from a pod, at the cluster IP, and from the node at its own node port.
fn crowd(world: &World, services: &[(Variant, Published<'_>)]) -> Crowd {
    let node = &world.topology.nodes[0];
    let mut crowd = Crowd::default();
    for (Variant { protocol, .. }, service) in services {
        for (client, target) in [
            (&node.host, service.vip()),
            (&node.host, service.node_port(&node.host)),
            (&node.pods[2], service.vip()),
        ] {
            crowd
                .join(&Client::new(&client.ns), *protocol, target, MANY)
                .unwrap();
        }
    }
    crowd
}

#[test]
fn no_process_of_the_node_notices_that_rules_have_its_connections_and_programs_again() {
    let world = world();
    let [one, two] = &world.topology.nodes;
    let services = VARIANTS.map(|variant| {
        let service = world.publish(variant, &[&one.pods[0], &two.pods[0]]);
        (variant, service.unwrap())
    });
    let mut of_programs = crowd(&world, &services);
    let targets = services
        .iter()
        .map(|(variant, service)| (variant.protocol, service.vip()));
    let strangers = Strangers::come(Arc::clone(&one.host.ns), targets.collect());

    to_rules(&world);
    of_programs.goes_on("rules have the new connections").unwrap();
    let mut of_rules = crowd(&world, &services);
    to_programs(&world);
    of_rules.goes_on("programs have taken over").unwrap();
    of_programs.goes_on("programs are back").unwrap();
    crowd(&world, &services).goes_on("new ones by programs").unwrap();
    let served = strangers.stop().unwrap();
    assert!(served > 100, "only {served} strangers came");
}

/// A socket of the node, and the pod that answers it.
fn socket_at<'h>(
    variant: Variant,
    node: &Host,
    service: &Published<'_>,
    pod: &'h Host,
) -> (Socket, &'h Host) {
    let socket = wait::until("a socket at that endpoint", READY, || {
        let socket = connected(variant, node, service.vip())?;
        (ask(&socket)?.0 == pod.name)
            .then_some(socket)
            .context("the other one")
    });
    (socket.unwrap(), pod)
}

/// Whoever serves them by now.
fn endpoints(world: &World, service: &Published<'_>, pods: &[&Host]) {
    let mut changed = service.service.clone();
    changed.endpoints = Endpoint::of(pods, &[Family::of(service.vip().ip())]);
    world.manifests.write(&changed).unwrap();
}

#[test]
fn a_socket_whose_endpoint_goes_after_the_change_is_ended_and_no_other() {
    let world = world();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let variants = [crate::IPV4_UDP, crate::IPV6_UDP];
    let services = variants.map(|variant| (variant, world.publish(variant, &pods).unwrap()));
    for change in [to_rules, to_programs] {
        let sockets = services
            .iter()
            .map(|(variant, service)| pods.map(|pod| socket_at(*variant, &one.host, service, pod)));
        let sockets: Vec<_> = sockets.collect();
        change(&world);
        for ((variant, service), [(stays, pod), (goes, _)]) in services.iter().zip(&sockets) {
            assert_eq!(variant.protocol, Protocol::Udp);
            endpoints(&world, service, &pods[..1]);
            ends(goes);
            assert_eq!(ask(stays).unwrap().0, pod.name);
            let again = connected(*variant, &one.host, service.vip()).unwrap();
            assert_eq!(ask(&again).unwrap().0, pod.name);
            endpoints(&world, service, &pods);
        }
    }
}
