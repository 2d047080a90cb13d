//! `kube-portal cleanup` leaves a node as if the agent had never been there.

use std::time::Duration;

use harness::{
    agent::{TcAttach, hooks, pins},
    traffic::Client,
    world::World,
};

#[test]
fn cleanup_removes_all_pins_and_programs_from_tcx_and_clsact() {
    for tc_attach in [TcAttach::Auto, TcAttach::Clsact] {
        leaves_nothing(tc_attach);
    }
}

fn leaves_nothing(tc_attach: TcAttach) {
    let world = World::start(tc_attach).unwrap();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap();
    let client = Client::new(&node.pods[2].ns);
    let protocol = crate::IPV4_TCP.protocol;
    client.ask(protocol, service.vip()).unwrap();
    assert!(!hooks(&node.host.ns).unwrap().is_empty());
    assert!(!pins(world.agents[0].pin_root()).unwrap().is_empty());

    world.agents[0].kill().unwrap();
    world.agents[0].cleanup().unwrap();

    assert_eq!(
        pins(world.agents[0].pin_root()).unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    assert_eq!(hooks(&node.host.ns).unwrap(), []);
    assert_eq!(
        client
            .ask(protocol, service.direct(&node.pods[0]))
            .unwrap()
            .server,
        "nginx-a"
    );
    let hasty = client.patience(Duration::from_millis(500));
    assert!(
        hasty.ask(protocol, service.vip()).is_err(),
        "something still translates"
    );
}
