//! A listing without `-n`, where the resolver has made a name of the pods' network and of ports: clients from outside of the cluster are
//! found before the Service's chain.

use super::{
    Document,
    reader::{Form, Setting, read},
};

const PODS: &str = "10.244.0.0/16";

fn document() -> Document {
    let setting = Setting {
        name: "names_for_addresses",
        masquerades: "KUBE-POSTROUTING",
        pods: Some(PODS),
        pod: "10.244.1.9",
        node: "192.168.50.11",
        routes: &[(PODS, "cni0")],
    };
    let name = "localhost.localdomain/16".to_owned();
    let names = [(name, PODS.parse().expect("a network"))].into();
    read(&setting, Form::Listings(names))
}

#[test]
fn a_service_without_selector_leads_out_of_the_cluster() {
    document().check(
        "
        pod           10.98.222.69:80    1/2 198.51.100.7:9376, 1/2 198.51.100.8:9376
        node          10.98.222.69:80    1/2 198.51.100.7:9376 masqueraded, 1/2 198.51.100.8:9376 masqueraded
        outside       10.98.222.69:80    1/2 198.51.100.7:9376 masqueraded, 1/2 198.51.100.8:9376 masqueraded
        198.51.100.7  10.98.222.69:80    1/2 198.51.100.7:9376 masqueraded, 1/2 198.51.100.8:9376 masqueraded
        pod           10.98.222.69:9376  untouched
        ",
    );
}

#[test]
fn dns_is_served_by_udp_and_tcp() {
    document().check(
        "
        pod         10.96.0.10:53/udp  1/2 10.244.0.2:53, 1/2 10.244.0.3:53
        pod         10.96.0.10:53      1/2 10.244.0.2:53, 1/2 10.244.0.3:53
        node        10.96.0.10:53/udp  1/2 10.244.0.2:53 masqueraded, 1/2 10.244.0.3:53 masqueraded
        node        10.96.0.10:53      1/2 10.244.0.2:53 masqueraded, 1/2 10.244.0.3:53 masqueraded
        outside     10.96.0.10:53/udp  1/2 10.244.0.2:53 masqueraded, 1/2 10.244.0.3:53 masqueraded
        outside     10.96.0.10:53      1/2 10.244.0.2:53 masqueraded, 1/2 10.244.0.3:53 masqueraded
        10.244.0.3  10.96.0.10:53/udp  1/2 10.244.0.2:53, 1/2 10.244.0.3:53 masqueraded
        ",
    );
}

#[test]
fn services_of_one_endpoint_are_reached() {
    document().check(
        "
        pod         10.99.179.213:44134  10.244.1.4:44134
        node        10.99.179.213:44134  10.244.1.4:44134 masqueraded
        outside     10.99.179.213:44134  10.244.1.4:44134 masqueraded
        10.244.1.4  10.99.179.213:44134  10.244.1.4:44134 masqueraded
        pod         10.96.0.1:443        192.168.50.10:6443
        node        10.96.0.1:443        192.168.50.10:6443 masqueraded
        outside     10.96.0.1:443        192.168.50.10:6443 masqueraded
        ",
    );
}
