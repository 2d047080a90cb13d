//! The test bed works without an agent: otherwise no other test says anything.

use std::{
    fs, io,
    panic::catch_unwind,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use harness::{
    scratch::Scratch,
    topology::Topology,
    traffic::{Client, Role, Server, Talker, exchange, get},
    world::Variant,
};
use proxy_agent::model::{Family, Protocol};

const PORT: u16 = 8080;

for_each_variant!(
    pods_reach_each_other_and_see_each_others_addresses,
    the_client_outside_has_no_route_to_pods
);

fn server(topology: &Topology, variant: Variant, role: Role) -> Server {
    let pod = &topology.nodes[1].pods[0];
    Server::start(
        &pod.ns,
        &pod.name,
        role,
        variant.protocol,
        pod.at(variant.family, PORT),
    )
    .unwrap()
}

fn pods_reach_each_other_and_see_each_others_addresses(variant: Variant) {
    let topology = Topology::build().unwrap();
    let _server = server(&topology, variant, Role::WhoAmI);
    let target = topology.nodes[1].pods[0].at(variant.family, PORT);
    for client in topology.pods() {
        let answer = Client::new(&client.ns).ask(variant.protocol, target).unwrap();
        assert_eq!(
            (answer.server.as_str(), answer.client.ip()),
            ("nginx-c", client.ip(variant.family))
        );
    }
}

fn the_client_outside_has_no_route_to_pods(variant: Variant) {
    let topology = Topology::build().unwrap();
    let target = topology.nodes[1].pods[0].at(variant.family, PORT);
    let error = Client::new(&topology.client.ns)
        .ask(variant.protocol, target)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
}

#[test]
fn a_fixed_source_port_is_seen_by_the_server() {
    let topology = Topology::build().unwrap();
    let _server = server(&topology, crate::IPV4_TCP, Role::WhoAmI);
    let client = Client::new(&topology.nodes[0].host.ns).from_port(4321);
    let answer = client
        .ask(Protocol::Tcp, topology.nodes[1].pods[0].at(Family::V4, PORT))
        .unwrap();
    assert_eq!(answer.client, topology.nodes[0].host.at(Family::V4, 4321));
}

#[test]
fn bulk_data_and_pages_get_through() {
    let topology = Topology::build().unwrap();
    let client = Client::new(&topology.nodes[0].pods[0].ns);
    let target = topology.nodes[1].pods[0].at(Family::V6, PORT);
    {
        let _server = server(&topology, crate::IPV6_TCP, Role::Echo);
        exchange(client.connect(target).unwrap(), 64).unwrap();
    }
    let _server = server(&topology, crate::IPV6_TCP, Role::Http);
    assert_eq!(get(client, target).unwrap().answer.server, "nginx-c");
}

#[test]
fn a_talker_notices_that_its_server_is_gone() {
    let topology = Topology::build().unwrap();
    let _server = server(&topology, crate::IPV4_TCP, Role::WhoAmI);
    let target = topology.nodes[1].pods[0].at(Family::V4, PORT);
    let client = Client::new(&topology.nodes[0].pods[0].ns).patience(Duration::from_millis(300));
    let talker = Talker::start(client.talk(Protocol::Tcp, target).unwrap());
    talker.keeps_talking(10).unwrap();
    exec_in_pod(&topology, &["link", "set", "eth0", "down"]);
    assert!(talker.keeps_talking(1_000_000).is_err());
    assert!(talker.stop().is_err());
}

fn exec_in_pod(topology: &Topology, arguments: &[&str]) {
    harness::exec::output(topology.nodes[1].pods[0].ns.command("ip").args(arguments)).unwrap();
}

#[test]
fn a_topology_is_gone_when_it_is_dropped() {
    let began = Instant::now();
    let topology = Topology::build().unwrap();
    println!("built in {:?}", began.elapsed());
    let names: Vec<String> = topology.pods().map(|pod| pod.ns.name().to_owned()).collect();
    drop(topology);
    for name in names {
        assert!(
            fs::metadata(format!("/run/netns/{name}")).is_err(),
            "{name} is left"
        );
    }
}

#[test]
fn a_panic_leaves_no_namespace_and_no_mount() {
    let left = Mutex::new(Vec::new());
    let outcome = catch_unwind(|| {
        let topology = Topology::build().unwrap();
        let scratch = Scratch::create().unwrap();
        let namespaces = topology
            .pods()
            .map(|pod| PathBuf::from("/run/netns").join(pod.ns.name()));
        left.lock()
            .unwrap()
            .extend(namespaces.chain([scratch.path().to_owned()]));
        topology.nodes[0].host.ns.run(|| panic!("on purpose"));
    });
    assert!(outcome.is_err());
    let left = left.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(left.len(), 7);
    assert_eq!(left.iter().find(|path| path.exists()), None);
    assert!(
        !fs::read_to_string("/proc/mounts")
            .unwrap()
            .contains(left[6].to_str().unwrap())
    );
}
