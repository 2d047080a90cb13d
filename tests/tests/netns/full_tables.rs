//! More flows than the tables have room for: the oldest are forgotten, and nothing else is.

use std::time::Duration;

use harness::{
    topology::Topology,
    traffic::{Client, Role, Server, Talker},
    world::{Variant, World},
};
use proxy_agent::model::Protocol;

const VARIANTS: [Variant; 2] = [crate::IPV4_UDP, crate::IPV6_UDP];
/// The smallest tables there are.
const ROOM: u16 = 1_024;

#[test]
fn a_node_whose_flow_tables_are_full_is_reachable_and_opens_new_flows_and_keeps_the_busy_ones() {
    let world = World::start_with(&["--flow-table-size", &ROOM.to_string()]).unwrap();
    for variant in VARIANTS {
        overfill(&world, variant);
    }
}

fn overfill(world: &World, variant: Variant) {
    let Topology { nodes, client, .. } = &world.topology;
    let [one, two] = nodes;
    let tcp = Variant {
        protocol: Protocol::Tcp,
        ..variant
    };
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let busy = world.publish(tcp, &[&two.pods[0]]).unwrap();
    let target = service.node_port(&one.host);
    let talker = Talker::start(
        Client::new(&client.ns)
            .talk(Protocol::Tcp, busy.node_port(&one.host))
            .unwrap(),
    );
    talker.keeps_talking(5).unwrap();
    for port in 0..3 * ROOM {
        let flow = Client::new(&client.ns).from_port(20_000 + port);
        flow.ask(Protocol::Udp, target).unwrap();
    }
    talker.keeps_talking(20).unwrap();
    assert_eq!(talker.stop().unwrap().server, "nginx-c");

    let own = one.host.at(variant.family, 9_999);
    let _server = Server::start(&one.host.ns, "node1", Role::WhoAmI, Protocol::Tcp, own).unwrap();
    let anyone = Client::new(&client.ns).patience(Duration::from_secs(1));
    assert_eq!(anyone.ask(Protocol::Tcp, own).unwrap().server, "node1");
    assert_eq!(
        anyone
            .ask(Protocol::Tcp, busy.node_port(&one.host))
            .unwrap()
            .server,
        "nginx-c"
    );
}
