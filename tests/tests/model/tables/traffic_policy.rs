//! `internalTrafficPolicy` and `externalTrafficPolicy`: who is kept on the node.

use super::{
    objects::{service, slice},
    table::check,
};

const HERE: &str = "{addresses: [10.180.0.1], nodeName: here}";
const THERE: &str = "{addresses: [10.180.2.1], nodeName: there}";
const NOWHERE: &str = "{addresses: [10.180.3.1]}";

fn cluster(fields: &[&str], endpoints: &[&str]) -> String {
    service(fields) + &slice("svc1-1", endpoints)
}

#[test]
fn policy_cluster_uses_every_endpoint_whether_one_is_here_or_not() {
    check(
        &cluster(&[], &[HERE, THERE]),
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.1:80, 10.180.2.1:80
        pod       192.168.99.11:80  10.180.0.1:80, 10.180.2.1:80 masquerade
        pod       1.2.3.4:80        10.180.0.1:80, 10.180.2.1:80 masquerade
        pod       node:3001         10.180.0.1:80, 10.180.2.1:80 masquerade
        node      1.2.3.4:80        10.180.0.1:80, 10.180.2.1:80 masquerade
        external  192.168.99.11:80  10.180.0.1:80, 10.180.2.1:80 masquerade
        external  1.2.3.4:80        10.180.0.1:80, 10.180.2.1:80 masquerade
        external  node:3001         10.180.0.1:80, 10.180.2.1:80 masquerade
        ",
    );
    check(
        &cluster(&["externalTrafficPolicy: Cluster"], &[THERE]),
        "
        pod       172.30.0.41:80    10.180.2.1:80
        external  1.2.3.4:80        10.180.2.1:80 masquerade
        external  node:3001         10.180.2.1:80 masquerade
        ",
    );
}

#[test]
fn external_policy_local_keeps_external_clients_here_and_their_address() {
    check(
        &cluster(&["externalTrafficPolicy: Local"], &[HERE, THERE]),
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.1:80, 10.180.2.1:80
        external  172.30.0.41:80    10.180.0.1:80, 10.180.2.1:80 masquerade
        external  192.168.99.11:80  10.180.0.1:80
        external  1.2.3.4:80        10.180.0.1:80
        external  node:3001         10.180.0.1:80
        ",
    );
}

#[test]
fn external_policy_local_sends_pods_and_the_node_anywhere() {
    for endpoints in [&[HERE, THERE][..], &[THERE]] {
        let all = match endpoints.len() {
            2 => "10.180.0.1:80, 10.180.2.1:80",
            _ => "10.180.2.1:80",
        };
        check(
            &cluster(&["externalTrafficPolicy: Local"], endpoints),
            &format!(
                "
                # from   to                goes to
                pod      192.168.99.11:80  {all}
                pod      1.2.3.4:80        {all}
                pod      node:3001         {all}
                node     192.168.99.11:80  {all} masquerade
                node     1.2.3.4:80        {all} masquerade
                node     node:3001         {all} masquerade
                "
            ),
        );
    }
}

#[test]
fn external_policy_local_without_an_endpoint_here_drops_external_clients() {
    for elsewhere in [THERE, NOWHERE] {
        let address = if elsewhere == THERE {
            "10.180.2.1:80"
        } else {
            "10.180.3.1:80"
        };
        check(
            &cluster(&["externalTrafficPolicy: Local"], &[elsewhere]),
            &format!(
                "
                # from    to                goes to
                external  192.168.99.11:80  DROP
                external  1.2.3.4:80        DROP
                external  node:3001         DROP
                external  172.30.0.41:80    {address} masquerade
                pod       172.30.0.41:80    {address}
                "
            ),
        );
    }
}

#[test]
fn internal_policy_local_keeps_cluster_ip_traffic_here_whoever_sends_it() {
    check(
        &cluster(&["internalTrafficPolicy: Local"], &[HERE, THERE]),
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.1:80
        node      172.30.0.41:80    10.180.0.1:80 masquerade
        external  172.30.0.41:80    10.180.0.1:80 masquerade
        pod       1.2.3.4:80        10.180.0.1:80, 10.180.2.1:80 masquerade
        external  node:3001         10.180.0.1:80, 10.180.2.1:80 masquerade
        ",
    );
}

#[test]
fn internal_policy_local_without_an_endpoint_here_drops_and_without_any_refuses() {
    check(
        &cluster(&["internalTrafficPolicy: Local"], &[THERE]),
        "
        # from    to                goes to
        pod       172.30.0.41:80    DROP
        node      172.30.0.41:80    DROP
        external  172.30.0.41:80    DROP
        external  1.2.3.4:80        10.180.2.1:80 masquerade
        ",
    );
    check(
        &cluster(&["internalTrafficPolicy: Local"], &[]),
        "
        pod       172.30.0.41:80    REJECT
        external  1.2.3.4:80        REJECT
        ",
    );
}

#[test]
fn both_policies_local_do_not_depend_on_each_other() {
    check(
        &cluster(
            &["internalTrafficPolicy: Local", "externalTrafficPolicy: Local"],
            &[HERE, THERE],
        ),
        "
        # from    to                goes to
        pod       172.30.0.41:80    10.180.0.1:80
        external  1.2.3.4:80        10.180.0.1:80
        pod       1.2.3.4:80        10.180.0.1:80, 10.180.2.1:80
        node      node:3001         10.180.0.1:80, 10.180.2.1:80 masquerade
        ",
    );
}
