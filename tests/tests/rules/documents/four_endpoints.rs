//! A listing with counters of a cluster with Calico: a cascade of four, and clients from outside of the cluster in the Service's chain.

use super::{
    Document,
    reader::{Form, Setting, read},
};

fn document() -> Document {
    let setting = Setting {
        name: "four_endpoints",
        masquerades: "KUBE-POSTROUTING",
        pods: Some("10.244.0.0/16"),
        pod: "10.244.167.250",
        node: "192.168.50.11",
        routes: &[("10.244.0.0/16", "cali1")],
    };
    read(&setting, Form::Listings([].into()))
}

#[test]
fn four_endpoints_get_a_quarter_each() {
    document().check(
        "
        pod             10.107.181.221:8000  1/4 10.244.167.207:80, 1/4 10.244.167.208:80, 1/4 10.244.203.14:80, 1/4 10.244.203.16:80
        node            10.107.181.221:8000  1/4 10.244.167.207:80 masqueraded, 1/4 10.244.167.208:80 masqueraded, 1/4 10.244.203.14:80 masqueraded, 1/4 10.244.203.16:80 masqueraded
        outside         10.107.181.221:8000  1/4 10.244.167.207:80 masqueraded, 1/4 10.244.167.208:80 masqueraded, 1/4 10.244.203.14:80 masqueraded, 1/4 10.244.203.16:80 masqueraded
        10.244.203.14   10.107.181.221:8000  1/4 10.244.167.207:80, 1/4 10.244.167.208:80, 1/4 10.244.203.14:80 masqueraded, 1/4 10.244.203.16:80
        pod             10.107.181.221:80    untouched
        ",
    );
}

#[test]
fn dns_is_served_by_udp_and_tcp_beside_its_metrics() {
    document().check(
        "
        pod      10.96.0.10:53/udp    1/2 10.244.167.193:53, 1/2 10.244.203.2:53
        pod      10.96.0.10:53        1/2 10.244.167.193:53, 1/2 10.244.203.2:53
        pod      10.96.0.10:9153      1/2 10.244.167.193:9153, 1/2 10.244.203.2:9153
        pod      10.96.0.10:9153/udp  untouched
        node     10.96.0.10:53/udp    1/2 10.244.167.193:53 masqueraded, 1/2 10.244.203.2:53 masqueraded
        node     10.96.0.10:53        1/2 10.244.167.193:53 masqueraded, 1/2 10.244.203.2:53 masqueraded
        node     10.96.0.10:9153      1/2 10.244.167.193:9153 masqueraded, 1/2 10.244.203.2:9153 masqueraded
        outside  10.96.0.10:53/udp    1/2 10.244.167.193:53 masqueraded, 1/2 10.244.203.2:53 masqueraded
        outside  10.96.0.10:9153      1/2 10.244.167.193:9153 masqueraded, 1/2 10.244.203.2:9153 masqueraded
        ",
    );
}

#[test]
fn an_api_of_three_servers_gives_each_a_third() {
    document().check(
        "
        pod      10.104.77.103:443  1/3 10.244.167.200:5443, 1/3 10.244.203.9:5443, 1/3 10.244.203.10:5443
        node     10.104.77.103:443  1/3 10.244.167.200:5443 masqueraded, 1/3 10.244.203.9:5443 masqueraded, 1/3 10.244.203.10:5443 masqueraded
        outside  10.104.77.103:443  1/3 10.244.167.200:5443 masqueraded, 1/3 10.244.203.9:5443 masqueraded, 1/3 10.244.203.10:5443 masqueraded
        ",
    );
}

#[test]
fn services_of_one_endpoint_in_the_host_network_are_reached() {
    document().check(
        "
        pod      10.96.0.1:443       192.168.50.10:6443
        node     10.96.0.1:443       192.168.50.10:6443 masqueraded
        outside  10.96.0.1:443       192.168.50.10:6443 masqueraded
        pod      10.99.51.209:5473   192.168.50.12:5473
        node     10.99.51.209:5473   192.168.50.12:5473 masqueraded
        outside  10.99.51.209:5473   192.168.50.12:5473 masqueraded
        ",
    );
}
