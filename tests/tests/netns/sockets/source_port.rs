//! Ports that are used again: by servers that restart, and by clients for several peers.

use harness::{
    agent::READY,
    traffic::{Client, Role, Server},
    wait,
    world::{Variant, shared_with_sockets},
};

for_each_tcp!(a_server_of_the_node_that_starts_again_on_its_port_is_reached_again);
for_each_variant!(one_port_of_the_node_asks_two_services_at_the_same_time);

fn a_server_of_the_node_that_starts_again_on_its_port_is_reached_again(variant: Variant) {
    let world = shared_with_sockets();
    let [node, _] = &world.topology.nodes;
    let service = world.publish_closed(variant, &[&node.host]).unwrap();
    for name in ["first", "second", "third"] {
        let at = service.direct(&node.host);
        // A child of another test has a copy of the listener from its fork until its exec.
        let start = || Server::start(&node.host.ns, name, Role::WhoAmI, variant.protocol, at);
        let server = wait::until(name, READY, start).unwrap();
        let client = Client::new(&node.host.ns);
        let mut talk = client.talk(variant.protocol, service.vip()).unwrap();
        assert_eq!(talk.ask("hello").unwrap().server, name);
        // It closes first, and what is left of the connection keeps its port for a minute.
        drop(server);
        talk.ask("are you there").unwrap_err();
    }
}

fn one_port_of_the_node_asks_two_services_at_the_same_time(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let services = pods.map(|pod| world.publish(variant, &[pod]).unwrap());
    let port = services[0].service.target_port;
    let client = Client::new(&one.host.ns).from_port(port);
    let mut talks = services
        .each_ref()
        .map(|service| client.talk(variant.protocol, service.vip()).unwrap());
    for (talk, pod) in talks.iter_mut().zip(pods) {
        let answer = talk.ask("who").unwrap();
        assert_eq!(
            (answer.server.as_str(), answer.client.port()),
            (pod.name.as_str(), port)
        );
    }
}
