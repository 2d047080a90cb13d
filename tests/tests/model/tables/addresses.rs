//! How addresses are read, and who has one that two Services claim.

use super::{
    objects::{service, slice},
    table::check,
};

const READY: &str = "{addresses: [10.180.0.1], nodeName: here}";

#[test]
fn leading_zeros_are_decimal_everywhere() {
    let sloppy = (service(&["loadBalancerSourceRanges: [203.0.113.000/025]"])
        + &slice("svc1-1", &["{addresses: [010.180.000.011]}"]))
        .replace("clusterIP: 172.30.0.41", "clusterIP: 172.030.0.041")
        .replace("externalIPs: [192.168.99.11]", "externalIPs: [192.168.099.011]")
        .replace("ip: 1.2.3.4", "ip: 001.002.003.004");
    check(
        &sloppy,
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.11:80
        pod       172.24.0.33:80    no match
        external  192.168.99.11:80  10.180.0.11:80 masquerade
        external  1.2.3.4:80        10.180.0.11:80 masquerade
        blocked   1.2.3.4:80        DROP
        ",
    );
}

#[test]
fn a_load_balancer_address_in_mode_proxy_and_a_host_name_are_not_served() {
    let ingress =
        "{ip: 1.2.3.4, ipMode: Proxy}, {ip: 1.2.3.5, ipMode: VIP}, {ip: 1.2.3.6}, {hostname: lb.example}";
    check(
        &(service(&[]).replace("{ip: 1.2.3.4}", ingress) + &slice("svc1-1", &[READY])),
        "
        # from    to          goes to
        pod       1.2.3.4:80  no match
        external  1.2.3.4:80  no match
        external  1.2.3.5:80  10.180.0.1:80 masquerade
        external  1.2.3.6:80  10.180.0.1:80 masquerade
        ",
    );
}

#[test]
fn the_type_of_a_service_does_not_decide_which_addresses_it_has() {
    for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let typed = service(&[]).replace("type: LoadBalancer", &format!("type: {kind}"));
        check(
            &(typed + &slice("svc1-1", &[READY])),
            "
            # from    to                goes to
            pod       172.30.0.41:80    10.180.0.1:80
            external  192.168.99.11:80  10.180.0.1:80 masquerade
            external  1.2.3.4:80        10.180.0.1:80 masquerade
            external  node:3001         10.180.0.1:80 masquerade
            ",
        );
    }
}

/// `ns1/a-thief`, which comes first by name, has `fields` that name an address of `ns1/svc1`.
fn with_thief(fields: &str) -> String {
    service(&[])
        + &slice("svc1-1", &[READY])
        + &format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: a-thief, namespace: ns1}}
spec: {{clusterIP: 172.30.0.99, ports: [{{port: 80, nodePort: 3099}}], {fields}}}
"
        )
}

#[test]
fn nobody_takes_a_cluster_ip_by_naming_it_as_an_external_ip() {
    check(
        &with_thief("externalIPs: [172.30.0.41, 192.168.99.12]"),
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.1:80
        external  172.30.0.41:80    10.180.0.1:80 masquerade
        pod       172.30.0.99:80    REJECT
        pod       192.168.99.12:80  REJECT
        ",
    );
}

#[test]
fn an_external_ip_that_two_services_claim_is_the_first_ones_by_name() {
    check(
        &with_thief("externalIPs: [192.168.99.11, 1.2.3.4]"),
        "
        # from    to                goes to
        external  192.168.99.11:80  REJECT
        external  1.2.3.4:80        REJECT
        pod       172.30.0.41:80    10.180.0.1:80
        ",
    );
}

#[test]
fn an_external_ip_that_is_the_nodes_own_comes_before_node_ports() {
    let own = service(&[])
        .replace("192.168.99.11", "192.168.0.2")
        .replace("port: 80, nodePort: 3001", "port: 3001");
    check(
        &(own + &slice("svc1-1", &[READY])),
        "
        # from    to              goes to
        external  node:3001       10.180.0.1:80 masquerade
        external  node-2nd:3001   no match
        ",
    );
}
