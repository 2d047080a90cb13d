//! Endpoints that are going away: used only if nothing better is left, here and elsewhere on their own.

use super::{
    objects::{service, slice},
    table::check,
};

const READY: &str = "ready: true, serving: true, terminating: false";
const LEAVING: &str = "ready: false, serving: true, terminating: true";
const GONE: &str = "ready: false, serving: false, terminating: true";
const STARTING: &str = "ready: false, serving: true, terminating: false";

/// Two endpoints here, 10.180.0.1 and .2, and two there, 10.180.2.1 and .2, in these conditions.
fn cluster(policies: &[&str], conditions: [&str; 4]) -> String {
    let places = [
        ("10.180.0.1", "here"),
        ("10.180.0.2", "here"),
        ("10.180.2.1", "there"),
        ("10.180.2.2", "there"),
    ];
    let endpoints = places
        .iter()
        .zip(conditions)
        .map(|((address, node), conditions)| {
            format!("{{addresses: [{address}], nodeName: {node}, conditions: {{{conditions}}}}}")
        });
    let endpoints: Vec<String> = endpoints.collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    service(policies) + &slice("svc1-1", &endpoints)
}

/// Where a pod that asks for the cluster IP and a client outside that asks for the load balancer get to.
fn check_both(policies: &[&str], conditions: [&str; 4], pod: &str, external: &str) {
    let mut table = format!("pod  172.30.0.41:80  {pod}\n");
    for to in ["192.168.99.11:80", "1.2.3.4:80", "node:3001"] {
        table += &format!("external  {to}  {external}\n");
    }
    check(&cluster(policies, conditions), &table);
}

const LOCAL: [&str; 2] = ["internalTrafficPolicy: Local", "externalTrafficPolicy: Local"];

#[test]
fn under_policy_cluster_ready_endpoints_anywhere_are_preferred() {
    let all = "10.180.0.1:80, 10.180.0.2:80, 10.180.2.1:80, 10.180.2.2:80";
    for (conditions, expected) in [
        ([READY, READY, READY, READY], all),
        ([READY, LEAVING, READY, GONE], "10.180.0.1:80, 10.180.2.1:80"),
        ([LEAVING, LEAVING, READY, LEAVING], "10.180.2.1:80"),
        ([STARTING, LEAVING, GONE, READY], "10.180.2.2:80"),
        ([LEAVING, LEAVING, LEAVING, LEAVING], all),
        ([GONE, LEAVING, GONE, STARTING], "10.180.0.2:80"),
        ([GONE, GONE, LEAVING, GONE], "10.180.2.1:80"),
    ] {
        check_both(&[], conditions, expected, &format!("{expected} masquerade"));
    }
}

#[test]
fn under_policy_cluster_endpoints_that_no_longer_serve_are_never_used() {
    for conditions in [[GONE; 4], [STARTING; 4], [GONE, GONE, STARTING, STARTING]] {
        check_both(&[], conditions, "REJECT", "REJECT");
    }
}

#[test]
fn under_policy_local_ready_endpoints_here_are_preferred_and_leaving_ones_here_come_next() {
    for (conditions, expected) in [
        ([READY, READY, READY, READY], "10.180.0.1:80, 10.180.0.2:80"),
        ([READY, LEAVING, READY, READY], "10.180.0.1:80"),
        ([LEAVING, LEAVING, GONE, GONE], "10.180.0.1:80, 10.180.0.2:80"),
        // Ready ones elsewhere do not help: the packet stays here.
        ([LEAVING, GONE, READY, READY], "10.180.0.1:80"),
        ([STARTING, LEAVING, READY, LEAVING], "10.180.0.2:80"),
    ] {
        check_both(&LOCAL, conditions, expected, expected);
    }
}

#[test]
fn under_policy_local_nothing_here_is_silence_if_anything_anywhere_serves_and_refusal_if_not() {
    for (conditions, expected) in [
        ([GONE, GONE, READY, READY], "DROP"),
        ([GONE, STARTING, LEAVING, GONE], "DROP"),
        ([GONE, GONE, GONE, GONE], "REJECT"),
        ([STARTING, STARTING, GONE, STARTING], "REJECT"),
    ] {
        check_both(&LOCAL, conditions, expected, expected);
    }
}

#[test]
fn the_policies_fall_back_independently() {
    // A pod that asks for the load balancer gets the cluster's endpoints, a client outside those that are here.
    check(
        &cluster(&["externalTrafficPolicy: Local"], [LEAVING, GONE, READY, LEAVING]),
        "
        # from    to              goes to
        pod       172.30.0.41:80  10.180.2.1:80
        pod       1.2.3.4:80      10.180.2.1:80
        node      node:3001       10.180.2.1:80 masquerade
        external  1.2.3.4:80      10.180.0.1:80
        ",
    );
}

#[test]
fn conditions_that_are_not_said_mean_ready() {
    let unsaid = |conditions: &str| {
        service(&[])
            + &slice(
                "svc1-1",
                &[&format!(
                    "{{addresses: [10.180.0.1], conditions: {{{conditions}}}}}"
                )],
            )
    };
    for (conditions, expected) in [
        ("", "10.180.0.1:80"),
        ("serving: false", "10.180.0.1:80"),
        ("terminating: true", "10.180.0.1:80"),
        ("ready: false", "REJECT"),
        ("ready: false, terminating: true", "10.180.0.1:80"),
    ] {
        check(&unsaid(conditions), &format!("pod  172.30.0.41:80  {expected}"));
    }
}
