//! What Prometheus is told of the iptables rules, held against the kernel's.

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::READY,
    iptables::Iptables,
    topology::{Host, Topology},
    wait,
    world::{Published, World},
};
use proxy_agent::model::Family;

use crate::IPV4_TCP;

const RULES: &str = "kubeproxy_sync_proxy_rules_iptables_total{table=\"nat\"}";
const LAST: &str = "kubeproxy_sync_proxy_rules_iptables_last{table=\"nat\"}";
const FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total";
const PARTIAL: &str = "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total";

/// kube-proxy's rules of table nat in both families, as `iptables-save` prints them.
fn rules(host: &Host) -> Result<Vec<String>> {
    let saved = Family::ALL.map(|family| Iptables::Nft.save(&host.ns, family));
    let mut rules = Vec::new();
    for saved in saved {
        let saved = saved?;
        let (_, nat) = saved.split_once("*nat").context("no table nat")?;
        let nat = nat.split("COMMIT").next().unwrap_or_default();
        let of_ours = nat.lines().filter(|line| line.starts_with("-A KUBE-"));
        rules.extend(of_ours.map(str::to_owned));
    }
    Ok(rules)
}

fn count(rules: &[String], is: impl Fn(&str) -> bool) -> f64 {
    rules.iter().fold(0.0, |count, rule| count + f64::from(is(rule)))
}

/// Until the metrics are about what the kernel has, and there is a rule about `service`. `written` is how many of the rules the last
/// pass wrote.
fn wait_for_metrics(world: &World, service: &str, written: impl Fn(&[String]) -> f64, failures: f64) {
    let agent = &world.agents[0];
    wait::until("the metrics", READY, || {
        let rules = rules(&world.topology.nodes[0].host)?;
        ensure!(rules.iter().any(|rule| rule.contains(service)), "{rules:?}");
        for (series, expected) in [
            (RULES, count(&rules, |_| true)),
            (LAST, written(&rules)),
            (FAILURES, failures),
            (PARTIAL, failures),
        ] {
            let found = agent.metric(series)?;
            ensure!(
                (found - expected).abs() < 0.5,
                "{series}: {found}, not {expected}"
            );
        }
        Ok(())
    })
    .unwrap();
}

fn publish(world: &World) -> (Published<'_>, String) {
    let pod = &world.topology.nodes[0].pods[0];
    let published = world.publish_edited(IPV4_TCP, &[pod], |_| ()).unwrap();
    let id = published.service.id();
    (published, id)
}

/// What the names of the Service's chains end in.
fn hash(world: &World, service: &str) -> String {
    let rules = rules(&world.topology.nodes[0].host).unwrap();
    let of_service = rules.iter().filter(|rule| rule.contains(service));
    let mut hashes = of_service.filter_map(|rule| Some(rule.split_once("-j KUBE-SVC-")?.1.to_owned()));
    hashes.next().expect("a rule that leads to the Service's chain")
}

#[test]
fn metrics_tell_how_many_rules_there_are_how_many_were_written_and_that_a_change_could_not_be() {
    let world = World::on_with(Topology::build().unwrap(), &["--mode", "iptables"]).unwrap();
    let all = |rules: &[String]| count(rules, |_| true);
    let (_first, name) = publish(&world);
    wait_for_metrics(&world, &name, all, 0.0);

    let hash = hash(&world, &name);
    let is_own = |rule: &str| {
        let chain = rule.split(' ').nth(1).unwrap_or_default();
        chain.ends_with(&hash) || chain.starts_with("KUBE-SEP-") && rule.contains(&name)
    };
    let (_second, other) = publish(&world);
    wait_for_metrics(&world, &other, |rules| count(rules, |rule| !is_own(rule)), 0.0);

    // What others have deleted is not among the changes, but rules that are written every time lead there.
    for command in [
        "-F".to_owned(),
        format!("-X KUBE-EXT-{hash}"),
        format!("-X KUBE-SVC-{hash}"),
    ] {
        let run = format!("-t nat {command}");
        Iptables::Nft
            .run(&world.topology.nodes[0].host.ns, IPV4_TCP.family, &run)
            .unwrap();
    }
    let (_third, last) = publish(&world);
    wait_for_metrics(&world, &last, all, 1.0);
}
