//! The annotation `kube-portal.io/weights`: who gets how much of the new flows.

use super::{
    objects::{node_object, service, slice},
    table::check,
};

/// Two pods here and one there, by name `web-1`, `web-2` and `canary-1`.
fn cluster(annotation: &str, fields: &[&str]) -> String {
    let endpoint = |address: &str, node: &str, pod: &str| {
        format!("{{addresses: [{address}], nodeName: {node}, targetRef: {{kind: Pod, name: {pod}}}}}")
    };
    let endpoints = [
        endpoint("10.180.0.1", "here", "web-1"),
        endpoint("10.180.0.2", "here", "web-2"),
        endpoint("10.180.2.1", "there", "canary-1"),
    ];
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let annotated = format!("namespace: ns1, annotations: {{kube-portal.io/weights: '{annotation}'}}}}");
    service(fields).replacen("namespace: ns1}", &annotated, 1)
        + &slice("svc1-1", &endpoints)
        + &node_object(None)
}

fn check_weights(annotation: &str, expected: &str) {
    check(
        &cluster(annotation, &[]),
        &format!("pod  172.30.0.41:80  {expected}"),
    );
}

#[test]
fn endpoints_are_chosen_by_address_network_pod_node_or_all_and_the_first_entry_counts() {
    for (annotation, expected) in [
        ("10.180.0.1=3", "10.180.0.1:80 x3, 10.180.0.2:80, 10.180.2.1:80"),
        (
            "010.180.000.001=3",
            "10.180.0.1:80 x3, 10.180.0.2:80, 10.180.2.1:80",
        ),
        (
            "10.180.0.0/24=5",
            "10.180.0.1:80 x5, 10.180.0.2:80 x5, 10.180.2.1:80",
        ),
        ("pod/web-2=2", "10.180.0.1:80, 10.180.0.2:80 x2, 10.180.2.1:80"),
        ("pod/web-*=9", "10.180.0.1:80 x9, 10.180.0.2:80 x9, 10.180.2.1:80"),
        ("node/there=7", "10.180.0.1:80, 10.180.0.2:80, 10.180.2.1:80 x7"),
        (
            " node/there = 7 , * = 65535 ",
            "10.180.0.1:80 x65535, 10.180.0.2:80 x65535, 10.180.2.1:80 x7",
        ),
        (
            "*=4,10.180.0.1=9",
            "10.180.0.1:80 x4, 10.180.0.2:80 x4, 10.180.2.1:80 x4",
        ),
        ("pod/nobody=4", "10.180.0.1:80, 10.180.0.2:80, 10.180.2.1:80"),
    ] {
        check_weights(annotation, expected);
    }
}

#[test]
fn a_weight_of_0_gets_nothing_as_long_as_someone_gets_something() {
    check_weights("pod/canary-*=0", "10.180.0.1:80, 10.180.0.2:80");
    check_weights("*=0", "10.180.0.1:80, 10.180.0.2:80, 10.180.2.1:80");
}

#[test]
fn each_list_is_weighed_on_its_own() {
    check(
        &cluster("node/here=0", &["externalTrafficPolicy: Local"]),
        "
        # from    to              goes to
        pod       1.2.3.4:80      10.180.2.1:80
        external  1.2.3.4:80      10.180.0.1:80, 10.180.0.2:80
        ",
    );
}

#[test]
fn an_annotation_that_cannot_be_read_changes_nothing() {
    for annotation in ["*=many", "10.180.0.1=3, nonsense", "=", "*=65536"] {
        check_weights(annotation, "10.180.0.1:80, 10.180.0.2:80, 10.180.2.1:80");
    }
}
