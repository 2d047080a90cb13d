//! A whole dump of 2018, with affinity and with probabilities of five digits: twelve Services with fourteen ports.

use std::collections::BTreeMap;

use harness::{
    bpf::in_own_netns,
    rules::{Fate, Node, Outcome},
};

use super::{
    Document,
    reader::{Form, Setting, read},
    ways::Programs,
};
use crate::scene::endpoint;

const PODS: &str = "10.253.0.0/16";
const WORDPRESS: &str = "10.254.42.62:80";
/// The lists of the two endpoints.
const FIRST: &str = "KUBE-SEP-Q6QA3I2UU4P2TRVC";
const SECOND: &str = "KUBE-SEP-I7ZLLXO3AGNMS3PQ";

fn document() -> Document {
    let setting = Setting {
        name: "cluster_with_affinity",
        masquerades: "KUBE-POSTROUTING",
        pods: Some(PODS),
        pod: "10.253.51.9",
        node: "172.16.1.20",
        routes: &[("10.253.51.0/24", "docker0"), (PODS, "flannel.1")],
    };
    read(&setting, Form::Saved)
}

#[test]
fn wordpress_is_reached_by_its_cluster_ip_and_at_its_node_port() {
    document().check(
        "
        pod          10.254.42.62:80        1/2 10.253.25.4:80, 1/2 10.253.84.4:80
        node         10.254.42.62:80        1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80 masqueraded
        outside      10.254.42.62:80        1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80 masqueraded
        10.253.25.4  10.254.42.62:80        1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80
        10.253.84.4  10.254.42.62:80        1/2 10.253.25.4:80, 1/2 10.253.84.4:80 masqueraded
        pod          172.16.1.20:32765      1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80 masqueraded
        node         172.16.1.20:32765      1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80 masqueraded
        outside      172.16.1.20:32765      1/2 10.253.25.4:80 masqueraded, 1/2 10.253.84.4:80 masqueraded
        outside      172.16.1.20:32765/udp  untouched
        outside      10.254.42.62:32765     untouched
        ",
    );
}

/// What the rules say when these lists have seen `pod` so long ago.
fn with_memory(document: &Document, lists: &[(&str, u32)]) -> BTreeMap<Fate, f64> {
    let seen = |(list, age): &(&str, u32)| ((*list).to_owned(), [(document.pod, *age)].into());
    let node = Node {
        recent: lists.iter().map(seen).collect(),
        ..document.node.clone()
    };
    let packet = document.packet("pod", WORDPRESS.parse().expect("an address and port"));
    let answer = document.rules.ask(&node, &packet);
    answer.unwrap_or_else(|error| panic!("{error:#}")).fates()
}

#[test]
fn a_client_of_wordpress_keeps_its_endpoint_for_three_hours() {
    let document = document();
    let kept = |to| BTreeMap::from([(endpoint(to), 1.0)]);
    assert_eq!(with_memory(&document, &[(FIRST, 10_800)]), kept("10.253.25.4:80"));
    assert_eq!(with_memory(&document, &[(SECOND, 1)]), kept("10.253.84.4:80"));
    assert_eq!(with_memory(&document, &[(FIRST, 10_801)]).len(), 2);
    let timeouts = document
        .desired
        .service_ports
        .iter()
        .filter_map(|(id, port)| Some((id.to_string(), port.session_affinity?)));
    let sticky = ["default/kubernetes:https", "default/wordpress-01-svc"];
    assert!(timeouts.eq(sticky.map(|name| (name.to_owned(), 10_800))));
}

#[test]
fn the_programs_keep_a_client_of_wordpress_at_its_endpoint_at_both_addresses() {
    let document = document();
    let by_cluster_ip = document.packet("outside", WORDPRESS.parse().expect("an address and port"));
    let at_node_port = document.packet(
        "outside",
        "172.16.1.20:32765".parse().expect("an address and port"),
    );
    in_own_netns(|| {
        let mut programs = Programs::of(&document);
        let first = programs.open(&by_cluster_ip);
        for _ in 0..20 {
            assert_eq!(programs.open(&by_cluster_ip), first);
            assert_eq!(programs.open(&at_node_port), first);
        }
    });
}

#[test]
fn each_connection_to_wordpress_is_remembered_in_the_list_of_its_endpoint() {
    let document = document();
    let packet = document.packet("outside", WORDPRESS.parse().expect("an address and port"));
    let answer = document.rules.ask(&document.node, &packet).expect("an answer");
    let expected = [("10.253.25.4:80", FIRST), ("10.253.84.4:80", SECOND)].map(|(to, list)| Outcome {
        fate: endpoint(to),
        masqueraded_by: Some("KUBE-POSTROUTING".to_owned()),
        remembered_in: [list.to_owned()].into(),
    });
    assert!(answer.0.keys().eq(&expected), "{answer}");
}

/// Docker's rule for its own bridge comes after kube-proxy's. It is no matter of a Service: we leave it as it is, too.
#[test]
fn docker_masquerades_what_its_pods_send_whether_to_a_service_or_not() {
    let document = document();
    for to in [WORDPRESS, "203.0.113.80:80"] {
        let packet = document.packet("pod", to.parse().expect("an address and port"));
        let answer = document.rules.ask(&document.node, &packet).expect("an answer");
        let mut chains = answer.0.keys().map(|outcome| outcome.masqueraded_by.as_deref());
        assert!(chains.all(|chain| chain == Some("POSTROUTING")), "{answer}");
    }
}

#[test]
fn the_api_server_is_reached_and_keeps_its_clients() {
    document().check(
        "
        pod          10.254.0.1:443  172.16.1.10:6443
        node         10.254.0.1:443  172.16.1.10:6443 masqueraded
        outside      10.254.0.1:443  172.16.1.10:6443 masqueraded
        172.16.1.10  10.254.0.1:443  172.16.1.10:6443 masqueraded
        ",
    );
}

#[test]
fn three_hosts_that_store_get_a_third_each_although_one_rule_has_but_five_digits() {
    document().check(
        "
        pod          10.254.112.177:1  1/3 172.16.1.10:1, 1/3 172.16.1.11:1, 1/3 172.16.1.12:1
        node         10.254.112.177:1  1/3 172.16.1.10:1 masqueraded, 1/3 172.16.1.11:1 masqueraded, 1/3 172.16.1.12:1 masqueraded
        outside      10.254.112.177:1  1/3 172.16.1.10:1 masqueraded, 1/3 172.16.1.11:1 masqueraded, 1/3 172.16.1.12:1 masqueraded
        172.16.1.11  10.254.112.177:1  1/3 172.16.1.10:1 masqueraded, 1/3 172.16.1.11:1 masqueraded, 1/3 172.16.1.12:1 masqueraded
        ",
    );
}

#[test]
fn the_interface_of_that_storage_is_reached() {
    document().check(
        "
        pod          10.254.111.142:8080  10.253.84.3:8080
        node         10.254.111.142:8080  10.253.84.3:8080 masqueraded
        outside      10.254.111.142:8080  10.253.84.3:8080 masqueraded
        10.253.84.3  10.254.111.142:8080  10.253.84.3:8080 masqueraded
        ",
    );
}

#[test]
fn mysql_is_reached() {
    document().check(
        "
        pod          10.254.64.95:3306  10.253.25.5:3306
        node         10.254.64.95:3306  10.253.25.5:3306 masqueraded
        outside      10.254.64.95:3306  10.253.25.5:3306 masqueraded
        10.253.25.5  10.254.64.95:3306  10.253.25.5:3306 masqueraded
        pod          10.253.25.5:3306   untouched
        ",
    );
}

#[test]
fn an_ingress_has_two_ports_and_two_node_ports() {
    document().check(
        "
        pod          10.254.122.20:80     10.253.25.2:80
        pod          10.254.122.20:443    10.253.25.2:443
        node         10.254.122.20:80     10.253.25.2:80 masqueraded
        outside      10.254.122.20:443    10.253.25.2:443 masqueraded
        pod          172.16.1.20:30080    10.253.25.2:80 masqueraded
        node         172.16.1.20:30443    10.253.25.2:443 masqueraded
        outside      172.16.1.20:30080    10.253.25.2:80 masqueraded
        outside      172.16.1.20:30443    10.253.25.2:443 masqueraded
        10.253.25.2  172.16.1.20:30080    10.253.25.2:80 masqueraded
        10.253.25.2  10.254.122.20:80     10.253.25.2:80 masqueraded
        outside      172.16.1.20:30081    untouched
        ",
    );
}

#[test]
fn the_backend_behind_the_ingress_is_reached_at_another_port() {
    document().check(
        "
        pod      10.254.94.117:80    10.253.25.3:8080
        node     10.254.94.117:80    10.253.25.3:8080 masqueraded
        outside  10.254.94.117:80    10.253.25.3:8080 masqueraded
        pod      10.254.94.117:8080  untouched
        ",
    );
}

#[test]
fn dns_is_served_by_udp_and_tcp() {
    document().check(
        "
        pod          10.254.0.2:53/udp  10.253.84.2:53
        pod          10.254.0.2:53      10.253.84.2:53
        node         10.254.0.2:53/udp  10.253.84.2:53 masqueraded
        node         10.254.0.2:53      10.253.84.2:53 masqueraded
        outside      10.254.0.2:53/udp  10.253.84.2:53 masqueraded
        outside      10.254.0.2:53      10.253.84.2:53 masqueraded
        10.253.84.2  10.254.0.2:53/udp  10.253.84.2:53 masqueraded
        ",
    );
}

#[test]
fn the_dashboard_and_grafana_have_node_ports() {
    document().check(
        "
        pod      10.254.174.122:443  10.253.51.5:8443
        node     10.254.174.122:443  10.253.51.5:8443 masqueraded
        outside  10.254.174.122:443  10.253.51.5:8443 masqueraded
        pod      172.16.1.20:32767   10.253.51.5:8443 masqueraded
        node     172.16.1.20:32767   10.253.51.5:8443 masqueraded
        outside  172.16.1.20:32767   10.253.51.5:8443 masqueraded
        pod      10.254.167.37:80    10.253.51.3:3000
        node     10.254.167.37:80    10.253.51.3:3000 masqueraded
        outside  10.254.167.37:80    10.253.51.3:3000 masqueraded
        pod      172.16.1.20:32766   10.253.51.3:3000 masqueraded
        node     172.16.1.20:32766   10.253.51.3:3000 masqueraded
        outside  172.16.1.20:32766   10.253.51.3:3000 masqueraded
        ",
    );
}

#[test]
fn what_monitors_is_reached_within_the_cluster() {
    document().check(
        "
        pod          10.254.227.68:8086  10.253.51.4:8086
        node         10.254.227.68:8086  10.253.51.4:8086 masqueraded
        outside      10.254.227.68:8086  10.253.51.4:8086 masqueraded
        10.253.51.4  10.254.227.68:8086  10.253.51.4:8086 masqueraded
        pod          10.254.204.85:80    10.253.51.2:8082
        node         10.254.204.85:80    10.253.51.2:8082 masqueraded
        outside      10.254.204.85:80    10.253.51.2:8082 masqueraded
        ",
    );
}
