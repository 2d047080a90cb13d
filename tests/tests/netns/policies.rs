//! Traffic policies, source ranges and session affinity: what real clients meet.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use harness::{
    agent::{READY, TcAttach},
    exec,
    topology::Host,
    traffic::{Answer, Client},
    wait,
    world::{Published, Variant, World, shared},
};
use proxy_agent::model::Family;

for_each_variant!(
    external_policy_local_serves_the_client_outside_from_here_and_keeps_its_address,
    internal_policy_local_serves_pods_from_here,
    a_load_balancer_lets_in_whom_its_source_ranges_name,
    a_client_with_session_affinity_keeps_its_endpoint,
);

/// By chance they would all go to one of two endpoints once in 2^23.
const ASKS: usize = 24;
/// Pods of the topology.
const PODS: &str = "192.168.166.0/24,fd00:10:166::/48";

/// Asks until there is an answer, and then as often as it takes to meet every endpoint.
fn answers(client: &Host, variant: Variant, target: SocketAddr) -> Vec<Answer> {
    let client = Client::new(&client.ns);
    wait::until(&format!("an answer from {target}"), READY, || {
        Ok(client.ask(variant.protocol, target)?)
    })
    .unwrap();
    let ask = |_| client.ask(variant.protocol, target).unwrap();
    (0..ASKS).map(ask).collect()
}

fn servers(answers: &[Answer]) -> BTreeSet<&str> {
    answers.iter().map(|answer| answer.server.as_str()).collect()
}

fn clients(answers: &[Answer]) -> BTreeSet<IpAddr> {
    answers.iter().map(|answer| answer.client.ip()).collect()
}

fn on_both_nodes<'a>(world: &'a World, variant: Variant, spec: &str) -> Published<'a> {
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let edit = |service: &mut harness::manifests::Service| service.spec.push(spec.to_owned());
    world.publish_edited(variant, &pods, edit).unwrap()
}

fn external_policy_local_serves_the_client_outside_from_here_and_keeps_its_address(variant: Variant) {
    let world = shared();
    let service = on_both_nodes(&world, variant, "externalTrafficPolicy: Local");
    let client = &world.topology.client;
    for node in &world.topology.nodes {
        let answers = answers(client, variant, service.node_port(&node.host));
        assert_eq!(servers(&answers), [node.pods[0].name.as_str()].into());
        assert_eq!(clients(&answers), [client.ip(variant.family)].into());
    }
}

fn internal_policy_local_serves_pods_from_here(variant: Variant) {
    let world = shared();
    let service = on_both_nodes(&world, variant, "internalTrafficPolicy: Local");
    let [one, two] = &world.topology.nodes;
    for (node, pod) in [(one, &one.pods[2]), (two, &two.pods[2])] {
        let answers = answers(pod, variant, service.vip());
        assert_eq!(servers(&answers), [node.pods[0].name.as_str()].into());
        assert_eq!(clients(&answers), [pod.ip(variant.family)].into());
    }
}

fn a_load_balancer_lets_in_whom_its_source_ranges_name(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let (inside, outside) = (&one.pods[2], &one.pods[1]);
    let range = exact(inside.ip(variant.family));
    let service = world.publish_edited(variant, &[&two.pods[0]], |service| {
        service.load_balancer = service.external_ips.pop();
        service
            .spec
            .push(format!("loadBalancerSourceRanges: [{range:?}]"));
    });
    let service = service.unwrap();
    let address = service.service.load_balancer.unwrap();
    let target = SocketAddr::new(address, service.service.port);
    assert_eq!(
        servers(&answers(inside, variant, target)),
        [two.pods[0].name.as_str()].into()
    );
    let left_out = Client::new(&outside.ns).patience(std::time::Duration::from_millis(300));
    assert!(left_out.ask(variant.protocol, target).is_err());
    // The ranges guard no other address.
    answers(outside, variant, service.vip());
}

fn exact(address: IpAddr) -> String {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{bits}")
}

fn a_client_with_session_affinity_keeps_its_endpoint(variant: Variant) {
    let world = shared();
    let service = on_both_nodes(&world, variant, "sessionAffinity: ClientIP");
    let [one, _] = &world.topology.nodes;
    for client in [&one.pods[1], &one.pods[2]] {
        let answers = answers(client, variant, service.vip());
        assert_eq!(servers(&answers).len(), 1, "{answers:?}");
    }
}

#[test]
fn a_client_keeps_its_endpoint_when_the_agent_is_killed_and_starts_again() {
    let world = World::start(TcAttach::Auto).unwrap();
    let service = on_both_nodes(&world, crate::IPV4_TCP, "sessionAffinity: ClientIP");
    let [one, _] = &world.topology.nodes;
    let clients = [&one.pods[1], &one.pods[2]];
    let meet = |client: &Host| {
        let answers = answers(client, crate::IPV4_TCP, service.vip());
        assert_eq!(servers(&answers).len(), 1, "{answers:?}");
        answers[0].server.clone()
    };
    let before = clients.map(meet);
    for _ in 0..5 {
        world.agents[0].restart_with(&[]).unwrap();
        assert_eq!(clients.map(meet), before);
    }
}

/// With TCP: a UDP flow keeps what it began with.
const VARIANTS: [Variant; 2] = [crate::IPV4_TCP, crate::IPV6_TCP];

#[test]
fn with_a_detector_pods_keep_their_address_and_their_short_cut_and_others_are_masqueraded() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    for agent in &world.agents {
        agent.restart_with(&["--cluster-cidr", PODS]).unwrap();
    }
    let client = &world.topology.client;
    let pod = &one.pods[2];
    for variant in VARIANTS {
        let service = world
            .publish_edited(variant, &[&two.pods[0]], |service| {
                service.spec.push("externalTrafficPolicy: Local".to_owned());
            })
            .unwrap();
        route_to_cluster_ips(client, &one.host, variant.family);
        let from_pod = answers(pod, variant, service.vip());
        assert_eq!(clients(&from_pod), [pod.ip(variant.family)].into());
        let from_outside = answers(client, variant, service.vip());
        assert_eq!(clients(&from_outside), [one.host.ip(variant.family)].into());

        // The node has no endpoint: its own pods are served from elsewhere, others wait in silence.
        let node_port = service.node_port(&one.host);
        answers(pod, variant, node_port);
        let waiting = Client::new(&client.ns).patience(std::time::Duration::from_millis(300));
        assert!(waiting.ask(variant.protocol, node_port).is_err());
        answers(client, variant, service.node_port(&two.host));
    }
}

/// As a router does that sends cluster IPs to a node.
fn route_to_cluster_ips(client: &Host, node: &Host, family: Family) {
    let network: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(10, 97, 0, 0).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x10, 97, 0, 0, 0, 0, 0).into(),
    };
    let bits = if network.is_ipv4() { 16 } else { 48 };
    let route = format!("route add {network}/{bits} via {}\n", node.ip(family));
    exec::ip_batch(Some(client.ns.name()), &route).unwrap();
}
