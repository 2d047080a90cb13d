use proxy_common::{Addr4, FrontendFlags, FrontendKind};

use super::*;
use crate::{
    dataplane::bpf::{memory::MemoryMap, tracked_map::TrackedMap},
    netfilter::conntrack::Ends,
};

const NOW: u32 = 1_000;
const CLIENT: &str = "10.1.0.9:4000";
const VIP: &str = "10.96.0.10:53";
const NODE: &str = "192.168.0.2:30053";
const ENDPOINT: &str = "10.1.0.2:5353";

/// A cluster IP with the endpoint in list 5, and a node port with the same in its local list 6.
fn maps() -> FamilyMaps<Addr4> {
    fn empty<K: Ord + Copy + Send + 'static, V: PartialEq + Copy + Send + 'static>() -> TrackedMap<K, V> {
        TrackedMap::load(MemoryMap::default()).unwrap()
    }
    let mut maps = FamilyMaps {
        frontends: empty(),
        endpoints: empty(),
        members: empty(),
        node_addresses: empty(),
        source_ranges: empty(),
    };
    let (vip, node, endpoint) = (at(VIP), at(NODE), at(ENDPOINT));
    let cluster = Frontend::new(7, FrontendKind::ClusterIP, FrontendFlags::NONE).with_cluster_list(5, 1);
    let local = FrontendFlags::OTHERS_LOCAL;
    let node_port = Frontend::new(7, FrontendKind::NodePort, local).with_local_list(6, 1);
    maps.frontends
        .set(FrontendKey::new(vip.0, vip.1, UDP), cluster)
        .unwrap();
    maps.frontends
        .set(FrontendKey::node_port(node.1, UDP), node_port)
        .unwrap();
    maps.node_addresses.set(node.0, NODE_PORTS).unwrap();
    for list in [5, 6] {
        maps.members
            .set(MemberKey::new(list, endpoint.0, endpoint.1), 0)
            .unwrap();
    }
    maps
}

fn at(text: &str) -> (Addr4, Port) {
    end(text.parse().unwrap()).unwrap()
}

fn flow(protocol: u8, destination: &str, answer: [&str; 2]) -> conntrack::Flow {
    let ends = |[source, destination]: [&str; 2]| Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    conntrack::Flow::of(protocol, ends([CLIENT, destination]), ends(answer))
}

#[test]
fn a_udp_flow_keeps_its_endpoint_and_the_port_that_the_endpoint_knows() {
    // Conntrack has given it another one: the client had asked the endpoint from its own before.
    let flow = flow(UDP, VIP, [ENDPOINT, "10.1.0.9:4001"]);
    let moved = moved(&flow, &maps(), NOW).unwrap();
    let (key, to) = (moved.request.key, moved.request.flow);
    assert!(key == FlowKey::new(at(CLIENT), at(VIP), UDP));
    assert_eq!((to.put(), to.peer_port().get()), (at(ENDPOINT), 4001));
    assert_eq!((to.service(), to.list(), to.flags()), (7, 5, FlowFlags::REQUEST));
    assert_eq!(to.state().name(UDP), "replied");
    let [reply] = moved.others[..] else {
        panic!("{:?}", moved.others)
    };
    assert!(reply.hook == Hook::Egress && reply.key == FlowKey::new(at(ENDPOINT), at("10.1.0.9:4001"), UDP));
    assert_eq!((reply.flow.put(), reply.flow.peer_port().get()), (at(VIP), 4000));
}

#[test]
fn a_masqueraded_udp_flow_keeps_the_address_and_port_that_the_endpoint_knows() {
    let flow = flow(UDP, NODE, [ENDPOINT, "192.168.0.2:61000"]);
    let moved = moved(&flow, &maps(), NOW).unwrap();
    let to = moved.request.flow;
    let flags = [
        FlowFlags::NODE_PORT,
        FlowFlags::LOCAL_LIST,
        FlowFlags::MASQUERADED,
    ];
    assert!(flags.iter().all(|flag| to.flags().has(*flag)) && to.list() == 6);
    let egress = moved
        .others
        .iter()
        .find(|entry| entry.key == FlowKey::new(at(CLIENT), at(ENDPOINT), UDP));
    assert_eq!(egress.unwrap().flow.put(), at("192.168.0.2:61000"));
    let answer = FlowKey::new(at(ENDPOINT), at("192.168.0.2:61000"), UDP);
    let ingress = moved
        .others
        .iter()
        .find(|entry| entry.key == answer && entry.hook == Hook::Ingress);
    assert_eq!(ingress.unwrap().flow.put(), at(CLIENT));
}

#[test]
fn flows_to_what_is_no_service_or_an_endpoint_that_is_gone_stay_where_they_are() {
    for (destination, endpoint) in [
        ("10.96.0.11:53", ENDPOINT),
        ("10.96.0.10:54", ENDPOINT),
        ("192.168.0.3:30053", ENDPOINT),
        (VIP, "10.1.0.3:5353"),
    ] {
        let flow = flow(UDP, destination, [endpoint, CLIENT]);
        assert!(moved(&flow, &maps(), NOW).is_none(), "{destination} {endpoint}");
    }
    assert!(moved(&flow(TCP, VIP, [ENDPOINT, CLIENT]), &maps(), NOW).is_none());
}

#[test]
fn the_port_of_a_masqueraded_connection_is_taken_and_its_answers_are_left_alone() {
    let entry: Entry<Addr4> = taken_port(&flow(TCP, NODE, [ENDPOINT, "192.168.0.2:61000"]), NOW).unwrap();
    assert!(entry.hook == Hook::Ingress && !entry.flow.flags().has(FlowFlags::REQUEST));
    assert!(entry.key.with_destination(&entry.flow) == entry.key);
    assert_eq!(entry.flow.state().name(TCP), "established");
}
