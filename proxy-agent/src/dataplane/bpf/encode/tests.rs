//! Each thing that a frontend can ask for, and how the maps say it.

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, Frontend, FrontendFlags, FrontendKey, FrontendKind, List, Port, TCP, UDP,
};

use super::{Contents, FamilyContents, encode};
use crate::{
    dataplane::bpf::ids::Ids,
    model::{
        self, Desired, EndpointList, Family, FrontendAddress, ListKey, Masquerade, ObjectName, Protocol,
        Scope, ServicePort, ServicePortId, TrafficPolicy, WhenEmpty,
    },
};

/// A Service port `default/web` with two endpoints per family in scope Cluster, and one of them in scope Local.
fn web(protocol: Protocol) -> (Desired, model::Frontend) {
    let service_port = ServicePortId {
        service: ObjectName::new("default", "web"),
        port: "http".to_owned(),
        protocol,
    };
    let mut desired = Desired::default();
    desired.service_ports.insert(
        service_port.clone(),
        ServicePort {
            session_affinity: None,
            health_check_node_port: None,
            internal_traffic_policy: TrafficPolicy::Cluster,
            external_traffic_policy: TrafficPolicy::Cluster,
            externally_accessible: false,
            source_ranges: Vec::new(),
        },
    );
    for (family, scope, endpoints) in [
        (Family::V4, Scope::Cluster, &["10.0.0.1", "10.0.0.2"][..]),
        (Family::V4, Scope::Local, &["10.0.0.2"]),
        (Family::V6, Scope::Cluster, &["fd00::1", "fd00::2"]),
        (Family::V6, Scope::Local, &["fd00::2"]),
    ] {
        let key = ListKey {
            service_port: service_port.clone(),
            family,
            scope,
        };
        desired.lists.insert(key, list(endpoints));
    }
    let frontend = model::Frontend {
        kind: model::FrontendKind::ClusterIP,
        service_port,
        external_clients: Scope::Cluster,
        internal_clients: Scope::Cluster,
        masquerade: Masquerade::Never,
        when_empty: WhenEmpty::Reject,
        source_ranges: Vec::new(),
    };
    (desired, frontend)
}

fn list(addresses: &[&str]) -> EndpointList {
    let endpoint = |address: &&str| model::Endpoint {
        address: address.parse().unwrap(),
        port: 8080,
        weight: 1,
        local: false,
    };
    EndpointList {
        endpoints: addresses.iter().map(endpoint).collect(),
    }
}

fn at(address: &str, protocol: Protocol) -> model::FrontendKey {
    model::FrontendKey {
        address: FrontendAddress::Ip(address.parse().unwrap()),
        port: 80,
        protocol,
    }
}

fn v4(text: &str) -> Addr4 {
    Addr4::from_ip(text.parse().unwrap()).unwrap()
}

fn v6(text: &str) -> Addr6 {
    Addr6::from_ip(text.parse().unwrap()).unwrap()
}

/// The endpoints behind a frontend.
fn endpoints_of<A: Address>(contents: &FamilyContents<A>, frontend: &Frontend) -> Vec<Endpoint<A>> {
    contents
        .lists
        .get(&others(frontend).id)
        .cloned()
        .unwrap_or_default()
}

/// The list for clients that are no local pods.
fn others(frontend: &Frontend) -> List {
    frontend.list_for(false)
}

/// What becomes of a TCP frontend at 10.96.0.1:80 that `change` has changed.
fn one(change: impl FnOnce(&mut model::Frontend)) -> Contents {
    let (mut desired, mut frontend) = web(Protocol::Tcp);
    change(&mut frontend);
    desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), frontend);
    encode(&desired, &mut Ids::default())
}

fn value(contents: &Contents) -> Frontend {
    let (key, value) = contents.v4.frontends.first_key_value().expect("a frontend");
    assert_eq!(*key, FrontendKey::new(v4("10.96.0.1"), Port::new(80), TCP));
    *value
}

fn reasons(contents: &Contents) -> Vec<String> {
    contents.unserved.values().map(ToString::to_string).collect()
}

#[test]
fn a_frontend_names_its_service_its_kind_and_its_list() {
    for (kind, expected) in [
        (model::FrontendKind::ClusterIP, FrontendKind::ClusterIP),
        (model::FrontendKind::ExternalIP, FrontendKind::ExternalIP),
        (model::FrontendKind::LoadBalancer, FrontendKind::LoadBalancer),
        (model::FrontendKind::NodePort, FrontendKind::NodePort),
    ] {
        let contents = one(|frontend| frontend.kind = kind);
        let wanted = Frontend::new(1, expected, FrontendFlags::NONE).with_cluster_list(1, 2);
        assert_eq!(value(&contents), wanted, "{kind:?}");
        let endpoints = ["10.0.0.1", "10.0.0.2"].map(|at| Endpoint::new(v4(at), Port::new(8080)));
        assert_eq!(endpoints_of(&contents.v4, &wanted), endpoints);
        let name = contents.services[&1];
        assert_eq!((name.text(), name.protocol()), ("default/web:http", TCP));
        assert_eq!(reasons(&contents), [""; 0]);
    }
}

#[test]
fn a_frontend_says_whom_it_masquerades_and_the_programs_know_the_rest() {
    for (masquerade, expected) in [
        (Masquerade::Never, FrontendFlags::NONE),
        (Masquerade::OffCluster, FrontendFlags::MASQUERADE_OFF_CLUSTER),
        (Masquerade::Node, FrontendFlags::NONE),
        (Masquerade::Always, FrontendFlags::MASQUERADE),
    ] {
        let contents = one(|frontend| frontend.masquerade = masquerade);
        assert_eq!(value(&contents).flags(), expected, "{masquerade:?}");
    }
}

#[test]
fn internal_traffic_policy_local_spreads_over_the_local_list() {
    let contents = one(|frontend| {
        (frontend.external_clients, frontend.internal_clients) = (Scope::Local, Scope::Local);
    });
    let value = value(&contents);
    assert_eq!(value.list_for(true), value.list_for(false));
    assert_eq!((others(&value).len, value.list_ids()[0]), (1, 0));
    let endpoint = Endpoint::new(v4("10.0.0.2"), Port::new(8080));
    assert_eq!(endpoints_of(&contents.v4, &value), [endpoint]);
}

#[test]
fn unequal_weights_are_shares_of_the_slots_and_every_endpoint_stays_in_the_list() {
    let (mut desired, frontend) = web(Protocol::Tcp);
    desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), frontend);
    for list in desired
        .lists
        .values_mut()
        .filter(|list| list.endpoints.len() == 2)
    {
        list.endpoints[0].weight = 3;
    }
    let contents = encode(&desired, &mut Ids::default());
    let endpoint = |address| Endpoint::new(v4(address), Port::new(8080));
    // Of two slots the second keeps half, which makes a quarter, and leaves the other half to the first.
    let expected = [endpoint("10.0.0.1"), endpoint("10.0.0.2").with_share(1 << 31, 0)];
    assert_eq!(contents.v4.lists[&others(&value(&contents)).id], expected);
}

#[test]
fn a_frontend_without_endpoints_has_list_0_and_says_whether_packets_are_refused_or_vanish() {
    for (when_empty, silent) in [(WhenEmpty::Reject, false), (WhenEmpty::Drop, true)] {
        let (mut desired, mut frontend) = web(Protocol::Tcp);
        frontend.when_empty = when_empty;
        desired.lists.values_mut().for_each(|list| list.endpoints.clear());
        desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), frontend);
        let contents = encode(&desired, &mut Ids::default());
        let value = value(&contents);
        assert_eq!((others(&value).len, value.list_ids()), (0, [0, 0]));
        assert_eq!(value.flags().has(FrontendFlags::SILENT), silent);
        assert!(contents.v4.lists.is_empty());
    }
}

#[test]
fn all_frontends_of_a_service_port_in_a_family_share_one_list_and_node_ports_stand_under_the_any_address() {
    let (mut desired, frontend) = web(Protocol::Udp);
    for address in ["10.96.0.1", "203.0.113.1", "fd00:96::1"] {
        desired
            .frontends
            .insert(at(address, Protocol::Udp), frontend.clone());
    }
    for family in Family::ALL {
        let key = model::FrontendKey {
            address: FrontendAddress::AnyNode(family),
            port: 30_080,
            protocol: Protocol::Udp,
        };
        desired.frontends.insert(key, frontend.clone());
    }
    let contents = encode(&desired, &mut Ids::default());

    let list_of = |frontend: &Frontend| (frontend.service(), others(frontend).id, others(frontend).len);
    let lists4: Vec<_> = contents.v4.frontends.values().map(list_of).collect();
    let lists6: Vec<_> = contents.v6.frontends.values().map(list_of).collect();
    assert_eq!(lists4, [(1, 1, 2); 3]);
    assert_eq!(lists6, [(1, 3, 2); 2]);
    let node_port4 = FrontendKey::<Addr4>::node_port(Port::new(30_080), UDP);
    let node_port6 = FrontendKey::<Addr6>::node_port(Port::new(30_080), UDP);
    assert!(contents.v4.frontends.contains_key(&node_port4));
    assert!(contents.v6.frontends.contains_key(&node_port6));
    assert_eq!(
        contents.v6.lists[&3][0],
        Endpoint::new(v6("fd00::1"), Port::new(8080))
    );
}

#[test]
fn tcp_and_udp_of_one_port_are_two_service_ports_with_their_own_lists() {
    let (mut desired, tcp) = web(Protocol::Tcp);
    let (other, udp) = web(Protocol::Udp);
    desired.lists.extend(other.lists);
    desired.service_ports.extend(other.service_ports);
    desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), tcp);
    desired.frontends.insert(at("10.96.0.1", Protocol::Udp), udp);
    let contents = encode(&desired, &mut Ids::default());
    let ids: Vec<_> = contents
        .v4
        .frontends
        .values()
        .map(|frontend| (frontend.service(), others(frontend).id))
        .collect();
    assert_eq!(ids, [(1, 1), (2, 5)]);
    let protocols: Vec<u8> = contents.services.values().map(|name| name.protocol()).collect();
    assert_eq!(protocols, [TCP, UDP]);
}

#[test]
fn what_the_programs_cannot_serve_is_left_to_the_stack_and_named() {
    let (mut desired, frontend) = web(Protocol::Sctp);
    desired
        .frontends
        .insert(at("10.96.0.1", Protocol::Sctp), frontend);
    let sctp = encode(&desired, &mut Ids::default());

    assert!(sctp.v4.frontends.is_empty());
    assert_eq!(
        reasons(&sctp),
        [
            "default/web:http at 10.96.0.1:80/SCTP is not served by the programs: SCTP is left to iptables rules"
        ]
    );
}

#[test]
fn external_traffic_policy_local_spreads_pods_over_the_one_list_and_others_over_the_other() {
    let contents = one(|frontend| frontend.external_clients = Scope::Local);
    let value = value(&contents);
    let lens = [value.list_for(true), others(&value)].map(|list| (list.len, list.is_local));
    assert_eq!(lens, [(2, false), (1, true)]);
    let endpoint = Endpoint::new(v4("10.0.0.2"), Port::new(8080));
    assert_eq!(endpoints_of(&contents.v4, &value), [endpoint]);
}

#[test]
fn source_ranges_stand_under_their_service_port_in_the_map_of_their_family() {
    let (mut desired, mut frontend) = web(Protocol::Tcp);
    let ranges = ["10.0.0.0/8", "fd00::/64"].map(|range| range.parse().unwrap());
    frontend.source_ranges = vec![ranges[0]];
    let port = desired.service_ports.get_mut(&frontend.service_port);
    port.expect("the Service port").source_ranges = ranges.to_vec();
    desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), frontend);
    let contents = encode(&desired, &mut Ids::default());
    assert!(value(&contents).flags().has(FrontendFlags::SOURCE_RANGES));
    let keys4: Vec<_> = contents.v4.source_ranges.iter().collect();
    let keys6: Vec<_> = contents.v6.source_ranges.iter().collect();
    let range4 = (keys4[0].range.service(), keys4[0].range.client(), keys4[0].bits);
    assert_eq!((keys4.len(), range4), (1, (1, v4("10.0.0.0"), 32 + 8)));
    let range6 = (keys6[0].range.service(), keys6[0].range.client(), keys6[0].bits);
    assert_eq!((keys6.len(), range6), (1, (1, v6("fd00::"), 32 + 64)));
}

#[test]
fn a_frontend_says_for_how_long_clients_keep_their_endpoint() {
    let (mut desired, frontend) = web(Protocol::Tcp);
    let service_port = frontend.service_port.clone();
    desired.frontends.insert(at("10.96.0.1", Protocol::Tcp), frontend);
    desired
        .service_ports
        .get_mut(&service_port)
        .expect("the Service port")
        .session_affinity = Some(10_800);
    let contents = encode(&desired, &mut Ids::default());
    assert_eq!(value(&contents).affinity_timeout(), 10_800);
    assert_eq!(reasons(&contents), [""; 0]);
}

#[test]
fn the_unspecified_address_is_not_served_because_it_is_where_node_ports_stand() {
    let (mut desired, frontend) = web(Protocol::Tcp);
    for address in ["0.0.0.0", "::"] {
        desired
            .frontends
            .insert(at(address, Protocol::Tcp), frontend.clone());
    }
    let contents = encode(&desired, &mut Ids::default());
    assert!(contents.v4.frontends.is_empty() && contents.v6.frontends.is_empty());
    assert_eq!(contents.unserved.len(), 2);
}

#[test]
fn equal_input_gives_equal_contents_and_what_comes_back_has_new_ids() {
    let (mut desired, frontend) = web(Protocol::Tcp);
    for address in ["10.96.0.1", "fd00:96::1"] {
        desired
            .frontends
            .insert(at(address, Protocol::Tcp), frontend.clone());
    }
    let mut ids = Ids::default();
    let first = encode(&desired, &mut ids);
    let again = encode(&desired, &mut ids);
    assert_eq!(again.v4.frontends, first.v4.frontends);
    assert_eq!(again.v6.lists, first.v6.lists);

    let mut changed = desired.clone();
    changed
        .lists
        .retain(|key, _| key.family == Family::V4 || key.scope == Scope::Local);
    let _ = encode(&changed, &mut ids);
    let back = encode(&desired, &mut ids);
    let list6 = |contents: &Contents| {
        let frontend = contents.v6.frontends.values().next();
        others(frontend.expect("a frontend")).id
    };
    assert_eq!(back.v4.frontends, first.v4.frontends);
    assert_eq!(
        (list6(&first), list6(&back)),
        (3, 5),
        "list 3 may have been deleted meanwhile"
    );

    let _ = encode(&Desired::default(), &mut ids);
    let anew = encode(&desired, &mut ids);
    assert_eq!(value(&anew).service(), 2);
}
