//! What rules count by nfacct, and who makes and deletes the counters.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{
    agent::READY,
    iptables::Iptables,
    topology::{Host, Topology},
    traffic::Client,
    wait,
    world::World,
};
use proxy_agent::model::Family;

use crate::IPV4_TCP;

const INVALID: &str = "ct_state_invalid_dropped_pkts";
const LOCALHOST: &str = "localhost_nps_accepted_pkts";
const DROPPED: &str = "kubeproxy_iptables_ct_state_invalid_dropped_packets_total";
const ACCEPTED: &str = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total";
const NOBODYS: u16 = 9;

fn world() -> World {
    let flags = ["--mode", "iptables", "--sync-period", "1s"];
    World::on_with(Topology::build().unwrap(), &flags).unwrap()
}

/// A foreign rule that counts, which is refused where its counter is not.
fn own_rule(host: &Host, command: &str, counter: &str) -> Result<String> {
    let rule =
        format!("{command} OUTPUT -d 127.0.0.1 -p udp --dport {NOBODYS} -m nfacct --nfacct-name {counter}");
    Iptables::Nft.run(&host.ns, Family::V4, &rule)
}

fn wait_for_rule(host: &Host, rule: &str) {
    wait::until_every(Duration::from_millis(50), rule, READY, || {
        let saved = Iptables::Nft.save(&host.ns, Family::V4)?;
        ensure!(saved.contains(rule), "{saved}");
        Ok(())
    })
    .unwrap();
}

/// The rule that packets of no connection meet.
fn drop_rule() -> String {
    format!("-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  {INVALID} -j DROP")
}

#[test]
fn metrics_tell_what_rules_have_counted() {
    let world = world();
    let [node, _] = &world.topology.nodes;
    let service = world.publish_edited(IPV4_TCP, &[&node.pods[0]], |_| ()).unwrap();
    wait_for_rule(&node.host, &format!("--nfacct-name  {LOCALHOST} -j KUBE-EXT-"));
    wait_for_rule(&node.host, &drop_rule());
    let counted = |dropped, accepted| {
        let expected = [(DROPPED, dropped), (ACCEPTED, accepted)];
        world.agents[0].wait_for_metrics("counters", &expected).unwrap();
    };
    counted(0.0, 0.0);

    let target = (Ipv4Addr::LOCALHOST, service.service.node_port.unwrap()).into();
    for _ in 0..2 {
        let client = Client::new(&node.host.ns);
        client.ask(service.service.protocol, target).unwrap();
    }
    counted(0.0, 2.0);

    own_rule(&node.host, "-A", INVALID).unwrap();
    node.host.ns.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..3 {
            socket.send_to(b"?", (Ipv4Addr::LOCALHOST, NOBODYS)).unwrap();
        }
    });
    counted(3.0, 2.0);
}

#[test]
fn counters_go_with_the_rules_and_come_back_with_them() {
    let world = world();
    let [node, _] = &world.topology.nodes;
    wait_for_rule(&node.host, &drop_rule());
    world.agents[0].cleanup().unwrap();
    wait_for_rule(&node.host, &drop_rule());
    for counter in [INVALID, LOCALHOST] {
        own_rule(&node.host, "-A", counter).unwrap();
    }

    world.agents[0].kill().unwrap();
    own_rule(&node.host, "-D", INVALID).unwrap();
    world.agents[0].cleanup().unwrap();
    let error = own_rule(&node.host, "-A", INVALID).unwrap_err();
    assert!(format!("{error:#}").contains("nfacct"), "{error:#}");
    own_rule(&node.host, "-A", LOCALHOST).expect("what a foreign rule counts into stays");
}
