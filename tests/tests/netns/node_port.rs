//! NodePorts: clients that are all masqueraded are told apart.

use std::net::IpAddr;

use harness::{
    topology::Host,
    traffic::{Client, Conversation},
    world::{Variant, shared},
};

for_each_variant!(two_clients_with_one_source_port_do_not_meet);

fn two_clients_with_one_source_port_do_not_meet(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let open = |host: &Host| {
        let client = Client::new(&host.ns).from_port(service.service.target_port);
        client
            .talk(variant.protocol, service.node_port(&one.host))
            .unwrap()
    };
    let mut talks: Vec<Conversation> = [&world.topology.client, &one.pods[2], &one.pods[1]]
        .map(open)
        .into();
    let mut seen: Vec<_> = talks
        .iter_mut()
        .map(|talk| talk.ask("who").unwrap().client)
        .collect();
    let expected: IpAddr = one.host.ip(variant.family);
    assert!(seen.iter().all(|client| client.ip() == expected), "{seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(
        seen.len(),
        3,
        "the server must be able to tell them apart: {seen:?}"
    );
}
