//! Hints: who is near enough. The whole Service port prefers this node, or this zone, or nothing.

use super::{
    objects::{node_object, service, slice},
    table::check,
};

/// `NODE HINTS`, such as `here zones: [a], nodes: [here]`.
fn cluster(fields: &[&str], zone: Option<&str>, endpoints: &[(&str, &str)]) -> String {
    let hints = |(index, (node, hints)): (usize, &(&str, &str))| {
        format!(
            "{{addresses: [10.180.0.{}], nodeName: {node}, {hints}}}",
            index + 1
        )
    };
    let endpoints: Vec<String> = endpoints.iter().enumerate().map(hints).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    service(fields) + &slice("svc1-1", &endpoints) + &node_object(zone)
}

const ZONE_A: &str = "hints: {forZones: [{name: a}]}";
const ZONE_B: &str = "hints: {forZones: [{name: b}]}";
const ZONES: &str = "hints: {forZones: [{name: a}, {name: b}]}";
const HERE: &str = "hints: {forNodes: [{name: here}], forZones: [{name: a}]}";
const THERE: &str = "hints: {forNodes: [{name: there}], forZones: [{name: a}]}";
const FAR: &str = "hints: {forNodes: [{name: far}], forZones: [{name: b}]}";
const NONE: &str = "hints: {}";
const LEAVING_B: &str =
    "hints: {forZones: [{name: b}]}, conditions: {ready: false, serving: true, terminating: true}";
const UNHINTED_UNREADY: &str = "conditions: {ready: false}";

/// The last part of the addresses that a pod's packet to the cluster IP may go to.
fn check_hints(zone: Option<&str>, hints: &[&str], expected: &[u8]) {
    let endpoints: Vec<(&str, &str)> = hints.iter().map(|hints| ("there", *hints)).collect();
    let expected: Vec<String> = expected
        .iter()
        .map(|last| format!("10.180.0.{last}:80"))
        .collect();
    check(
        &cluster(&[], zone, &endpoints),
        &format!("pod  172.30.0.41:80  {}", expected.join(", ")),
    );
}

#[test]
fn zone_hints_count_if_every_ready_endpoint_has_one_and_one_names_this_zone() {
    for (zone, hints, expected) in [
        (Some("a"), &[ZONE_A, ZONE_B, ZONES][..], &[1, 3][..]),
        (Some("b"), &[ZONE_A, ZONE_B, ZONES], &[2, 3]),
        (Some("c"), &[ZONE_A, ZONE_B, ZONES], &[1, 2, 3]),
        (None, &[ZONE_A, ZONE_B, ZONES], &[1, 2, 3]),
        (Some("a"), &[ZONE_A, ZONE_B, NONE], &[1, 2, 3]),
        (Some("a"), &[NONE, NONE, NONE], &[1, 2, 3]),
    ] {
        check_hints(zone, hints, expected);
    }
}

#[test]
fn node_hints_come_before_zone_hints() {
    for (hints, expected) in [
        (&[HERE, THERE, FAR][..], &[1][..]),
        (&[HERE, HERE, FAR], &[1, 2]),
        // No endpoint is hinted at this node: its zone decides.
        (&[THERE, THERE, FAR], &[1, 2]),
        // One endpoint has no node hint: its zone decides.
        (&[HERE, ZONE_A, FAR], &[1, 2]),
        (&[HERE, THERE, NONE], &[1, 2, 3]),
        (&[FAR, FAR], &[1, 2]),
    ] {
        check_hints(Some("a"), hints, expected);
    }
    check_hints(None, &[HERE, THERE, FAR], &[1]);
}

#[test]
fn only_ready_endpoints_are_asked() {
    // An endpoint that is not ready neither needs a hint nor gives one.
    check_hints(Some("a"), &[ZONE_A, ZONE_B, UNHINTED_UNREADY], &[1]);
    check_hints(Some("b"), &[ZONE_A, LEAVING_B], &[1]);
    // Of those that are leaving, all are used.
    check_hints(Some("b"), &[LEAVING_B, LEAVING_B, UNHINTED_UNREADY], &[1, 2]);
    let zone_a = LEAVING_B.replace("name: b", "name: a");
    check_hints(Some("b"), &[LEAVING_B, &zone_a], &[1, 2]);
}

#[test]
fn hints_do_not_concern_policy_local() {
    check(
        &cluster(
            &["externalTrafficPolicy: Local"],
            Some("a"),
            &[("here", ZONE_B), ("here", ZONE_A), ("there", ZONE_A)],
        ),
        "
        # from    to              goes to
        pod       172.30.0.41:80  10.180.0.2:80, 10.180.0.3:80
        pod       1.2.3.4:80      10.180.0.2:80, 10.180.0.3:80
        external  1.2.3.4:80      10.180.0.1:80, 10.180.0.2:80
        external  node:3001       10.180.0.1:80, 10.180.0.2:80
        ",
    );
}

#[test]
fn what_the_service_says_about_its_distribution_is_not_read() {
    check(
        &cluster(
            &["trafficDistribution: PreferSameZone"],
            Some("a"),
            &[("here", NONE), ("there", NONE)],
        ),
        "pod  172.30.0.41:80  10.180.0.1:80, 10.180.0.2:80",
    );
}

#[test]
fn another_nodes_zone_is_not_ours() {
    let other = node_object(Some("a")).replace("name: here", "name: there");
    let cluster = service(&[])
        + &slice(
            "svc1-1",
            &[
                &format!("{{addresses: [10.180.0.1], {ZONE_A}}}"),
                &format!("{{addresses: [10.180.0.2], {ZONE_B}}}"),
            ],
        );
    check(
        &(cluster + &other),
        "pod  172.30.0.41:80  10.180.0.1:80, 10.180.0.2:80",
    );
}
