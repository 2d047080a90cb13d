//! Session affinity outlives the agent that set it up.

use harness::{
    agent::{READY, TcAttach},
    topology::Host,
    traffic::Client,
    wait,
    world::World,
};

/// By chance all would go to one of two endpoints once in 2^23.
const ASKS: usize = 24;

#[test]
fn a_client_keeps_its_endpoint_when_the_agent_is_killed_and_starts_again() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_edited(crate::IPV4_TCP, &[&one.pods[0], &two.pods[0]], |service| {
        service.spec.push("sessionAffinity: ClientIP".to_owned());
    });
    let service = service.unwrap();
    let meet = |client: &Host| {
        let client = Client::new(&client.ns);
        let ask = || Ok(client.ask(crate::IPV4_TCP.protocol, service.vip())?.server);
        let first = wait::until("an answer", READY, ask).unwrap();
        for _ in 1..ASKS {
            assert_eq!(ask().unwrap(), first);
        }
        first
    };
    let clients = [&one.pods[1], &one.pods[2]];
    let before = clients.map(meet);
    for _ in 0..5 {
        world.agents[0].restart_with(&[]).unwrap();
        assert_eq!(clients.map(meet), before);
    }
}
