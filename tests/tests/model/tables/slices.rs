//! Several slices of one Service: what they say is put together.

use super::{
    objects::{service, slice, slice_at},
    table::check,
};

#[test]
fn the_endpoints_of_all_slices_are_one_list() {
    check(
        &(service(&[])
            + &slice("svc1-b", &["{addresses: [10.180.0.2]}"])
            + &slice(
                "svc1-a",
                &["{addresses: [10.180.0.3]}", "{addresses: [10.180.0.1]}"],
            )),
        "pod  172.30.0.41:80  10.180.0.1:80, 10.180.0.2:80, 10.180.0.3:80",
    );
}

#[test]
fn slices_may_have_different_ports_for_one_name() {
    check(
        &(service(&[])
            + &slice_at(8080, "svc1-a", &["{addresses: [10.180.0.1]}"])
            + &slice_at(
                9090,
                "svc1-b",
                &["{addresses: [10.180.0.1]}", "{addresses: [10.180.0.2]}"],
            )),
        "pod  172.30.0.41:80  10.180.0.1:8080, 10.180.0.1:9090, 10.180.0.2:9090",
    );
}

#[test]
fn one_slice_may_have_two_ports_of_one_name() {
    let slice = slice("svc1-a", &["{addresses: [10.180.0.1]}"]);
    let both = slice.replace(
        "{name: p80, port: 80}",
        "{name: p80, port: 80}, {name: p80, port: 81}",
    );
    check(
        &(service(&[]) + &both),
        "pod  172.30.0.41:80  10.180.0.1:80, 10.180.0.1:81",
    );
}

#[test]
fn an_endpoint_that_is_there_twice_counts_once_and_a_terminating_entry_gives_way() {
    let entry = |what: &str| format!("{{addresses: [10.180.0.1], {what}}}");
    let unready = "conditions: {ready: false}";
    let leaving = "conditions: {ready: false, serving: true, terminating: true}";
    let gone = "conditions: {ready: false, serving: false, terminating: true}";
    let [local, remote] = ["here", "there"].map(|node| format!("nodeName: {node}"));
    let with = |node: &str, state| format!("{node}, {state}");
    let (one, drop) = ("10.180.0.1:80", "DROP");
    for (first, second, pod, external) in [
        (remote.clone(), remote.clone(), one, drop),
        (local.clone(), remote.clone(), one, drop),
        (remote.clone(), local.clone(), one, one),
        (with(&local, leaving), remote.clone(), one, drop),
        (remote.clone(), with(&local, leaving), one, drop),
        (with(&remote, leaving), local.clone(), one, one),
        (local.clone(), with(&remote, leaving), one, one),
        (with(&remote, unready), local.clone(), one, one),
        (local.clone(), with(&local, unready), "REJECT", "REJECT"),
        (with(&local, leaving), with(&local, gone), one, one),
        (with(&local, gone), with(&local, leaving), "REJECT", "REJECT"),
        (with(&local, leaving), with(&remote, leaving), one, one),
    ] {
        let [first, second] = [entry(&first), entry(&second)];
        let apart = slice("svc1-a", &[&first]) + &slice("svc1-b", &[&second]);
        for slices in [apart, slice("svc1-a", &[&first, &second])] {
            check(
                &(service(&["externalTrafficPolicy: Local"]) + &slices),
                &format!("pod  172.30.0.41:80  {pod}\nexternal  1.2.3.4:80  {external}"),
            );
        }
    }
}

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    check(
        &(service(&[]) + &slice("svc1-a", &["{addresses: [10.180.0.1, 10.180.0.2]}"])),
        "pod  172.30.0.41:80  10.180.0.1:80",
    );
}

#[test]
fn a_named_and_an_unnamed_port_do_not_meet() {
    let unnamed =
        slice("svc1-a", &["{addresses: [10.180.0.1]}"]).replace("name: p80, port", "name: '', port");
    check(&(service(&[]) + &unnamed), "pod  172.30.0.41:80  REJECT");
    check(
        &(service(&[]).replace("name: p80, port", "port") + &unnamed),
        "pod  172.30.0.41:80  10.180.0.1:80",
    );
}

#[test]
fn slices_of_names_instead_of_addresses_are_not_read() {
    let names =
        slice("svc1-a", &["{addresses: [example.com]}"]).replace("addressType: IPv4", "addressType: FQDN");
    check(&(service(&[]) + &names), "pod  172.30.0.41:80  REJECT");
}
