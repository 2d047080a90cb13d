//! SCTP beside the programs: rules for those Services and no others, for as long as there are any.

use std::time::Duration;

use anyhow::ensure;
use harness::{
    agent::READY,
    iptables::Iptables,
    manifests::{Endpoint, Service},
    traffic::{Client, SctpListener, send_init},
    wait,
    world::World,
};
use proxy_agent::model::{Family, Protocol};

const PORT: u16 = 3_868;
const NODE_PORT: u16 = 30_868;
const TARGET: u16 = 13_868;
const CLIENT: u16 = 50_868;
const UNSERVED: &str = "kubeportal_frontends_unserved{reason=\"sctp\"}";
/// The next look at whether netfilter still carries connections is half a minute after the last.
const FORGOTTEN: Duration = Duration::from_secs(60);

fn diameter(world: &World) -> Service {
    Service {
        name: "diameter".to_owned(),
        port_name: "sctp".to_owned(),
        protocol: Protocol::Sctp,
        cluster_ips: vec![[10, 96, 38, 68].into(), [0xfd96, 0, 0, 0, 0, 0, 0, 0x3868].into()],
        external_ips: Vec::new(),
        port: PORT,
        node_port: Some(NODE_PORT),
        target_port: TARGET,
        weights: None,
        load_balancer: None,
        spec: Vec::new(),
        other_protocol: false,
        endpoints: Endpoint::of(&[&world.topology.nodes[0].pods[0]], &Family::ALL),
    }
}

/// Those of kube-proxy's, and ours.
fn rules(world: &World, family: Family) -> Vec<String> {
    let saved = Iptables::Nft
        .save(&world.topology.nodes[0].host.ns, family)
        .unwrap();
    saved
        .lines()
        .filter(|line| line.contains("KUBE-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn sctp_services_and_no_others_are_served_by_rules_while_there_are_any() {
    let world = World::start_with(&[]).unwrap();
    let [node, _] = &world.topology.nodes;
    let pod = &node.pods[0];
    let services = [crate::IPV4_TCP, crate::IPV6_TCP].map(|variant| world.publish(variant, &[pod]).unwrap());
    assert!(Family::ALL.iter().all(|family| rules(&world, *family).is_empty()));

    let sctp = diameter(&world);
    world.manifests.write_text(&sctp.name, &sctp.to_yaml()).unwrap();
    for (family, cluster_ip) in Family::ALL.into_iter().zip(&sctp.cluster_ips) {
        wait::until("rules", READY, || {
            let rules = rules(&world, family);
            let has = |text: &str| rules.iter().any(|rule| rule.contains(text));
            ensure!(
                has(&cluster_ip.to_string()) && has("-j DNAT"),
                "{}",
                world.agents[0].log_tail()
            );
            Ok(())
        })
        .unwrap();
        let listener = SctpListener::on(&pod.ns, pod.ip(family)).unwrap();
        let client = &node.pods[2];
        send_init(&client.ns, CLIENT, (*cluster_ip, PORT).into()).unwrap();
        let seen = listener.next().unwrap();
        assert_eq!((seen.source, seen.port), (client.at(family, CLIENT), TARGET));
        send_init(&world.topology.client.ns, CLIENT, node.host.at(family, NODE_PORT)).unwrap();
        let seen = listener.next().unwrap();
        assert_eq!((seen.source.ip(), seen.port), (node.host.ip(family), TARGET));
    }
    world.agents[0]
        .wait_for_metrics("it is served", &[(UNSERVED, 0.0)])
        .unwrap();
    for (service, family) in services.iter().zip(Family::ALL) {
        Client::new(&node.pods[2].ns)
            .ask(Protocol::Tcp, service.vip())
            .unwrap();
        let others = rules(&world, family)
            .into_iter()
            .filter(|rule| rule.contains(&service.service.name));
        assert_eq!(others.count(), 0);
    }

    world.manifests.remove(&sctp.name).unwrap();
    wait::until("no rules", FORGOTTEN, || {
        let left = Family::ALL.map(|family| rules(&world, family)).concat();
        ensure!(left.is_empty(), "{}", left.join("\n"));
        Ok(())
    })
    .unwrap();
}
