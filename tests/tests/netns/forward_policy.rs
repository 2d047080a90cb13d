//! A node whose FORWARD policy is DROP: what kube-proxy's KUBE-FORWARD lets through passes, and nothing else.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    agent::{READY, TcAttach},
    exec,
    iptables::Iptables,
    netns::NetNs,
    topology::{Host, Topology, pod_network},
    traffic::{Client, Talker},
    wait,
    world::{Variant, World},
};
use proxy_agent::model::Family;

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

/// The agent looks every 30 seconds.
const LOOK: Duration = Duration::from_secs(40);

#[test]
fn with_nft_services_pass_a_node_that_forwards_nothing_else() {
    services_pass(Iptables::Nft);
}

#[test]
fn with_legacy_services_pass_a_node_that_forwards_nothing_else() {
    services_pass(Iptables::Legacy);
}

/// Only node1 refuses: on node2 the packets are as those between any pods, which its CNI plugin has to accept.
fn services_pass(iptables: Iptables) {
    let Some(world) = refusing_world(iptables, |_| {}) else {
        return;
    };
    let node = &world.topology.nodes[0].host;
    for variant in VARIANTS {
        a_client_outside_is_served(&world, variant);
        nothing_else_is_forwarded(&world, variant);
    }
    what_the_cni_accepts_is_served(iptables, &world);

    policy(iptables, &node.ns, "ACCEPT");
    world.agents[0].restart_with(&[]).unwrap();
    has_rules(iptables, &node.ns, false, READY);
    a_client_outside_is_served(&world, VARIANTS[0]);
}

fn a_client_outside_is_served(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0], &two.host] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let (client, target) = (&world.topology.client, service.node_port(&one.host));
        let seen = crate::seen_by(endpoint, variant, client, target);
        assert_eq!(seen, one.host.ip(variant.family));
        let talker = Talker::start(Client::new(&client.ns).talk(variant.protocol, target).unwrap());
        talker.keeps_talking(50).unwrap();
        talker.stop().unwrap();
    }
}

/// Neither plain packets nor those of Services that are not masqueraded: kube-proxy leaves both to the CNI plugin.
fn nothing_else_is_forwarded(world: &World, variant: Variant) {
    let [one, two] = &world.topology.nodes;
    let (client, endpoint) = (&world.topology.client, &one.pods[0]);
    let service = world.publish(variant, &[endpoint]).unwrap();
    let direct = service.direct(endpoint);
    let gateway = one.host.ip(variant.family);
    ip(
        &client.ns,
        &format!("route replace {} via {gateway}", direct.ip()),
    );
    is_dropped(variant, client, direct);
    let remote = world.publish(variant, &[&two.pods[0]]).unwrap();
    is_dropped(variant, &one.pods[2], remote.direct(&two.pods[0]));
    is_dropped(variant, &one.pods[2], remote.vip());
}

fn is_dropped(variant: Variant, client: &Host, target: SocketAddr) {
    let answer = Client::new(&client.ns)
        .patience(Duration::from_millis(200))
        .ask(variant.protocol, target);
    assert!(answer.is_err(), "{target} has let {answer:?} through");
}

fn what_the_cni_accepts_is_served(iptables: Iptables, world: &World) {
    let [one, two] = &world.topology.nodes;
    for family in Family::ALL {
        let pods = pod_network(family);
        for side in ["-s", "-d"] {
            iptables
                .run(
                    &one.host.ns,
                    family,
                    &format!("-A FORWARD {side} {pods} -j ACCEPT"),
                )
                .unwrap();
        }
    }
    for variant in VARIANTS {
        for endpoint in [&one.pods[0], &two.pods[0]] {
            let service = world.publish(variant, &[endpoint]).unwrap();
            let answer = Client::new(&one.pods[2].ns)
                .ask(variant.protocol, service.vip())
                .unwrap();
            assert_eq!(answer.client.ip(), one.pods[2].ip(variant.family));
        }
    }
}

#[test]
fn a_policy_that_changes_is_noticed() {
    let iptables = Iptables::Nft;
    let Some(world) = world(iptables, |_| {}) else {
        return;
    };
    let node = &world.topology.nodes[0].host;
    a_client_outside_is_served(&world, VARIANTS[0]);
    assert!(!rules(iptables, &node.ns, Family::V4).contains("KUBE-FORWARD"));
    policy(iptables, &node.ns, "DROP");
    has_rules(iptables, &node.ns, true, LOOK);
    a_client_outside_is_served(&world, VARIANTS[0]);
}

/// What kube-proxy masquerades by, where it ran before: the packets that it takes for its own have the agent's mark.
const KUBE_POSTROUTING: &str = r#"*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
COMMIT
"#;

#[test]
fn what_kube_proxy_left_behind_may_masquerade_first() {
    for iptables in Iptables::ALL {
        let Some(world) = refusing_world(iptables, |node| {
            for family in Family::ALL {
                iptables.restore(node, family, KUBE_POSTROUTING).unwrap();
            }
        }) else {
            return;
        };
        for variant in VARIANTS {
            a_client_outside_is_served(&world, variant);
        }
    }
}

#[test]
fn another_bit_of_the_mark_serves_as_well_and_cleanup_takes_all_but_the_policy_away() {
    let iptables = Iptables::Nft;
    let Some(world) = refusing_world(iptables, |_| {}) else {
        return;
    };
    let node = &world.topology.nodes[0].host;
    world.agents[0]
        .restart_with(&["--iptables-masquerade-bit", "17"])
        .unwrap();
    let other = wait::until("the other mark", READY, || {
        let chain = iptables.run(&node.ns, Family::V6, "-S KUBE-FORWARD")?;
        ensure!(
            chain.contains("0x20000/0x20000") && !chain.contains("0x4000/"),
            "{chain}"
        );
        Ok(())
    });
    other.unwrap();
    a_client_outside_is_served(&world, VARIANTS[0]);

    world.agents[0].kill().unwrap();
    world.agents[0].cleanup().unwrap();
    for family in Family::ALL {
        assert_eq!(rules(iptables, &node.ns, family), "-P FORWARD DROP\n");
        assert!(iptables.run(&node.ns, family, "-S KUBE-FORWARD").is_err());
    }
}

/// A world whose topology has been prepared; `None` if the machine has no such rules.
fn world(iptables: Iptables, prepare: impl FnOnce(&Topology)) -> Option<World> {
    if !iptables.is_installed() {
        harness::skip::skipped(
            "forward_policy",
            &format!("no {iptables:?} iptables: install iptables"),
        );
        return None;
    }
    let topology = Topology::build().unwrap();
    prepare(&topology);
    Some(World::on(topology, TcAttach::Auto).unwrap())
}

/// One whose first node refuses what no rule accepts, and where that has been noticed.
fn refusing_world(iptables: Iptables, prepare: impl FnOnce(&NetNs)) -> Option<World> {
    let world = world(iptables, |topology| {
        let node = &topology.nodes[0].host.ns;
        policy(iptables, node, "DROP");
        prepare(node);
    })?;
    has_rules(iptables, &world.topology.nodes[0].host.ns, true, READY);
    Some(world)
}

fn policy(iptables: Iptables, ns: &NetNs, policy: &str) {
    for family in Family::ALL {
        iptables.run(ns, family, &format!("-P FORWARD {policy}")).unwrap();
    }
}

fn rules(iptables: Iptables, ns: &NetNs, family: Family) -> String {
    iptables.run(ns, family, "-S FORWARD").unwrap()
}

/// Waits until FORWARD jumps to KUBE-FORWARD in both families, or in none.
fn has_rules(iptables: Iptables, ns: &NetNs, expected: bool, limit: Duration) {
    let settled: Result<()> = wait::until("the rules", limit, || {
        for family in Family::ALL {
            let rules = rules(iptables, ns, family);
            ensure!(rules.contains("-j KUBE-FORWARD") == expected, "{rules}");
        }
        Ok(())
    });
    settled.unwrap();
}

fn ip(ns: &NetNs, lines: &str) {
    exec::ip_batch(Some(ns.name()), &format!("{lines}\n")).unwrap();
}
