//! Step by step, the plan is what computing everything anew would say, and the delta names all that is different.

use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::RngSeed};
use thin_vec::thin_vec;

use super::super::{
    ClusterEvent, EndpointSelector, EndpointSlice, FrontendKind, Node, Object, ObjectKind, ObjectRef,
    Service, TrafficPolicy, WeightRule, Weights,
    samples::{self, HERE, name, port},
};
use super::*;

/// Few names, addresses and ports, so that Services get into each other's way.
fn any_service() -> impl Strategy<Value = Service> {
    let policy = || select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local]);
    let address = || select(vec!["10.96.0.1", "10.96.0.2", "10.96.0.3", "fd00:96::1"]);
    let port = (
        select(vec!["", "http"]),
        select(vec![80_u16, 81]),
        option::of(30_000_u16..30_002),
    );
    (
        0..4_u8,
        vec(address(), 1..3),
        option::of(address()),
        vec(port, 1..3),
        policy(),
        policy(),
        (option::of(1..3_u32), any_weights()),
    )
        .prop_map(
            |(index, cluster_ips, external_ip, ports, internal, external, (affinity, weights))| {
                let parse = |text: &str| text.parse().unwrap();
                let ports = ports.into_iter().map(|(name, number, node_port)| {
                    let spec = port_spec(name, number);
                    super::super::ServicePortSpec { node_port, ..spec }
                });
                Service {
                    cluster_ips: cluster_ips.into_iter().map(parse).collect(),
                    external_ips: external_ip.map(parse).into_iter().collect(),
                    ports: ports.collect(),
                    internal_traffic_policy: internal,
                    external_traffic_policy: external,
                    session_affinity: affinity,
                    source_ranges: vec!["192.168.0.0/24".parse().unwrap()],
                    load_balancer_ips: vec!["203.0.113.9".parse().unwrap()],
                    weights,
                    ..samples::service(&format!("default/web-{index}"), "10.96.0.1")
                }
            },
        )
}

fn any_weights() -> impl Strategy<Value = Weights> {
    let selectors = vec![
        EndpointSelector::All,
        EndpointSelector::address([10, 0, 0, 1].into()),
        EndpointSelector::Node(HERE.to_owned()),
    ];
    let rule = (select(selectors), select(vec![0, 1, 5]));
    let rule = rule.prop_map(|(selector, weight)| WeightRule { selector, weight });
    prop_oneof![
        1 => Just(Weights::default()),
        1 => Just(Weights::malformed("odd".to_owned())),
        3 => vec(rule, 1..3).prop_map(Weights::new),
    ]
}

fn port_spec(name: &str, number: u16) -> super::super::ServicePortSpec {
    port(name, super::super::Protocol::Tcp, number)
}

fn any_slice() -> impl Strategy<Value = EndpointSlice> {
    let endpoint = select(vec![
        "10.0.0.1 @here",
        "10.0.0.2",
        "10.0.0.3 unready",
        "10.0.0.4 @here serving-terminating",
    ]);
    (0..6_u8, 0..4_u8, vec(endpoint, 0..3), any::<bool>()).prop_map(|(index, service, endpoints, hinted)| {
        let mut slice = samples::slice(
            &format!("default/slice-{index}"),
            &format!("web-{service}"),
            &endpoints,
        );
        for endpoint in &mut slice.endpoints {
            endpoint.zone_hints = if hinted {
                thin_vec!["a".to_owned()]
            } else {
                thin_vec![]
            };
        }
        slice
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    (option::of(select(vec!["a", "b"])), any::<bool>()).prop_map(|(zone, has_address)| Node {
        zone: zone.map(str::to_owned),
        addresses: has_address
            .then(|| "192.168.0.7".parse().unwrap())
            .into_iter()
            .collect(),
        ..samples::node(HERE)
    })
}

/// Something happens to any object, or a Service that there may be changes in nothing but its weights.
#[derive(Clone, Debug)]
enum Step {
    Event(ClusterEvent),
    Reweigh(ObjectName, Weights),
}

impl Step {
    fn event(self, cluster: &Cluster) -> Option<ClusterEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::Reweigh(name, weights) => cluster.services.get(&name).map(|service| {
                let service = service.clone();
                ClusterEvent::Apply(Object::Service(Service { weights, ..service }))
            }),
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let service = (0..4_u8).prop_map(|index| name(&format!("default/web-{index}")));
    prop_oneof![
        4 => any_event().prop_map(Step::Event),
        1 => (service, any_weights()).prop_map(|(name, weights)| Step::Reweigh(name, weights)),
    ]
}

fn any_event() -> impl Strategy<Value = ClusterEvent> {
    let delete = |kind: ObjectKind, name: ObjectName| ClusterEvent::Delete(ObjectRef { kind, name });
    prop_oneof![
        6 => any_service().prop_map(|service| ClusterEvent::Apply(Object::Service(service))),
        6 => any_slice().prop_map(|slice| ClusterEvent::Apply(Object::EndpointSlice(slice))),
        2 => any_node().prop_map(|node| ClusterEvent::Apply(Object::Node(node))),
        2 => (0..4_u8).prop_map(move |index| delete(ObjectKind::Service, name(&format!("default/web-{index}")))),
        2 => (0..6_u8).prop_map(move |index| {
            delete(ObjectKind::EndpointSlice, name(&format!("default/slice-{index}")))
        }),
        1 => vec(any_service(), 0..3).prop_map(|services| {
            ClusterEvent::Replace(ObjectKind::Service, services.into_iter().map(Object::Service).collect())
        }),
        1 => any::<bool>().prop_map(|is_installed| {
            let group = is_installed.then(|| "networking.istio.io".to_owned());
            ClusterEvent::MeshGroups(group.into_iter().collect())
        }),
        1 => vec(any_slice(), 0..3).prop_map(|slices| {
            let slices = slices.into_iter().map(Object::EndpointSlice).collect();
            ClusterEvent::Replace(ObjectKind::EndpointSlice, slices)
        }),
    ]
}

fn context() -> NodeContext {
    NodeContext {
        name: HERE.to_owned(),
        ..NodeContext::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn step_by_step_is_what_computing_anew_says_and_the_delta_names_what_differs(
        bursts in vec(vec(any_step(), 1..4), 1..12),
    ) {
        let mut cluster = Cluster::default();
        let mut plan = Plan::new(context());
        for burst in bursts {
            let before = plan.desired().clone();
            let mut changes = Changes::default();
            for step in burst {
                let Some(event) = step.event(&cluster) else { continue };
                changes.merge(cluster.handle(event));
            }
            let delta = plan.update(&cluster, &changes);
            let after = plan.desired();
            prop_assert_eq!(after, &compute(&cluster, &context()));
            prop_assert_eq!(delta, Delta::between(&before, after));
        }
    }
}

#[test]
fn a_frontend_goes_to_the_next_claim_when_its_service_goes() {
    let mut cluster = Cluster::default();
    let mut plan = Plan::new(context());
    let mut changes = Changes::default();
    for at in ["default/first", "default/second", "default/third"] {
        let service = Object::Service(samples::service(at, "10.96.0.1"));
        changes.merge(cluster.handle(ClusterEvent::Apply(service)));
    }
    plan.update(&cluster, &changes);
    let gone = ObjectRef {
        kind: ObjectKind::Service,
        name: name("default/first"),
    };
    let changes = cluster.handle(ClusterEvent::Delete(gone));
    let delta = plan.update(&cluster, &changes);
    let (key, winner) = plan.desired().frontends.first_key_value().expect("a frontend");
    assert_eq!(winner.service_port.to_string(), "default/second");
    assert_eq!(winner.kind, FrontendKind::ClusterIP);
    assert!(delta.frontends.contains(key) && delta.conflicts.contains(key));
    let losers: Vec<String> = plan
        .desired()
        .conflicts(key)
        .map(|conflict| conflict.loser.to_string())
        .collect();
    assert_eq!(losers, ["default/third"]);
}

#[test]
fn a_change_that_changes_nothing_here_gives_an_empty_delta() {
    let mut cluster = Cluster::default();
    let mut plan = Plan::new(context());
    cluster.handle(ClusterEvent::Apply(Object::Service(samples::service(
        "default/web",
        "10.96.0.1",
    ))));
    plan.update(&cluster, &Changes::everything());
    let unready = samples::slice("default/web-1", "web", &["10.0.0.1 unready"]);
    let changes = cluster.handle(ClusterEvent::Apply(Object::EndpointSlice(unready)));
    assert!(!changes.is_empty());
    assert!(plan.update(&cluster, &changes).is_empty());
    assert!(plan.update(&cluster, &Changes::everything()).is_empty());
}

#[test]
fn a_mesh_that_comes_or_goes_is_a_change_of_the_node_and_of_nothing_else() {
    let mut cluster = Cluster::default();
    let mut plan = Plan::new(context());
    let service = Object::Service(samples::service("default/web", "10.96.0.1"));
    let changes = cluster.handle(ClusterEvent::Apply(service));
    plan.update(&cluster, &changes);
    assert!(
        !plan.desired().node.pod_sockets.at_connect(),
        "nobody has said yet"
    );
    for (group, expected) in [(None, true), (Some("linkerd.io"), false), (None, true)] {
        let groups = group.map(str::to_owned).into_iter().collect();
        let changes = cluster.handle(ClusterEvent::MeshGroups(groups));
        let node = Delta {
            node: true,
            ..Delta::default()
        };
        assert_eq!(plan.update(&cluster, &changes), node, "{group:?}");
        assert_eq!(
            plan.desired().node.pod_sockets.at_connect(),
            expected,
            "{group:?}"
        );
    }
}
