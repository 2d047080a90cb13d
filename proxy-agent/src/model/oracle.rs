//! `compute` against a naive answer to "where may this packet go?" over random clusters.
//!
//! The oracle knows no lists and no frontends: it walks the objects anew for every packet.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use proptest::{prelude::*, sample::select, test_runner::RngSeed};

use super::{
    Cluster, ClusterEvent, Desired, DetectLocal, EndpointSlice, Family, FrontendAddress, FrontendKey,
    ListKey, LocalTraffic, Masquerade, Node, NodeContext, Object, ObjectName, Protocol, Scope, Service,
    ServicePortSpec, SliceEndpoint, SlicePort, TrafficPolicy, WhenEmpty, compute,
    samples::{self, HERE, name},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Pod,
    Node,
    External,
    /// A packet that the node sends to a load balancer address of its own may have that address as its source.
    Itself,
}

const CLIENTS: [Client; 4] = [Client::Pod, Client::Node, Client::External, Client::Itself];

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    NotOurs,
    Reject,
    Drop,
    Forward {
        to: BTreeSet<(IpAddr, u16)>,
        masqueraded: bool,
    },
}

impl Client {
    fn address(self, to: &FrontendKey) -> IpAddr {
        let texts = match (self, to.address) {
            (Self::Itself, FrontendAddress::Ip(address)) => return address,
            (Self::Pod, _) => ["10.1.0.5", "fd00:1::5"],
            (Self::Node, _) => ["192.168.0.2", "2001:db8::2"],
            (Self::External | Self::Itself, _) => ["203.0.113.2", "2001:db8:f::2"],
        };
        texts[usize::from(to.address.family() == Family::V6)]
            .parse()
            .unwrap()
    }
}

/// The answer of the state that dataplanes get.
fn by_desired(desired: &Desired, client: Client, to: &FrontendKey) -> Answer {
    let Some(frontend) = desired.frontends.get(to) else {
        return Answer::NotOurs;
    };
    let family = to.address.family();
    let is_pod = client == Client::Pod && desired.node.of(family).local_traffic != LocalTraffic::Unknown;
    let scope = if is_pod || client == Client::Node {
        frontend.internal_clients
    } else {
        frontend.external_clients
    };
    let list = &desired.lists[&frontend.list_key(family, scope)];
    let ranges = &frontend.source_ranges;
    let is_allowed = ranges.is_empty() || ranges.iter().any(|range| range.contains(&client.address(to)));
    match (list.endpoints.is_empty(), frontend.when_empty) {
        (true, WhenEmpty::Reject) => Answer::Reject,
        (true, WhenEmpty::Drop) => Answer::Drop,
        (false, _) if !is_allowed => Answer::Drop,
        (false, _) => Answer::Forward {
            to: list.endpoints.iter().map(|at| (at.address, at.port)).collect(),
            masqueraded: match frontend.masquerade {
                Masquerade::Never => false,
                Masquerade::OffCluster => !is_pod,
                Masquerade::Node => client == Client::Node,
                Masquerade::Always => true,
            },
        },
    }
}

/// The answer of the objects: kube-proxy's truth table, read off packet by packet.
fn by_objects(cluster: &Cluster, context: &NodeContext, client: Client, to: &FrontendKey) -> Answer {
    for wanted in [true, false] {
        for service in cluster.services.values() {
            for port in service.ports.iter().filter(|port| port.protocol == to.protocol) {
                if claims(service, port, to) == Some(wanted) {
                    return answer(cluster, context, (service, port), wanted, client, to);
                }
            }
        }
    }
    Answer::NotOurs
}

/// Whether this node can tell pods from others.
fn knows_pods(cluster: &Cluster, context: &NodeContext, family: Family) -> bool {
    let has = |cidrs: &[IpNet]| cidrs.iter().any(|cidr| Family::of(cidr.addr()) == family);
    match &context.detect_local {
        DetectLocal::ClusterCidr(cidrs) => has(cidrs),
        DetectLocal::NodeCidr => cluster.nodes.values().any(|node| has(&node.pod_cidrs)),
        DetectLocal::BridgeInterface(_) | DetectLocal::InterfaceNamePrefix(_) => true,
    }
}

/// Whether `loadBalancerSourceRanges` lets the client in.
fn may_enter(cluster: &Cluster, service: &Service, client: Client, to: &FrontendKey) -> bool {
    let FrontendAddress::Ip(address) = to.address else {
        return true;
    };
    let guards = service.load_balancer_ips.contains(&address)
        && !service.external_ips.contains(&address)
        && !service.cluster_ips.contains(&address);
    let of_family = |range: &&IpNet| Family::of(range.addr()) == to.address.family();
    let ranges: Vec<_> = service.source_ranges.iter().filter(of_family).collect();
    let includes = |address: IpAddr| ranges.iter().any(|range| range.contains(&address));
    let mut node_addresses = cluster.nodes.values().flat_map(|node| node.addresses.clone());
    let is_the_vip = service.load_balancer_ips.contains(&client.address(to));
    !guards
        || ranges.is_empty()
        || includes(client.address(to))
        || (is_the_vip && node_addresses.any(includes))
}

/// Whether the packet is for this port, and if so whether by its cluster IP.
fn claims(service: &Service, port: &ServicePortSpec, to: &FrontendKey) -> Option<bool> {
    let family = to.address.family();
    if !service
        .cluster_ips
        .iter()
        .any(|address| address.is_ipv4() == (family == Family::V4))
    {
        return None;
    }
    match to.address {
        FrontendAddress::AnyNode(_) => (port.node_port == Some(to.port)).then_some(false),
        FrontendAddress::Ip(_) if port.port != to.port => None,
        FrontendAddress::Ip(address) if service.cluster_ips.contains(&address) => Some(true),
        FrontendAddress::Ip(address) => {
            let external = service.external_ips.iter().chain(&service.load_balancer_ips);
            external.into_iter().any(|at| *at == address).then_some(false)
        }
    }
}

fn answer(
    cluster: &Cluster,
    context: &NodeContext,
    (service, port): (&Service, &ServicePortSpec),
    is_cluster_ip: bool,
    client: Client,
    to: &FrontendKey,
) -> Answer {
    let family = to.address.family();
    let knows_pods = knows_pods(cluster, context, family);
    let is_inside = client == Client::Node || (client == Client::Pod && knows_pods);
    let only_local = match is_cluster_ip {
        true => service.internal_traffic_policy == TrafficPolicy::Local,
        false => !is_inside && service.external_traffic_policy == TrafficPolicy::Local,
    };
    let everyone = entries(cluster, service, port, family);
    let here = |(_, entry): &&(u16, &SliceEndpoint)| !only_local || is_here(entry);
    let ready: Vec<_> = everyone.iter().filter(here).filter(|(_, at)| at.ready).collect();
    let leaving: Vec<_> = everyone
        .iter()
        .filter(here)
        .filter(|(_, at)| leaving(at))
        .collect();
    let near = if only_local {
        ready.clone()
    } else {
        near(cluster, &ready)
    };
    let chosen = if ready.is_empty() { leaving } else { near };
    if chosen.is_empty() {
        let exists = everyone.iter().any(|(_, at)| at.ready || self::leaving(at));
        return if exists { Answer::Drop } else { Answer::Reject };
    }
    if !may_enter(cluster, service, client, to) {
        return Answer::Drop;
    }
    Answer::Forward {
        to: chosen.into_iter().map(|(port, at)| (at.address, *port)).collect(),
        masqueraded: match (is_cluster_ip, client) {
            (true, _) if context.masquerade_all => true,
            (true, client) => knows_pods && client != Client::Pod,
            (false, Client::Node) => true,
            (false, _) => service.external_traffic_policy == TrafficPolicy::Cluster,
        },
    }
}

/// Those that the hints leave over.
fn near<'a>(cluster: &Cluster, ready: &[&'a (u16, &'a SliceEndpoint)]) -> Vec<&'a (u16, &'a SliceEndpoint)> {
    let zone = cluster
        .nodes
        .get(&ObjectName::cluster_scoped(HERE))
        .and_then(|node| node.zone.clone());
    let by_node: Vec<_> = ready
        .iter()
        .copied()
        .filter(|(_, at)| at.node_hints.contains(&HERE.to_owned()))
        .collect();
    let by_zone: Vec<_> = ready
        .iter()
        .copied()
        .filter(|(_, at)| zone.iter().any(|zone| at.zone_hints.contains(zone)))
        .collect();
    let all_have_nodes = !ready.iter().any(|(_, at)| at.node_hints.is_empty());
    let all_have_zones = !ready.iter().any(|(_, at)| at.zone_hints.is_empty());
    if all_have_nodes && !by_node.is_empty() {
        by_node
    } else if all_have_zones && !by_zone.is_empty() {
        by_zone
    } else {
        ready.to_vec()
    }
}

fn leaving(endpoint: &SliceEndpoint) -> bool {
    endpoint.terminating && endpoint.serving
}

fn is_here(endpoint: &SliceEndpoint) -> bool {
    endpoint.node_name.as_deref() == Some(HERE)
}

/// The port's endpoints; of several entries for one address and port, one that no other beats.
fn entries<'a>(
    cluster: &'a Cluster,
    service: &Service,
    port: &ServicePortSpec,
    family: Family,
) -> Vec<(u16, &'a SliceEndpoint)> {
    let mut all: Vec<(u16, &SliceEndpoint)> = Vec::new();
    for slice in cluster.endpoint_slices.values() {
        if slice.service_name() != service.name || slice.family != family {
            continue;
        }
        for target in &slice.ports {
            if (&target.name, target.protocol) == (&port.name, port.protocol) {
                all.extend(slice.endpoints.iter().map(|endpoint| (target.port, endpoint)));
            }
        }
    }
    let score =
        |at: &SliceEndpoint| 100 * u8::from(is_here(at)) + 10 * u8::from(at.ready) + u8::from(leaving(at));
    let beaten = |index: usize| {
        let (port, at) = all[index];
        all.iter().enumerate().any(|(other, (other_port, by))| {
            let same = *other_port == port && by.address == at.address;
            same && (score(by) > score(at) || (score(by) == score(at) && other < index))
        })
    };
    (0..all.len())
        .filter(|&index| !beaten(index))
        .map(|index| all[index])
        .collect()
}

const VIPS: [&str; 5] = [
    "10.96.0.1",
    "10.96.0.2",
    "203.0.113.1",
    "fd00:96::1",
    "fd00:96::2",
];
const PORTS: [u16; 2] = [80, 443];
const RANGES: [&str; 4] = ["192.168.0.0/24", "203.0.113.0/25", "10.1.0.0/16", "fd00:1::/32"];
const NODE_PORTS: [u16; 2] = [30080, 30443];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

fn vips(most: usize) -> impl Strategy<Value = Vec<IpAddr>> {
    let vip = select(&VIPS[..]).prop_map(|text| text.parse().unwrap());
    prop::collection::vec(vip, 0..=most)
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local])
}

fn port_spec() -> impl Strategy<Value = ServicePortSpec> {
    let node_port = prop::option::of(select(&NODE_PORTS[..]));
    (
        select(vec!["", "a"]),
        select(&PROTOCOLS[..]),
        select(&PORTS[..]),
        node_port,
    )
        .prop_map(|(name, protocol, port, node_port)| ServicePortSpec {
            name: name.to_owned(),
            protocol,
            port,
            node_port,
        })
}

fn service() -> impl Strategy<Value = Service> {
    let names = select(vec!["x/a", "x/b", "y/a"]);
    let ports = prop::collection::vec(port_spec(), 1..4);
    let ranges = prop::sample::subsequence(RANGES.to_vec(), 0..=2);
    (
        names,
        vips(2),
        vips(1),
        vips(1),
        ports,
        policy(),
        policy(),
        ranges,
    )
        .prop_map(
            |(at, cluster_ips, external_ips, load_balancer_ips, ports, internal, external, ranges)| Service {
                source_ranges: ranges.iter().map(|text| text.parse().unwrap()).collect(),
                cluster_ips,
                external_ips,
                load_balancer_ips,
                ports,
                internal_traffic_policy: internal,
                external_traffic_policy: external,
                ..samples::service(at, "10.96.0.1")
            },
        )
}

fn endpoint(family: Family) -> impl Strategy<Value = SliceEndpoint> {
    let node = select(vec!["", " @here", " @here", " @there"]);
    let state = select(vec![
        "ready",
        "ready",
        "ready",
        "serving-terminating",
        "terminating",
        "unready",
    ]);
    let hints = |all: Vec<&'static str>| {
        let some = prop_oneof![3 => Just(Vec::new()), 7 => prop::sample::subsequence(all, 1..=2)];
        some.prop_map(|hints| hints.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let hints = (hints(vec![HERE, "there"]), hints(vec!["a", "b"]));
    (1..4u8, node, state, hints).prop_map(move |(host, node, state, (node_hints, zone_hints))| {
        let address = match family {
            Family::V4 => format!("10.0.0.{host}"),
            Family::V6 => format!("fd00::{host}"),
        };
        let endpoint = samples::endpoint(&format!("{address}{node} {state}"));
        SliceEndpoint {
            node_hints,
            zone_hints,
            ..endpoint
        }
    })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let target =
        (select(vec!["", "a"]), select(&PROTOCOLS[..]), 8080..8082u16).prop_map(|(name, protocol, port)| {
            SlicePort {
                name: name.to_owned(),
                protocol,
                port,
            }
        });
    let ports = prop::collection::vec(target, 1..4);
    let names = (
        select(vec!["x/1", "x/2", "x/3", "y/1", "y/2"]),
        select(vec!["a", "b"]),
    );
    (names, ports, select(&Family::ALL[..])).prop_flat_map(|((at, service), ports, family)| {
        prop::collection::vec(endpoint(family), 0..5).prop_map(move |endpoints| EndpointSlice {
            name: name(at),
            service: service.to_owned(),
            family,
            ports: ports.clone(),
            endpoints,
        })
    })
}

fn cluster_objects() -> impl Strategy<Value = Vec<Object>> {
    let services = prop::collection::btree_map(select(vec!["x/a", "x/b", "y/a"]), service(), 0..4);
    let slices = prop::collection::btree_map(select(vec!["x/1", "x/2", "x/3", "y/1", "y/2"]), slice(), 0..6);
    let zone = prop::option::of(select(vec!["a", "c"]));
    (services, slices, zone, any::<[bool; 2]>()).prop_map(|(services, slices, zone, has)| {
        let addresses = ["192.168.0.2", "2001:db8::2"].map(|text| text.parse().unwrap());
        let cidr = "10.180.0.0/16".parse().unwrap();
        let node = Node {
            zone: zone.map(str::to_owned),
            addresses: addresses.into_iter().filter(|_| has[0]).collect(),
            pod_cidrs: has[1].then_some(cidr).into_iter().collect(),
            ..samples::node(HERE)
        };
        let services = services.into_iter().map(|(at, service)| {
            Object::Service(Service {
                name: name(at),
                ..service
            })
        });
        let slices = slices.into_iter().map(|(at, slice)| {
            Object::EndpointSlice(EndpointSlice {
                name: name(at),
                ..slice
            })
        });
        services.chain(slices).chain([Object::Node(node)]).collect()
    })
}

fn gather(objects: Vec<Object>) -> Cluster {
    let mut cluster = Cluster::default();
    for object in objects {
        cluster.handle(ClusterEvent::Apply(object));
    }
    cluster
}

fn any_context() -> impl Strategy<Value = NodeContext> {
    let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let modes = vec![
        DetectLocal::default(),
        DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8"])),
        DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8", "fd00::/8"])),
        DetectLocal::NodeCidr,
        DetectLocal::BridgeInterface("cbr0".to_owned()),
        DetectLocal::InterfaceNamePrefix("veth".to_owned()),
    ];
    (select(modes), prop::bool::weighted(0.2)).prop_map(|(detect_local, masquerade_all)| NodeContext {
        name: HERE.to_owned(),
        detect_local,
        masquerade_all,
        ..NodeContext::default()
    })
}

/// Every destination that a random cluster may serve.
fn destinations() -> Vec<FrontendKey> {
    let vips = VIPS.map(|text| FrontendAddress::Ip(text.parse().unwrap()));
    let by_ip = vips
        .into_iter()
        .flat_map(|address| PORTS.map(|port| (address, port)));
    let any = Family::ALL.map(FrontendAddress::AnyNode);
    let by_node = any
        .into_iter()
        .flat_map(|address| NODE_PORTS.map(|port| (address, port)));
    by_ip
        .chain(by_node)
        .flat_map(|(address, port)| {
            PROTOCOLS.map(|protocol| FrontendKey {
                address,
                port,
                protocol,
            })
        })
        .collect()
}

proptest! {
    // A fixed seed, so that a run that passes passes again.
    #![proptest_config(ProptestConfig {
        cases: 3000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_packet_goes_where_the_objects_say(objects in cluster_objects(), context in any_context()) {
        let cluster = gather(objects);
        let desired = compute(&cluster, &context);
        for to in destinations() {
            for client in CLIENTS {
                let by_desired = by_desired(&desired, client, &to);
                let by_objects = by_objects(&cluster, &context, client, &to);
                prop_assert_eq!(by_desired, by_objects, "{:?} to {}", client, to);
            }
        }
    }

    #[test]
    fn the_order_in_which_objects_come_changes_nothing(
        (objects, shuffled) in cluster_objects().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        context in any_context(),
    ) {
        prop_assert_eq!(compute(&gather(objects), &context), compute(&gather(shuffled), &context));
    }

    #[test]
    fn every_list_that_a_frontend_names_exists_sorted_and_without_duplicates(
        objects in cluster_objects(),
        context in any_context(),
    ) {
        let desired = compute(&gather(objects), &context);
        for (key, frontend) in &desired.frontends {
            for scope in [frontend.external_clients, frontend.internal_clients] {
                let service_port = frontend.service_port.clone();
                let list = ListKey { service_port, family: key.address.family(), scope };
                let list = &desired.lists[&list].endpoints;
                prop_assert!(list.is_sorted_by(|a, b| (a.address, a.port) < (b.address, b.port)));
                prop_assert!(scope == Scope::Cluster || list.iter().all(|at| at.local));
            }
            prop_assert!(desired.service_ports.contains_key(&frontend.service_port));
        }
    }
}
