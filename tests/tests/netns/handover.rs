//! Programs and iptables rules take over from each other, and nobody notices.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{bail, ensure};
use harness::{
    agent::{Agent, READY, hooks, pins},
    iptables::Iptables,
    manifests::Endpoint,
    process::Process,
    traffic::{Client, Crowd, Strangers},
    wait,
    world::{Published, Variant, World},
};
use proxy_agent::model::{Family, Protocol};

pub(crate) const VARIANTS: [Variant; 4] =
    [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];
pub(crate) const DRAINING: &str = "serve their connections until those have ended";
const TAKEN: &str = "UDP flows of netfilter are ours now";
/// A closed connection counts for some seconds more, and it is looked every five.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const RULES: [&str; 2] = ["--mode", "iptables"];

/// Of each kind: a TCP Service is asked five times as often.
const fn many(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 250,
        _ => 50,
    }
}

struct Scene<'w> {
    world: &'w World,
    services: Vec<(Variant, Published<'w>)>,
}

impl<'w> Scene<'w> {
    /// A Service of each variant, with an endpoint on each node.
    fn on(world: &'w World) -> Self {
        let [one, two] = &world.topology.nodes;
        let endpoints = [&one.pods[0], &two.pods[0]];
        let services = VARIANTS.map(|variant| (variant, world.publish(variant, &endpoints).unwrap()));
        Self {
            world,
            services: services.into(),
        }
    }

    /// From a pod at the cluster IP and from outside at the node port, which is masqueraded: a thousand by TCP, some by UDP.
    fn crowd(&self) -> Crowd {
        let mut crowd = Crowd::default();
        let [one, two] = &self.world.topology.nodes;
        for (Variant { protocol, .. }, service) in &self.services {
            let pod = Client::new(&one.pods[2].ns);
            crowd
                .join(&pod, *protocol, service.vip(), many(*protocol))
                .unwrap();
            let outside = Client::new(&self.world.topology.client.ns);
            let node_port = service.node_port(&two.host);
            crowd
                .join(&outside, *protocol, node_port, many(*protocol))
                .unwrap();
        }
        crowd
    }

    fn strangers(&self) -> [Strangers; 2] {
        let [one, two] = &self.world.topology.nodes;
        let each = |target: fn(&Published<'_>, &harness::topology::Host) -> SocketAddr| {
            let services = self.services.iter();
            services
                .map(|(variant, service)| (variant.protocol, target(service, &two.host)))
                .collect()
        };
        [
            Strangers::come(Arc::clone(&one.pods[1].ns), each(|service, _| service.vip())),
            Strangers::come(
                Arc::clone(&self.world.topology.client.ns),
                each(|service, node| service.node_port(node)),
            ),
        ]
    }
}

/// Ends both agents and starts them otherwise; until each has said so.
pub(crate) fn restart_until(world: &World, flags: &[&str], said: &str) {
    for agent in &world.agents {
        let before = agent.log().matches(said).count();
        agent.restart_with(flags).unwrap();
        wait::until(said, READY, || {
            ensure!(agent.log().matches(said).count() > before, "{}", agent.log_tail());
            Ok(())
        })
        .unwrap();
    }
}

/// Whether any rule of a Service is left on either node.
pub(crate) fn has_rules(world: &World) -> bool {
    let nodes = world.topology.nodes.iter();
    nodes
        .flat_map(|node| Family::ALL.map(|family| (node, family)))
        .any(|(node, family)| {
            Iptables::Nft
                .save(&node.host.ns, family)
                .unwrap()
                .contains("KUBE-SERVICES")
        })
}

fn stop(strangers: [Strangers; 2]) {
    for strangers in strangers {
        let served = strangers.stop().unwrap();
        assert!(served > 100, "only {served} strangers came");
    }
}

#[test]
fn a_thousand_connections_and_every_new_one_survive_programs_then_rules_then_programs() {
    let world = World::start_with(&[]).unwrap();
    let scene = Scene::on(&world);
    let mut of_programs = scene.crowd();
    assert!(of_programs.len() >= 1_000);
    let strangers = scene.strangers();

    restart_until(&world, &RULES, DRAINING);
    of_programs.goes_on("rules have the new connections").unwrap();
    let mut of_rules = scene.crowd();
    of_programs.goes_on("with as many new ones by rules").unwrap();
    assert!(has_rules(&world));

    restart_until(&world, &["--mode", "bpf"], TAKEN);
    wait::until("the rules are gone", READY, || {
        ensure!(!has_rules(&world), "KUBE-SERVICES is there");
        Ok(())
    })
    .unwrap();
    of_rules.goes_on("programs have taken over").unwrap();
    of_programs.goes_on("programs are back").unwrap();
    let mut again = scene.crowd();
    for crowd in [&mut again, &mut of_rules, &mut of_programs] {
        crowd.goes_on("with as many new ones by programs").unwrap();
    }
    stop(strangers);
}

#[test]
fn programs_that_drain_go_with_their_last_connection() {
    let world = World::start_with(&[]).unwrap();
    let [one, two] = &world.topology.nodes;
    let service = world
        .publish(crate::IPV4_TCP, &[&one.pods[0], &two.pods[0]])
        .unwrap();
    let client = Client::new(&one.pods[2].ns);
    let mut last = Crowd::default();
    last.join(&client, Protocol::Tcp, service.vip(), 1).unwrap();
    let agent = &world.agents[0];
    agent.restart_with(&RULES).unwrap();
    wait_for_log(agent, DRAINING);
    last.goes_on("rules have the new connections").unwrap();
    assert!(!hooks(&one.host.ns).unwrap().is_empty());

    drop(last);
    wait_for_log(agent, "the programs' last connection has ended");
    assert_eq!(hooks(&one.host.ns).unwrap(), []);
    assert_eq!(pins(agent.pin_root()).unwrap(), Vec::<PathBuf>::new());
    client.ask(Protocol::Tcp, service.vip()).unwrap();
}

#[test]
fn a_udp_flow_of_programs_that_drain_leaves_an_endpoint_that_is_gone() {
    let world = World::start_with(&[]).unwrap();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(crate::IPV4_UDP, &[&two.pods[0]]).unwrap();
    service.set_endpoints(&[&one.pods[0]]).unwrap();
    let mut flow = Client::new(&one.pods[2].ns)
        .talk(Protocol::Udp, service.vip())
        .unwrap();
    assert_eq!(flow.ask("one").unwrap().server, one.pods[0].name);
    let agent = &world.agents[0];
    agent.restart_with(&RULES).unwrap();
    wait_for_log(agent, DRAINING);
    assert_eq!(flow.ask("two").unwrap().server, one.pods[0].name);

    let mut changed = service.service.clone();
    changed.endpoints = Endpoint::of(&[&two.pods[0]], &[Family::V4]);
    world.manifests.write(&changed).unwrap();
    wait::until("the flow moves", READY, || {
        let server = flow.ask("three")?.server;
        ensure!(server == two.pods[0].name, "{server} answers");
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_drains_is_not_drained_while_an_agent_serves() {
    let world = World::start_with(&[]).unwrap();
    let node = &world.topology.nodes[0];
    let service = world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap();
    let client = Client::new(&node.pods[2].ns);
    let mut crowd = Crowd::default();
    crowd.join(&client, Protocol::Tcp, service.vip(), 1).unwrap();
    let agent = &world.agents[0];
    agent.kill().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut drain = Process::start(
        "cleanup",
        &mut agent.command(&["cleanup", "--drain"]),
        scratch.path(),
    )
    .unwrap();
    let hasty = client.patience(Duration::from_millis(300));
    wait::until("new connections are nobody's", READY, || {
        ensure!(hasty.ask(Protocol::Tcp, service.vip()).is_err(), "it is answered");
        Ok(())
    })
    .unwrap();
    crowd.goes_on("nobody has the new connections").unwrap();
    agent.run().unwrap();
    wait::until("the end of the command", READY, || match drain.alive() {
        Err(ended) if ended.to_string().contains("serves this node: end it first") => Ok(()),
        other => bail!("{other:?}"),
    })
    .unwrap();
    client.ask(Protocol::Tcp, service.vip()).unwrap();
    crowd.goes_on("the agent is back").unwrap();
}

fn wait_for_log(agent: &Agent, said: &str) {
    wait::until(said, PATIENCE, || {
        ensure!(agent.log().contains(said), "{}", agent.log_tail());
        Ok(())
    })
    .unwrap();
}
