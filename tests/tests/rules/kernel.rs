//! What real iptables makes of rules means the same as what it was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use harness::{
    iptables::Iptables,
    netns::NetNs,
    rules::{Names, Node, Packet, Rules},
    skip::skipped,
};
use proxy_agent::model::{Family, Protocol};

use crate::scene::{arriving, ask, node, rules};

/// Three Services as kube-proxy writes them: three endpoints; two for clients that come back; none. With what a firewall adds.
fn written(family: Family) -> String {
    let text = r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -i cali+ -j ACCEPT
-A FORWARD -i eth0 -d PODS -j ACCEPT
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-PROXY-FIREWALL -m comment --comment "ns5/svc5:p80 traffic not accepted by KUBE-FW-NUKIZ6OKUXPJNT4C" -m tcp -p tcp -d VIP5 --dport 80 -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x00004000/0x00004000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -m comment --comment "ns6/svc6:p80 has no endpoints" -m tcp -p tcp -d VIP6 --dport 80 -j REJECT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-EXT-A - [0:0]
:KUBE-SVC-B - [0:0]
:KUBE-FW-B - [0:0]
:KUBE-SEP-A1 - [0:0]
:KUBE-SEP-A2 - [0:0]
:KUBE-SEP-A3 - [0:0]
:KUBE-SEP-B1 - [0:0]
:KUBE-SEP-B2 - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000
-A KUBE-SERVICES -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d VIP4 --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -m comment --comment "ns4/svc4:p80 external IP" -m tcp -p tcp -d EXT4 --dport 80 -j KUBE-EXT-A
-A KUBE-SERVICES -m comment --comment "ns5/svc5:p80 loadbalancer IP" -m tcp -p tcp -d VIP5 --dport 80 -j KUBE-FW-B
-A KUBE-NODEPORTS -m comment --comment ns4/svc4:p80 -m tcp -p tcp --dport 3001 -j KUBE-EXT-A
-A KUBE-SVC-A -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d VIP4 --dport 80 ! -s PODS -j KUBE-MARK-MASQ
-A KUBE-EXT-A -m comment --comment "pod traffic for ns4/svc4:p80 external destinations" -s PODS -j KUBE-SVC-A
-A KUBE-EXT-A -m comment --comment "masquerade LOCAL traffic for ns4/svc4:p80 external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-A -m comment --comment "route LOCAL traffic for ns4/svc4:p80 external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-A
-A KUBE-EXT-A -j KUBE-SEP-A1
-A KUBE-FW-B -m comment --comment "ns5/svc5:p80 loadbalancer IP" -s RANGE -j KUBE-SVC-B
-A KUBE-FW-B -m comment --comment "other traffic to ns5/svc5:p80 will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-SVC-A -m comment --comment "ns4/svc4:p80 -> one" -m statistic --mode random --probability 0.3333333333 -j KUBE-SEP-A1
-A KUBE-SVC-A -m comment --comment "ns4/svc4:p80 -> two" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-A2
-A KUBE-SVC-A -m comment --comment "ns4/svc4:p80 -> three" -j KUBE-SEP-A3
-A KUBE-SVC-B -m comment --comment "ns5/svc5:p80 -> one" -m recent --name KUBE-SEP-B1 --rcheck --seconds 10800 --reap -j KUBE-SEP-B1
-A KUBE-SVC-B -m comment --comment "ns5/svc5:p80 -> two" -m recent --name KUBE-SEP-B2 --rcheck --seconds 10800 --reap -j KUBE-SEP-B2
-A KUBE-SVC-B -m comment --comment "ns5/svc5:p80 -> one" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-B1
-A KUBE-SVC-B -m comment --comment "ns5/svc5:p80 -> two" -j KUBE-SEP-B2
-A KUBE-SEP-A1 -m comment --comment ns4/svc4:p80 -s POD1 -j KUBE-MARK-MASQ
-A KUBE-SEP-A1 -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination [POD1]:80
-A KUBE-SEP-A2 -m comment --comment ns4/svc4:p80 -s POD2 -j KUBE-MARK-MASQ
-A KUBE-SEP-A2 -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination [POD2]:80
-A KUBE-SEP-A3 -m comment --comment ns4/svc4:p80 -s POD3 -j KUBE-MARK-MASQ
-A KUBE-SEP-A3 -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination [POD3]:80
-A KUBE-SEP-B1 -m comment --comment ns5/svc5:p80 -s POD1 -j KUBE-MARK-MASQ
-A KUBE-SEP-B1 -m comment --comment ns5/svc5:p80 -m recent --name KUBE-SEP-B1 --set -m tcp -p tcp -j DNAT --to-destination [POD1]:80
-A KUBE-SEP-B2 -m comment --comment ns5/svc5:p80 -s POD2 -j KUBE-MARK-MASQ
-A KUBE-SEP-B2 -m comment --comment ns5/svc5:p80 -m recent --name KUBE-SEP-B2 --set -m tcp -p tcp -j DNAT --to-destination [POD2]:80
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
"#;
    let text = match family {
        Family::V4 => text
            .replace("[POD1]", "POD1")
            .replace("[POD2]", "POD2")
            .replace("[POD3]", "POD3"),
        Family::V6 => text.to_owned(),
    };
    let names = [
        "VIP4", "VIP5", "VIP6", "EXT4", "PODS", "RANGE", "POD1", "POD2", "POD3",
    ];
    names
        .iter()
        .fold(text, |text, name| text.replace(name, name_of(name, family)))
}

fn name_of(name: &str, family: Family) -> &'static str {
    let (v4, v6) = match name {
        "VIP4" => ("172.30.0.44", "fd00:30::44"),
        "VIP5" => ("5.6.7.8", "fd00:5::8"),
        "VIP6" => ("172.30.0.46", "fd00:30::46"),
        "EXT4" => ("192.168.99.22", "fd00:99::22"),
        "PODS" => ("10.0.0.0/8", "fd00:10::/32"),
        "RANGE" => ("203.0.113.0/25", "2001:db8:2::/64"),
        "POD1" => ("10.180.0.1", "fd00:10:180::1"),
        "POD2" => ("10.180.0.2", "fd00:10:180::2"),
        "POD3" => ("10.180.0.3", "fd00:10:180::3"),
        "NODE" => ("192.0.2.1", "2001:db8::1"),
        "OUTSIDE" => ("203.0.113.2", "2001:db8:2::2"),
        "BLOCKED" => ("203.0.113.130", "2001:db8:3::2"),
        other => panic!("{other} has no address"),
    };
    if family == Family::V4 { v4 } else { v6 }
}

fn address(name: &str, family: Family) -> IpAddr {
    name_of(name, family).parse().expect("an address")
}

/// Everyone asks everywhere, with every port that means something.
fn packets(family: Family) -> Vec<Packet> {
    let at = |name, port| SocketAddr::new(address(name, family), port);
    let mut packets = Vec::new();
    for client in ["POD1", "POD2", "POD3", "NODE", "OUTSIDE", "BLOCKED"] {
        for server in ["VIP4", "VIP5", "VIP6", "EXT4", "NODE", "POD1", "OUTSIDE"] {
            for port in [80, 81, 3001] {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let packet = Packet {
                        protocol,
                        ..Packet::tcp(at(client, 40_000), at(server, port))
                    };
                    packets.push(match client {
                        "NODE" => packet,
                        pod if pod.starts_with("POD") => packet.from_interface("cali7"),
                        _ => packet.from_interface("eth0"),
                    });
                }
            }
        }
    }
    packets
}

/// Without memory, and with someone who was seen not long ago, and long ago.
fn nodes(family: Family) -> Vec<Node> {
    let seen = |list: &str, age| {
        let seen: BTreeMap<IpAddr, u32> = [(address("OUTSIDE", family), age)].into();
        Node {
            recent: [(list.to_owned(), seen)].into(),
            ..node()
        }
    };
    vec![
        node(),
        seen("KUBE-SEP-B1", 10),
        seen("KUBE-SEP-B2", 10_800),
        seen("KUBE-SEP-B1", 10_801),
    ]
}

/// As far apart as two roundings to multiples of 2⁻³¹ can bring two probabilities.
const ROUNDING: f64 = 1e-9;

fn compare(given: &Rules, made: &Rules, family: Family, what: &str) {
    for node in nodes(family) {
        for packet in packets(family) {
            let (expected, found) = (ask(given, &node, &packet), ask(made, &node, &packet));
            assert!(
                found.is_near(&expected, ROUNDING),
                "{what}: {packet:?} at {node:?}:\n{found}\ninstead of\n{expected}"
            );
        }
    }
}

fn backends(test: &str) -> impl Iterator<Item = (Iptables, Family)> {
    let installed = Iptables::ALL.into_iter().filter(move |backend| {
        if !backend.is_installed() {
            skipped(test, &format!("{backend:?} iptables is not installed"));
        }
        backend.is_installed()
    });
    installed.flat_map(|backend| Family::ALL.map(|family| (backend, family)))
}

#[test]
fn rules_that_the_kernel_has_taken_mean_what_they_meant_before() {
    for (backend, family) in backends("rules_that_the_kernel_has_taken_mean_what_they_meant_before") {
        let [ns] = NetNs::create_all(["rules"]).expect("a namespace");
        let text = written(family);
        backend
            .restore(&ns, family, &text)
            .expect("the kernel takes the rules");
        let given = rules(&text);
        compare(
            &given,
            &rules(&backend.save(&ns, family).expect("a dump")),
            family,
            "iptables-save",
        );
        let lines = |table: &str| {
            let lines = backend
                .run(&ns, family, &format!("-t {table} -S"))
                .expect("a list of rules");
            Rules::from_lines(table, &lines).unwrap_or_else(|error| panic!("{error:#}"))
        };
        let lines = lines("filter").and(lines("nat")).expect("two tables");
        compare(&given, &lines, family, "iptables -S");
        let listed = |table: &str| {
            let lines = backend
                .run(&ns, family, &format!("-t {table} -L -n -v"))
                .expect("a listing");
            Rules::from_listing(table, &lines, &Names::new()).unwrap_or_else(|error| panic!("{error:#}"))
        };
        let listed = listed("filter").and(listed("nat")).expect("two tables");
        compare(&given, &listed, family, "iptables -L -n -v");
    }
}

#[test]
fn the_rules_that_the_kernel_was_given_answer_in_many_ways() {
    let rules = rules(&written(Family::V4));
    let answers = packets(Family::V4)
        .into_iter()
        .map(|packet| ask(&rules, &node(), &packet).to_string());
    let different: BTreeSet<String> = answers.collect();
    assert!(
        different.len() >= 9,
        "a comparison of so few answers says little: {different:#?}"
    );
    let thirds = ask(&rules, &node(), &arriving("203.0.113.2:40000", "172.30.0.44:80"));
    assert!(
        thirds.0.values().all(|share| (share - 1.0 / 3.0).abs() < 1e-9),
        "{thirds}"
    );
    assert_eq!(thirds.0.len(), 3);
    assert!(
        thirds
            .0
            .keys()
            .all(|at| at.masqueraded_by.as_deref() == Some("KUBE-POSTROUTING")),
        "{thirds}"
    );
}
