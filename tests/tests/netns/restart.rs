//! The agent dies and comes back: connections neither notice the one nor the other.

use harness::{
    agent::TcAttach,
    traffic::{Client, Talker},
    world::{Published, Variant, World},
};

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];

/// One world and one pair of restarts for all variants: restarts are what takes the time here.
#[test]
fn conversations_survive_kill_and_restart_and_new_ones_work_in_between() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    let endpoints = [&one.pods[0], &two.pods[0]];
    let services = VARIANTS.map(|variant| (variant, world.publish(variant, &endpoints).unwrap()));
    let mut talkers = Vec::new();
    for (variant, service) in &services {
        talkers.extend(start_talkers(&world, *variant, service));
    }
    let all_talk = |talkers: &[Talker]| {
        talkers
            .iter()
            .for_each(|talker| talker.keeps_talking(20).unwrap())
    };
    all_talk(&talkers);

    for agent in &world.agents {
        agent.kill().unwrap();
    }
    all_talk(&talkers);
    for (variant, service) in &services {
        Client::new(&one.pods[2].ns)
            .ask(variant.protocol, service.vip())
            .unwrap();
    }

    for agent in &world.agents {
        agent.run().unwrap();
    }
    // A Service that the old process never knew shows that the new one is at work.
    drop(world.publish(crate::IPV4_TCP, &endpoints).unwrap());
    all_talk(&talkers);
    for talker in talkers {
        talker.stop().unwrap();
    }
}

fn start_talkers(world: &World, variant: Variant, service: &Published<'_>) -> [Talker; 3] {
    let [one, two] = &world.topology.nodes;
    let open = |ns, target| Talker::start(Client::new(ns).talk(variant.protocol, target).unwrap());
    [
        open(&one.pods[2].ns, service.vip()),
        open(&one.pods[0].ns, service.vip()),
        open(&world.topology.client.ns, service.node_port(&two.host)),
    ]
}

#[test]
fn what_changed_while_the_agent_was_dead_is_caught_up() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(crate::IPV4_TCP, &[&one.pods[0]]).unwrap();
    let gone = world.publish(crate::IPV4_TCP, &[&one.pods[0]]).unwrap();
    let (id, mut changed) = (gone.service.id(), service.service.clone());
    for agent in &world.agents {
        agent.kill().unwrap();
    }
    drop(gone);
    changed.endpoints = harness::manifests::Endpoint::of(&[&two.pods[0]], &[crate::IPV4_TCP.family]);
    world.manifests.write(&changed).unwrap();
    for agent in &world.agents {
        agent.run().unwrap();
        agent.wait_for(&changed).unwrap();
        assert!(
            agent.services().unwrap().iter().all(|row| row.service != id),
            "{id} is still served"
        );
    }
}
