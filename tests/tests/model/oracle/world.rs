//! Random clusters that are small enough for their objects to get into each other's way.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{select, subsequence},
};
use proxy_agent::model::{
    DetectLocal, EndpointSelector, EndpointSlice, Family, Node, NodeContext, NodePortAddresses, Object,
    ObjectName, Protocol, Service, ServicePortSpec, SliceEndpoint, SlicePort, TrafficPolicy, WeightRule,
    Weights,
};

/// All that decides where packets go on a node.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) context: NodeContext,
    pub(crate) services: BTreeMap<ObjectName, Service>,
    pub(super) slices: BTreeMap<ObjectName, EndpointSlice>,
    pub(super) nodes: BTreeMap<String, Node>,
    /// The rules in the Services' annotations.
    pub(super) weights: BTreeMap<ObjectName, Vec<WeightRule>>,
}

impl World {
    /// The world of these objects.
    pub(crate) fn of(context: NodeContext, objects: Vec<Object>) -> Self {
        let mut world = Self {
            context,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            nodes: BTreeMap::new(),
            weights: BTreeMap::new(),
        };
        for object in objects {
            match object {
                Object::Service(service) => drop(world.services.insert(service.name.clone(), service)),
                Object::EndpointSlice(slice) => drop(world.slices.insert(slice.name.clone(), slice)),
                Object::Node(node) => drop(world.nodes.insert(node.name.clone(), node)),
                Object::ServiceCIDR(_) => {}
            }
        }
        world
    }

    /// The objects, those of a kind in the order of their names.
    pub(crate) fn objects(&self) -> Vec<Object> {
        let services = self.services.values().cloned().map(Object::Service);
        let slices = self.slices.values().cloned().map(Object::EndpointSlice);
        let nodes = self.nodes.values().cloned().map(Object::Node);
        services.chain(slices).chain(nodes).collect()
    }
}

const HERE: &str = "here";
const THERE: &str = "there";

/// Every address that a Service may have.
pub(super) const VIPS: [&str; 6] = [
    "10.96.0.1",
    "10.96.0.2",
    "203.0.113.1",
    "fd00:96::1",
    "fd00:96::2",
    "2001:db8:113::1",
];
/// Every port that a Service may have.
pub(super) const PORTS: [u16; 2] = [80, 443];
/// Every node port that a Service may have; one is a port of Services, too.
pub(super) const NODE_PORTS: [u16; 2] = [30080, 443];
/// Every protocol.
pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
/// A range that lets the node in, one that does not, in both families.
const RANGES: [&str; 5] = [
    "192.168.0.0/24",
    "203.0.113.0/25",
    "10.0.0.0/8",
    "2001:db8::/64",
    "fd00:10::/32",
];

const SERVICES: [(&str, &str); 3] = [("x", "a"), ("x", "b"), ("y", "a")];
const SLICES: [(&str, &str); 6] = [
    ("x", "1"),
    ("x", "2"),
    ("x", "3"),
    ("x", "4"),
    ("x", "5"),
    ("y", "1"),
];

fn name((namespace, name): (&str, &str)) -> ObjectName {
    ObjectName::new(namespace, name)
}

fn parse<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the tests' own texts are right")
}

/// Any world.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let services = btree_map(select(&SERVICES[..]).prop_map(name), service(), 2..4);
    let slices = btree_map(select(&SLICES[..]).prop_map(name), slice(), 3..7);
    let nodes = (
        option::weighted(0.9, node(HERE)),
        option::weighted(0.3, node(THERE)),
    );
    let weights = btree_map(select(&SERVICES[..]).prop_map(name), weight_rules(), 0..4);
    (context(), services, slices, nodes, weights).prop_map(
        |(context, mut services, mut slices, nodes, weights)| {
            services.iter_mut().for_each(|(name, service)| {
                service.name = name.clone();
                service.weights = weights
                    .get(name)
                    .cloned()
                    .map_or_else(Weights::default, Weights::new);
            });
            slices
                .iter_mut()
                .for_each(|(name, slice)| slice.name = name.clone());
            let nodes = [nodes.0, nodes.1].into_iter().flatten();
            World {
                context,
                services,
                slices,
                nodes: nodes.map(|node| (node.name.clone(), node)).collect(),
                weights,
            }
        },
    )
}

fn context() -> impl Strategy<Value = NodeContext> {
    let cidrs = |texts: &[&str]| texts.iter().map(|text| parse(text)).collect::<Vec<IpNet>>();
    let modes = vec![
        DetectLocal::default(),
        DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8", "192.0.2.0/24"])),
        DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8", "fd00:10::/32"])),
        DetectLocal::NodeCidr,
        DetectLocal::BridgeInterface("cbr0".to_owned()),
        DetectLocal::InterfaceNamePrefix("cali".to_owned()),
    ];
    let addresses = prop_oneof![
        3 => Just(NodePortAddresses::All),
        1 => Just(NodePortAddresses::Primary),
        1 => Just(NodePortAddresses::Cidrs(cidrs(&["192.168.0.0/24"]))),
        1 => Just(NodePortAddresses::Cidrs(cidrs(&["192.168.1.0/24", "2001:db8::/64"]))),
    ];
    (select(modes), prop::bool::weighted(0.2), addresses).prop_map(|(mode, masquerade_all, addresses)| {
        NodeContext {
            name: HERE.to_owned(),
            detect_local: mode,
            masquerade_all,
            node_port_addresses: addresses,
            ..NodeContext::default()
        }
    })
}

fn node(name: &'static str) -> impl Strategy<Value = Node> {
    let addresses = subsequence(vec!["192.168.0.2", "192.168.1.2", "2001:db8::2"], 0..=3);
    let ranges = subsequence(vec!["10.0.0.0/24", "10.9.0.0/16", "fd00:10::/64"], 0..=3);
    let zone = option::of(select(vec!["a", "b", "c"]));
    (addresses, ranges, zone).prop_map(move |(addresses, ranges, zone)| Node {
        name: name.to_owned(),
        addresses: addresses.into_iter().map(parse).collect(),
        pod_cidrs: ranges.into_iter().map(parse).collect(),
        zone: zone.map(str::to_owned),
    })
}

fn vips(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<IpAddr>> {
    vec(select(&VIPS[..]).prop_map(parse), count)
}

/// The API knows at most one cluster IP of a family.
fn cluster_ips() -> impl Strategy<Value = Vec<IpAddr>> {
    let four = select(vec!["10.96.0.1", "10.96.0.2"]);
    let six = select(vec!["fd00:96::1", "fd00:96::2"]);
    (four, six, 0..4_u8).prop_map(|(four, six, which)| match which {
        0 => vec![parse(four)],
        1 => vec![parse(six)],
        2 => vec![parse(four), parse(six)],
        _ => vec![parse(six), parse(four)],
    })
}

fn service() -> impl Strategy<Value = Service> {
    let policy = || select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local]);
    let addresses = (cluster_ips(), vips(0..2), vips(0..4));
    let ranges = prop_oneof![1 => Just(Vec::new()), 2 => subsequence(RANGES.to_vec(), 1..=2)];
    let facts = (option::of(1..86_401_u32), option::of(32_000..32_002_u16));
    (addresses, ports(service_port), policy(), policy(), ranges, facts).prop_map(
        |((cluster_ips, external_ips, load_balancer_ips), ports, internal, external, ranges, facts)| {
            Service {
                name: name(SERVICES[0]),
                cluster_ips,
                external_ips,
                load_balancer_ips,
                source_ranges: ranges.into_iter().map(parse).collect(),
                ports,
                internal_traffic_policy: internal,
                external_traffic_policy: external,
                session_affinity: facts.0,
                health_check_node_port: facts.1,
                weights: Weights::default(),
            }
        },
    )
}

/// The usual unnamed TCP port, and maybe more.
fn ports<T: Clone + std::fmt::Debug, S: Strategy<Value = T>>(
    port: fn(String, Protocol) -> S,
) -> impl Strategy<Value = Vec<T>> {
    let other = (select(vec!["", "a"]), select(&PROTOCOLS[..]));
    let other = other.prop_flat_map(move |(name, protocol)| port(name.to_owned(), protocol));
    (port(String::new(), Protocol::Tcp), vec(other, 0..3)).prop_map(|(usual, mut others)| {
        others.insert(0, usual);
        others
    })
}

fn service_port(name: String, protocol: Protocol) -> impl Strategy<Value = ServicePortSpec> {
    let node_port = option::of(select(&NODE_PORTS[..]));
    (select(&PORTS[..]), node_port).prop_map(move |(port, node_port)| ServicePortSpec {
        name: name.clone(),
        protocol,
        port,
        node_port,
    })
}

fn slice_port(name: String, protocol: Protocol) -> impl Strategy<Value = SlicePort> {
    (8080..8082_u16).prop_map(move |port| SlicePort {
        name: name.clone(),
        protocol,
        port,
    })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let ports = ports(slice_port);
    let hints = select(&[Hints::None, Hints::Zones, Hints::Zones, Hints::Both, Hints::Both][..]);
    let endpoints = select(&Family::ALL[..]).prop_flat_map(move |family| (Just(family), hints.clone()));
    let endpoints =
        endpoints.prop_flat_map(|(family, hints)| (Just(family), vec(endpoint(family, hints), 0..6)));
    (select(vec!["a", "a", "b"]), ports, endpoints).prop_map(|(service, ports, (family, endpoints))| {
        EndpointSlice {
            name: name(SLICES[0]),
            service: service.to_owned(),
            family,
            ports,
            endpoints,
        }
    })
}

/// Many of them 0, so that whole lists are.
fn weight_rules() -> impl Strategy<Value = Vec<WeightRule>> {
    let selectors = vec![
        EndpointSelector::All,
        EndpointSelector::Network(parse("10.0.0.1/32")),
        EndpointSelector::Network(parse("fd00:10::/127")),
        EndpointSelector::Pod("web-1".to_owned()),
        EndpointSelector::PodPrefix("web-".to_owned()),
        EndpointSelector::Node(HERE.to_owned()),
    ];
    let rule = (select(selectors), select(vec![0, 0, 3, u16::MAX]));
    let rule = rule.prop_map(|(selector, weight)| WeightRule { selector, weight });
    vec(rule, 1..4)
}

/// What the slice controller has hinted for a slice; sometimes an endpoint lacks its hint.
#[derive(Clone, Copy, Debug)]
enum Hints {
    None,
    Zones,
    Both,
}

/// Few addresses, so that slices repeat each other's. `ready` includes an endpoint that the slice controller calls ready
/// although it terminates, as it does for `publishNotReadyAddresses`.
fn endpoint(family: Family, hinted: Hints) -> impl Strategy<Value = SliceEndpoint> {
    let node = select(vec![None, Some(HERE), Some(HERE), Some(THERE)]);
    let conditions = prop_oneof![
        5 => Just((true, true, false)),
        1 => Just((true, true, true)),
        2 => Just((false, true, true)),
        1 => Just((false, false, true)),
        1 => Just((false, true, false)),
    ];
    let hints = match hinted {
        Hints::None => (Just(Vec::new()).boxed(), Just(Vec::new()).boxed()),
        Hints::Zones => (Just(Vec::new()).boxed(), hints(["a", "b"]).boxed()),
        Hints::Both => (hints([HERE, THERE]).boxed(), hints(["a", "b"]).boxed()),
    };
    let pod = select(vec![None, Some("web-1"), Some("web-2"), Some("canary")]);
    (1..4_u8, node, conditions, hints, pod).prop_map(
        move |(host, node, (ready, serving, terminating), hints, pod)| SliceEndpoint {
            address: match family {
                Family::V4 => [10, 0, 0, host].into(),
                Family::V6 => [0xfd00, 0x10, 0, 0, 0, 0, 0, u16::from(host)].into(),
            },
            ready,
            serving,
            terminating,
            node_name: node.map(Into::into),
            node_hints: hints.0.into(),
            zone_hints: hints.1.into(),
            pod: pod.map(Into::into),
        },
    )
}

fn hints(all: [&'static str; 2]) -> impl Strategy<Value = Vec<String>> {
    let some = prop_oneof![1 => Just(Vec::new()), 7 => subsequence(all.to_vec(), 1..=2)];
    some.prop_map(|hints| hints.into_iter().map(str::to_owned).collect())
}
