//! A listing of 2015, where names stand for addresses: each endpoint's chain itself sets the mark of hairpin traffic, and no chain knows
//! pods from others.

use super::{
    Document,
    reader::{Form, Setting, read},
};

fn document() -> Document {
    let setting = Setting {
        name: "one_mark_for_every_endpoint",
        masquerades: "POSTROUTING",
        pods: None,
        pod: "172.16.16.9",
        node: "192.168.190.130",
        routes: &[("172.16.0.0/16", "docker0")],
    };
    read(&setting, Form::Listings([].into()))
}

#[test]
fn a_cluster_ip_without_a_known_cluster_network_masquerades_nobody_but_hairpins() {
    document().check(
        "
        pod          192.168.3.237:80      1/2 172.16.16.2:80, 1/2 172.16.91.2:80
        node         192.168.3.237:80      1/2 172.16.16.2:80, 1/2 172.16.91.2:80
        outside      192.168.3.237:80      1/2 172.16.16.2:80, 1/2 172.16.91.2:80
        172.16.16.2  192.168.3.237:80      1/2 172.16.16.2:80 masqueraded, 1/2 172.16.91.2:80
        172.16.91.2  192.168.3.237:80      1/2 172.16.16.2:80, 1/2 172.16.91.2:80 masqueraded
        pod          192.168.3.237:81      untouched
        pod          192.168.3.237:80/udp  untouched
        outside      172.16.16.2:80        untouched
        ",
    );
}

#[test]
fn the_api_server_is_reached_at_another_port_than_its_cluster_ip_has() {
    document().check(
        "
        pod              192.168.3.1:443  192.168.190.128:6443
        node             192.168.3.1:443  192.168.190.128:6443
        outside          192.168.3.1:443  192.168.190.128:6443
        192.168.190.128  192.168.3.1:443  192.168.190.128:6443 masqueraded
        ",
    );
}
