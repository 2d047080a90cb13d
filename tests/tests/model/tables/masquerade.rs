//! Who is masqueraded and who is kept on the node: three Services, every client, every kind of address, without
//! a way to tell pods from others and with others than their addresses.

use std::fmt::Write as _;

use harness::flows::columns;
use proxy_agent::model::{DetectLocal, NodeContext};

use super::table::{check_on, node};

/// `svc1` with policies Cluster, `svc2` with external policy Local, `svc3` with internal policy Local; each with one
/// endpoint here and one there.
fn services() -> String {
    let policies = ["", "externalTrafficPolicy: Local", "internalTrafficPolicy: Local"];
    let mut yaml = String::new();
    for (n, policy) in (1..).zip(policies) {
        write!(
            yaml,
            "---
apiVersion: v1
kind: Service
metadata: {{name: svc{n}, namespace: ns{n}}}
spec:
  type: LoadBalancer
  clusterIP: 172.30.0.4{n}
  ports: [{{name: p80, port: 80, nodePort: 300{n}}}]
  {policy}
status: {{loadBalancer: {{ingress: [{{ip: 1.2.3.{n}}}]}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: svc{n}-1, namespace: ns{n}, labels: {{kubernetes.io/service-name: svc{n}}}}}
addressType: IPv4
ports: [{{name: p80, port: 80}}]
endpoints:
- {{addresses: [10.180.0.{n}], nodeName: here}}
- {{addresses: [10.180.1.{n}], nodeName: there}}
"
        )
        .expect("a string takes all");
    }
    yaml
}

/// Rows of `CLIENT  KIND OF ADDRESS` with one outcome for each Service: `both` endpoints or the `local` one.
fn check_matrix(node: &NodeContext, matrix: &str) {
    let mut table = String::new();
    let rows = matrix.lines().map(|row| (row, columns(row)));
    for (row, columns) in rows.filter(|(_, columns)| !columns.is_empty()) {
        let [client, kind, outcomes @ ..] = &columns[..] else {
            panic!("{row}: no columns");
        };
        assert_eq!(outcomes.len(), 3, "{row}: one outcome for each Service");
        for (n, outcome) in (1..).zip(outcomes) {
            let to = match *kind {
                "ClusterIP" => format!("172.30.0.4{n}:80"),
                "NodePort" => format!("node:300{n}"),
                "LB" => format!("1.2.3.{n}:80"),
                other => panic!("{other} is no kind of address"),
            };
            let outcome = outcome
                .replace("both", "local, 10.180.1.N:80")
                .replace("local", "10.180.0.N:80");
            let outcome = outcome.replace("masq", "masquerade").replace('N', &n.to_string());
            writeln!(table, "{client}  {to}  {outcome}").expect("a string takes all");
        }
    }
    check_on(node, &services(), &table);
}

#[test]
fn without_a_way_to_tell_pods_they_count_as_external_and_cluster_ips_masquerade_nobody() {
    let unknown = NodeContext {
        detect_local: DetectLocal::default(),
        ..node()
    };
    check_matrix(
        &unknown,
        "
        # from     to         svc1       svc2       svc3
        pod        ClusterIP  both       both       local
        pod        NodePort   both masq  local      both masq
        pod        LB         both masq  local      both masq
        node       ClusterIP  both       both       local
        node       NodePort   both masq  both masq  both masq
        node       LB         both masq  both masq  both masq
        external   ClusterIP  both       both       local
        external   NodePort   both masq  local      both masq
        external   LB         both masq  local      both masq
        ",
    );
}

#[test]
fn masquerade_all_masquerades_pods_at_cluster_ips_and_changes_nothing_else() {
    let all = NodeContext {
        masquerade_all: true,
        ..node()
    };
    check_matrix(
        &all,
        "
        # from     to         svc1       svc2       svc3
        pod        ClusterIP  both masq  both masq  local masq
        pod        NodePort   both masq  both       both masq
        pod        LB         both masq  both       both masq
        node       ClusterIP  both masq  both masq  local masq
        node       NodePort   both masq  both masq  both masq
        external   ClusterIP  both masq  both masq  local masq
        external   NodePort   both masq  local      both masq
        external   LB         both masq  local      both masq
        ",
    );
    check_matrix(
        &NodeContext {
            detect_local: DetectLocal::default(),
            ..all
        },
        "
        pod        ClusterIP  both masq  both masq  local masq
        external   ClusterIP  both masq  both masq  local masq
        pod        LB         both masq  local      both masq
        ",
    );
}

#[test]
fn pods_known_by_their_interface_are_so_whatever_their_address() {
    let bridge = DetectLocal::BridgeInterface("cbr0".to_owned());
    let prefix = DetectLocal::InterfaceNamePrefix("cali".to_owned());
    for (detect_local, pod, other) in [(bridge, "cbr0", "cbr01"), (prefix, "cali1234", "eth0")] {
        let by_interface = NodeContext {
            detect_local,
            ..node()
        };
        check_matrix(
            &by_interface,
            &format!(
                "
                # from             to         svc1       svc2       svc3
                pod@{pod}          ClusterIP  both       both       local
                external@{pod}     ClusterIP  both       both       local
                external@{pod}     LB         both masq  both       both masq
                pod@{other}        ClusterIP  both masq  both masq  local masq
                pod@{other}        NodePort   both masq  local      both masq
                pod                ClusterIP  both masq  both masq  local masq
                node               ClusterIP  both masq  both masq  local masq
                node               NodePort   both masq  both masq  both masq
                "
            ),
        );
    }
}

#[test]
fn pods_known_by_the_nodes_own_pod_cidrs_are_only_this_nodes() {
    let by_node = NodeContext {
        detect_local: DetectLocal::NodeCidr,
        ..node()
    };
    let table = "
        # from       to              goes to
        10.180.0.9   172.30.0.41:80  10.180.0.1:80, 10.180.1.1:80
        10.181.0.9   172.30.0.41:80  10.180.0.1:80, 10.180.1.1:80 masquerade
        10.180.0.9   1.2.3.2:80      10.180.0.2:80, 10.180.1.2:80
        10.181.0.9   1.2.3.2:80      10.180.0.2:80
    ";
    let node_object = "---
apiVersion: v1
kind: Node
metadata: {name: here}
spec: {podCIDR: 10.180.0.0/16, podCIDRs: [10.180.0.0/16]}
";
    check_on(&by_node, &(services() + node_object), table);
    // Another node's pods are not this one's, and before the Node has a range nobody is known.
    let other = node_object.replace("name: here", "name: there");
    check_on(
        &by_node,
        &(services() + &other),
        "
        10.180.0.9   172.30.0.41:80  10.180.0.1:80, 10.180.1.1:80
        external     172.30.0.41:80  10.180.0.1:80, 10.180.1.1:80
        10.180.0.9   1.2.3.2:80      10.180.0.2:80
        ",
    );
}

#[test]
fn a_pod_that_talks_to_itself_is_masqueraded_whatever_the_rules_say() {
    let unknown = NodeContext {
        detect_local: DetectLocal::default(),
        ..node()
    };
    for node in [node(), unknown] {
        check_on(
            &node,
            &services(),
            "
            # from      to              goes to
            10.180.0.1  172.30.0.41:80  10.180.0.1:80 hairpin, 10.180.1.1:80
            10.180.0.3  172.30.0.43:80  10.180.0.3:80 masquerade
            10.180.0.1  172.30.0.42:80  10.180.0.2:80, 10.180.1.2:80
            ",
        );
    }
}
