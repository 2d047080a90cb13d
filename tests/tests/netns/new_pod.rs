//! Pods come and go while the agent runs.

use std::time::Duration;

use harness::{
    traffic::Client,
    wait,
    world::{Variant, shared},
};

/// From the interface appearing to the first answer, including attempts that time out. On a machine that others work on, one second
/// was too little; an agent that did not follow link events would take up to three.
const LIMIT: Duration = Duration::from_millis(2_500);

#[test]
fn a_pod_that_appears_reaches_services_at_once_over_ipv4() {
    a_pod_that_appears_reaches_services(crate::IPV4_UDP, 201);
}

#[test]
fn a_pod_that_appears_reaches_services_at_once_over_ipv6() {
    a_pod_that_appears_reaches_services(crate::IPV6_UDP, 202);
}

/// With UDP: a datagram that comes too early is lost at once, a connection attempt would wait for a second.
fn a_pod_that_appears_reaches_services(variant: Variant, number: u8) {
    let world = shared();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let late = node.add_pod(&format!("late-{number}"), number).unwrap();
    let answer = wait::until("the new pod", LIMIT, || {
        let talk = Client::new(&late.ns)
            .patience(Duration::from_millis(50))
            .talk(variant.protocol, service.vip());
        Ok(talk?.ask("anyone?")?)
    });
    assert_eq!(answer.unwrap().client.ip(), late.ip(variant.family));
}

#[test]
fn a_pod_that_appears_can_be_an_endpoint() {
    let world = shared();
    let [node, _] = &world.topology.nodes;
    let late = node.add_pod("late-203", 203).unwrap();
    let service = world.publish(crate::IPV4_TCP, &[&late]).unwrap();
    let client = Client::new(&node.pods[2].ns);
    let answer = wait::until("the new endpoint", LIMIT, || {
        Ok(client
            .patience(Duration::from_millis(200))
            .ask(crate::IPV4_TCP.protocol, service.vip())?)
    });
    assert_eq!(answer.unwrap().server, late.name);
}
