//! A CNI plugin's own rules: masquerading of its pods by netfilter, as flannel's, and reverse-path filters for both families.

use std::time::{Duration, Instant};

use harness::{
    agent::TcAttach,
    iptables::Iptables,
    topology::{Host, Node, Topology, pod_network},
    traffic::{Client, Role, Server, Talker},
    world::{Variant, World},
};
use proxy_agent::model::Family;

/// How long conversations go on.
const LOOKED_AFTER: Duration = Duration::from_millis(2_500);

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

#[test]
fn services_work_beside_flannels_masquerading_with_nft() {
    beside(Iptables::Nft, flannel);
}

#[test]
fn services_work_beside_flannels_masquerading_with_legacy() {
    beside(Iptables::Legacy, flannel);
}

#[test]
fn services_pass_the_reverse_path_filter_of_both_families() {
    beside(Iptables::Nft, |_, _| {
        "*raw\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n".to_owned()
    });
}

/// Flannel's four rules; all pods have one range here, so this node's are named one by one.
fn flannel(node: &Node, family: Family) -> String {
    let (pods, multicast) = match family {
        Family::V4 => (pod_network(family), "224.0.0.0/4"),
        Family::V6 => (pod_network(family), "ff00::/8"),
    };
    let here: String = node
        .pods
        .iter()
        .map(|pod| format!("-A POSTROUTING ! -s {pods} -d {} -j RETURN\n", pod.ip(family)))
        .collect();
    format!(
        "*nat\n\
         -A POSTROUTING -s {pods} -d {pods} -j RETURN\n\
         -A POSTROUTING -s {pods} ! -d {multicast} -j MASQUERADE --random-fully\n\
         {here}\
         -A POSTROUTING ! -s {pods} -d {pods} -j MASQUERADE --random-fully\n\
         COMMIT\n"
    )
}

fn beside(iptables: Iptables, rules: impl Fn(&Node, Family) -> String) {
    if !iptables.is_installed() {
        harness::skip::skipped(
            "cni_masquerade",
            &format!("no {iptables:?} iptables: install iptables"),
        );
        return;
    }
    let topology = Topology::build().unwrap();
    for (node, family) in topology
        .nodes
        .iter()
        .flat_map(|node| Family::ALL.map(|family| (node, family)))
    {
        iptables
            .restore(&node.host.ns, family, &rules(node, family))
            .unwrap();
    }
    let world = World::on(topology, TcAttach::Auto).unwrap();
    for variant in VARIANTS {
        pods_reach_cluster_ips(&world, variant);
        everybody_reaches_node_ports(&world, variant);
        one_client_port_serves_two_services(&world, variant);
    }
    conversations_go_on(&world);
    if rules(&world.topology.nodes[1], Family::V4).contains("MASQUERADE") {
        pods_reach_the_outside(&world);
    }
}

fn pods_reach_cluster_ips(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let pod = &one.pods[2];
    for endpoint in [&one.pods[0], &two.pods[0]] {
        assert_eq!(
            reaches(world, variant, pod, endpoint, None),
            pod.ip(variant.family)
        );
    }
    reaches(world, variant, pod, &two.host, None);
    reaches(world, variant, pod, &one.host, None);
    assert_eq!(
        reaches(world, variant, pod, pod, None),
        one.host.ip(variant.family)
    );
}

fn everybody_reaches_node_ports(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    for client in [&world.topology.client, &one.pods[2]] {
        for endpoint in [&one.pods[0], &two.pods[0], &two.host] {
            let seen = reaches(world, variant, client, endpoint, Some(&one.host));
            assert_eq!(
                seen,
                one.host.ip(variant.family),
                "{} to {}",
                client.name,
                endpoint.name
            );
        }
        reaches(world, variant, client, &one.host, Some(&one.host));
    }
}

/// Whom the endpoint sees when the client asks at the ClusterIP, or at the NodePort of a node.
fn reaches(
    world: &World,
    variant: Variant,
    client: &Host,
    endpoint: &Host,
    node: Option<&Host>,
) -> std::net::IpAddr {
    let service = world.publish(variant, &[endpoint]).unwrap();
    let target = node.map_or(service.vip(), |node| service.node_port(node));
    crate::seen_by(endpoint, variant, client, target)
}

fn one_client_port_serves_two_services(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let first = world.publish(variant, &[&two.pods[0]]).unwrap();
    let second = world.publish_beside(&first).unwrap();
    let client = Client::new(&world.topology.client.ns).from_port(4445);
    let mut talks = [&first, &second].map(|service| {
        client
            .talk(variant.protocol, service.node_port(&one.host))
            .unwrap()
    });
    for round in ["one", "two"] {
        let [a, b] = &mut talks;
        assert_ne!(a.ask(round).unwrap().client, b.ask(round).unwrap().client);
    }
}

/// All the time until the programs have looked after their flows, which they do when a second of the clock has passed, twice.
fn conversations_go_on(world: &World) {
    let [one, two] = &world.topology.nodes;
    let services = VARIANTS.map(|variant| (variant, world.publish(variant, &[&two.pods[0]]).unwrap()));
    let mut talkers = Vec::new();
    for (variant, service) in &services {
        let outside = (&world.topology.client.ns, service.node_port(&one.host));
        let targets = [outside, (&one.pods[2].ns, service.vip())];
        talkers.extend(targets.map(|(ns, target)| {
            let conversation = Client::new(ns).talk(variant.protocol, target).unwrap();
            Talker::start(conversation)
        }));
    }
    let start = Instant::now();
    while start.elapsed() < LOOKED_AFTER {
        for talker in &talkers {
            talker.keeps_talking(5).unwrap();
        }
    }
    for talker in talkers {
        talker.stop().unwrap();
    }
}

/// Without any Service: their packets are the rules' business alone.
fn pods_reach_the_outside(world: &World) {
    let [_, two] = &world.topology.nodes;
    let outside = &world.topology.client;
    for variant in VARIANTS {
        let at = outside.at(variant.family, 9_000);
        let _server = Server::start(&outside.ns, "outside", Role::WhoAmI, variant.protocol, at).unwrap();
        let answer = Client::new(&two.pods[1].ns).ask(variant.protocol, at).unwrap();
        assert_eq!(answer.client.ip(), two.host.ip(variant.family));
    }
}
