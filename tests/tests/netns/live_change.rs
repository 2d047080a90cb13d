//! The endpoints of a Service change while someone is talking.

use harness::{
    traffic::{Client, Talker},
    world::{Variant, shared},
};
use proxy_agent::model::Protocol;

for_each_variant!(new_conversations_go_to_the_new_list);

fn new_conversations_go_to_the_new_list(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(variant, &[&one.pods[0]]).unwrap();
    let client = Client::new(&one.pods[2].ns);
    assert_eq!(
        client.ask(variant.protocol, service.vip()).unwrap().server,
        "nginx-a"
    );
    service.set_endpoints(&[&two.pods[0]]).unwrap();
    for _ in 0..20 {
        assert_eq!(
            client.ask(variant.protocol, service.vip()).unwrap().server,
            "nginx-c"
        );
    }
}

#[test]
fn an_ipv4_tcp_connection_stays_where_it_is() {
    a_connection_stays_where_it_is(crate::IPV4_TCP);
}

#[test]
fn an_ipv6_tcp_connection_stays_where_it_is() {
    a_connection_stays_where_it_is(crate::IPV6_TCP);
}

fn a_connection_stays_where_it_is(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(variant, &[&one.pods[0]]).unwrap();
    let open = |host, target| Talker::start(Client::new(host).talk(Protocol::Tcp, target).unwrap());
    let inside = open(&one.pods[2].ns, service.vip());
    let outside = open(&world.topology.client.ns, service.node_port(&two.host));
    service.set_endpoints(&[&two.pods[0]]).unwrap();
    for talker in [inside, outside] {
        talker.keeps_talking(20).unwrap();
        assert_eq!(talker.stop().unwrap().server, "nginx-a");
    }
}

#[test]
fn an_ipv4_udp_flow_moves_to_an_endpoint_that_is_left() {
    a_flow_moves(crate::IPV4_UDP);
}

#[test]
fn an_ipv6_udp_flow_moves_to_an_endpoint_that_is_left() {
    a_flow_moves(crate::IPV6_UDP);
}

fn a_flow_moves(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(variant, &[&one.pods[0]]).unwrap();
    let mut inside = Client::new(&one.pods[2].ns)
        .talk(Protocol::Udp, service.vip())
        .unwrap();
    let target = service.node_port(&one.host);
    let mut outside = Client::new(&world.topology.client.ns)
        .talk(Protocol::Udp, target)
        .unwrap();
    for talk in [&mut inside, &mut outside] {
        assert_eq!(talk.ask("before").unwrap().server, "nginx-a");
    }
    service.set_endpoints(&[&two.pods[0]]).unwrap();
    for talk in [&mut inside, &mut outside] {
        assert_eq!(
            talk.ask("after").unwrap().server,
            "nginx-c",
            "the very next datagram"
        );
    }
}

#[test]
fn a_udp_flow_to_an_endpoint_that_stays_is_not_moved() {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(crate::IPV4_UDP, &[&one.pods[0]]).unwrap();
    let mut talk = Client::new(&one.pods[2].ns)
        .talk(Protocol::Udp, service.vip())
        .unwrap();
    let before = talk.ask("before").unwrap();
    service
        .set_endpoints(&[&one.pods[0], &one.pods[1], &two.pods[0]])
        .unwrap();
    for _ in 0..10 {
        assert_eq!(talk.ask("after").unwrap(), before);
    }
}
