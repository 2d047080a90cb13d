//! Clusters and the text that is restored for them. `BLESS=1` writes what is rendered; look at the difference before it is kept.
//!
//! All but those with weights and those of one protocol are, line by line and chain by chain, what kube-proxy 1.36 writes for the
//! same cluster. Its Services come in no order.

use std::{env, fs, path::PathBuf};

use harness::manifests;
use proxy_agent::{
    dataplane::iptables::render::{Extent, Settings},
    model::{DetectLocal, Family, NodeContext, NodePortAddresses, Protocol, compute},
};

use super::{rendered, settings};

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/model/render/golden")
        .join(file)
}

fn context() -> NodeContext {
    let cidrs = ["10.0.0.0/8", "fd00:10::/64"];
    NodeContext {
        name: "here".to_owned(),
        detect_local: DetectLocal::ClusterCidr(cidrs.map(|cidr| cidr.parse().expect("a range")).into()),
        ..NodeContext::default()
    }
}

/// Renders `cluster`.yaml and compares it with `scenario`.rules.
#[track_caller]
fn check(cluster: &str, scenario: &str, context: &NodeContext, settings: Settings) {
    let yaml = fs::read_to_string(path(&format!("{cluster}.yaml"))).expect("the cluster is there");
    let objects = manifests::objects(&yaml).expect("the manifests can be read");
    let desired = compute(&manifests::cluster(objects), context);
    let text = rendered(settings, &desired).text(Extent::Full, &[]);
    let golden = path(&format!("{scenario}.rules"));
    if env::var_os("BLESS").is_some() {
        fs::write(&golden, &text).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    for (number, (line, expected)) in (1..).zip(text.lines().zip(expected.lines())) {
        assert_eq!(line, expected, "{scenario}.rules, line {number}");
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{scenario}.rules");
}

#[test]
fn the_rules_of_the_six_services_are_those_of_kube_proxys_example() {
    check("six-services", "six-services", &context(), settings(Family::V4));
}

#[test]
fn every_kind_of_service_has_its_rules() {
    check("every-kind", "every-kind-v4", &context(), settings(Family::V4));
}

#[test]
fn ipv6_has_its_own_rules_and_no_node_ports_at_loopback() {
    let settings = Settings {
        random_fully: true,
        ..settings(Family::V6)
    };
    check("every-kind", "every-kind-v6", &context(), settings);
}

#[test]
fn without_a_local_detector_and_counters_nothing_asks_where_packets_come_from() {
    let context = NodeContext {
        detect_local: DetectLocal::default(),
        ..context()
    };
    let settings = Settings {
        invalid_counter: false,
        localhost_counter: false,
        ..settings(Family::V4)
    };
    check("every-kind", "every-kind-v4-no-detector", &context, settings);
}

#[test]
fn all_are_masqueraded_at_cluster_ips_if_so_asked() {
    let context = NodeContext {
        masquerade_all: true,
        ..context()
    };
    let settings = Settings {
        localhost_node_ports: false,
        ..settings(Family::V4)
    };
    check("every-kind", "every-kind-v4-masquerade-all", &context, settings);
}

#[test]
fn pods_are_known_by_their_bridge_and_odd_packets_let_through_where_conntrack_is_liberal() {
    let context = NodeContext {
        detect_local: DetectLocal::BridgeInterface("cbr0".to_owned()),
        ..context()
    };
    let settings = Settings {
        drops_invalid: false,
        ..settings(Family::V6)
    };
    check("every-kind", "every-kind-v6-bridge", &context, settings);
}

#[test]
fn node_ports_are_served_at_the_addresses_that_the_flag_names() {
    let ranges = ["192.168.0.0/16", "127.0.0.0/8", "2001:db8::/64", "::1/128"];
    let ranges = ranges.map(|range| range.parse().expect("a range"));
    let context = NodeContext {
        detect_local: DetectLocal::InterfaceNamePrefix("veth".to_owned()),
        node_port_addresses: NodePortAddresses::Cidrs(ranges.into()),
        ..context()
    };
    check(
        "every-kind",
        "every-kind-v4-node-addresses",
        &context,
        settings(Family::V4),
    );
    check(
        "every-kind",
        "every-kind-v6-node-addresses",
        &context,
        settings(Family::V6),
    );
}

#[test]
fn only_one_protocol_is_rendered_if_so_asked() {
    let settings = Settings {
        only: Some(Protocol::Sctp),
        ..settings(Family::V4)
    };
    check("every-kind", "every-kind-v4-sctp", &context(), settings);
}

#[test]
fn an_endpoint_gets_the_share_that_its_weight_says_of_those_who_have_not_been_here_before() {
    check("weights", "weights", &context(), settings(Family::V4));
}
