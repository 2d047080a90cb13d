//! `loadBalancerSourceRanges`: who may use a load balancer's address.

use super::{
    objects::{node_object, service, slice},
    table::check,
};

const HERE: &str = "{addresses: [10.180.0.1], nodeName: here}";

fn cluster(fields: &[&str], endpoints: &[&str]) -> String {
    service(fields) + &slice("svc1-1", endpoints) + &node_object(None)
}

#[test]
fn the_address_itself_is_let_in_only_if_a_range_lets_the_node_in() {
    check(
        &cluster(
            &["loadBalancerSourceRanges: [192.168.0.0/24, ' 203.0.113.0/25']"],
            &[HERE],
        ),
        "
        # from    to          goes to
        external  1.2.3.4:80  10.180.0.1:80 masquerade
        node      1.2.3.4:80  10.180.0.1:80 masquerade
        1.2.3.4   1.2.3.4:80  10.180.0.1:80 masquerade
        # Another address of the node is in no range.
        node-2nd  1.2.3.4:80  DROP
        ",
    );
    check(
        &cluster(&["loadBalancerSourceRanges: [203.0.113.0/25]"], &[HERE]),
        "
        # from    to          goes to
        external  1.2.3.4:80  10.180.0.1:80 masquerade
        node      1.2.3.4:80  DROP
        1.2.3.4   1.2.3.4:80  DROP
        ",
    );
}

#[test]
fn everyone_is_let_in_where_no_range_is_said_or_one_lets_all_in() {
    for fields in [
        &[][..],
        &["loadBalancerSourceRanges: []"],
        &["loadBalancerSourceRanges: [0.0.0.0/0]"],
    ] {
        check(
            &cluster(fields, &[HERE]),
            "
            # from    to          goes to
            blocked   1.2.3.4:80  10.180.0.1:80 masquerade
            pod       1.2.3.4:80  10.180.0.1:80 masquerade
            ",
        );
    }
}

#[test]
fn a_range_that_cannot_be_read_does_not_open_the_others() {
    check(
        &cluster(&["loadBalancerSourceRanges: [everyone, 203.0.113.0/25]"], &[HERE]),
        "
        # from    to          goes to
        external  1.2.3.4:80  10.180.0.1:80 masquerade
        blocked   1.2.3.4:80  DROP
        ",
    );
}

#[test]
fn every_address_of_the_load_balancer_is_guarded() {
    let two = cluster(&["loadBalancerSourceRanges: [192.168.0.0/24]"], &[HERE])
        .replace("{ip: 1.2.3.4}", "{ip: 1.2.3.4}, {ip: 1.2.3.5}");
    check(
        &two,
        "
        # from   to          goes to
        node     1.2.3.5:80  10.180.0.1:80 masquerade
        1.2.3.4  1.2.3.4:80  10.180.0.1:80 masquerade
        1.2.3.5  1.2.3.5:80  10.180.0.1:80 masquerade
        blocked  1.2.3.5:80  DROP
        ",
    );
}
