//! On which addresses of the node NodePorts are served. Whether a dataplane can serve loopback addresses is its own matter.

use proxy_agent::model::{NodeContext, NodePortAddresses};

use super::{
    objects::node_object,
    table::{check_on, node},
};

const CLUSTER: &str = "
apiVersion: v1
kind: Service
metadata: {name: svc1, namespace: ns1}
spec:
  type: NodePort
  clusterIP: 172.30.0.41
  clusterIPs: [172.30.0.41, 'fd00:172:30::41']
  ports: [{name: p80, port: 80, nodePort: 3001}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc1-4, namespace: ns1, labels: {kubernetes.io/service-name: svc1}}
addressType: IPv4
ports: [{name: p80, port: 80}]
endpoints: [{addresses: [10.180.0.1], nodeName: here}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc1-6, namespace: ns1, labels: {kubernetes.io/service-name: svc1}}
addressType: IPv6
ports: [{name: p80, port: 80}]
endpoints: [{addresses: ['fd00:10:180::1'], nodeName: here}]
";

/// Which of these serve the NodePort, in this order: the node's first and second address and loopback of IPv4, then
/// those of IPv6.
const ADDRESSES: [&str; 6] = [
    "node",
    "node-2nd",
    "localhost",
    "node6",
    "node6-2nd",
    "localhost6",
];

fn check_addresses(flag: NodePortAddresses, node_object: &str, served: [bool; 6]) {
    let node = NodeContext {
        node_port_addresses: flag,
        ..node()
    };
    let mut table = String::new();
    for (to, is_served) in ADDRESSES.iter().zip(served) {
        let six = to.contains('6');
        let clients: &[&str] = match (to.starts_with("localhost"), six) {
            (true, _) => &[to],
            (false, false) => &["pod", "external", "node"],
            (false, true) => &["pod6", "external6", "node6"],
        };
        let outcome = match (is_served, six) {
            (false, _) => "no match",
            (true, false) => "10.180.0.1:80 masquerade",
            (true, true) => "[fd00:10:180::1]:80 masquerade",
        };
        for client in clients {
            table += &format!("{client}  {to}:3001  {outcome}\n");
        }
    }
    check_on(&node, &format!("{CLUSTER}{node_object}"), &table);
}

fn cidrs(texts: &[&str]) -> NodePortAddresses {
    NodePortAddresses::Cidrs(
        texts
            .iter()
            .map(|text| text.parse().expect("a network"))
            .collect(),
    )
}

#[test]
fn by_default_node_ports_are_served_on_every_address() {
    check_addresses(NodePortAddresses::All, "", [true; 6]);
}

#[test]
fn ranges_choose_addresses_and_a_family_without_ranges_serves_all() {
    for (flag, served) in [
        (&["192.168.0.0/24"][..], [true, false, false, true, true, true]),
        (&["192.168.0.0/16"], [true, true, false, true, true, true]),
        (
            &["192.168.1.2/32", "2001:db8::/64"],
            [false, true, false, true, false, false],
        ),
        (
            &["127.0.0.0/8", "::1/128"],
            [false, false, true, false, false, true],
        ),
        (&["2001:db8::/32"], [true, true, true, true, true, false]),
        (&["198.51.100.0/24", "2001:db8:9::/64"], [false; 6]),
        (&["0.0.0.0/0", "::/0"], [true; 6]),
    ] {
        check_addresses(cidrs(flag), "", served);
    }
}

#[test]
fn primary_is_the_nodes_first_address_of_each_family() {
    let primary = NodePortAddresses::Primary;
    check_addresses(
        primary.clone(),
        &node_object(None),
        [true, false, false, true, false, false],
    );
    let only_4 = node_object(None).replace("  - {type: InternalIP, address: '2001:db8::2'}\n", "");
    check_addresses(
        primary.clone(),
        &only_4,
        [true, false, false, false, false, false],
    );
    // Nothing is primary before the Node has said so.
    check_addresses(primary, "", [false; 6]);
}

#[test]
fn the_port_of_one_address_is_not_another_nodes_nor_another_protocols() {
    check_on(
        &node(),
        CLUSTER,
        "
        # from    to                goes to
        external  192.168.9.9:3001  no match
        external  node:3002         no match
        external  node:3001/UDP     no match
        external  node:80           no match
        external  172.30.0.41:3001  no match
        ",
    );
}
