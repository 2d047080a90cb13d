//! Single lines of a dump: a cluster IP and a NodePort share a cascade of three.

use super::{
    Document,
    reader::{Form, Setting, read},
};

fn document() -> Document {
    let setting = Setting {
        name: "node_port_of_three_endpoints",
        masquerades: "KUBE-POSTROUTING",
        pods: None,
        pod: "192.168.166.170",
        node: "192.0.2.11",
        routes: &[("192.168.166.0/24", "cali1")],
    };
    read(&setting, Form::Lines)
}

#[test]
fn a_cluster_ip_gives_each_of_three_endpoints_a_third() {
    document().check(
        "
        pod              10.97.35.60:80     1/3 192.168.166.157:80, 1/3 192.168.166.162:80, 1/3 192.168.166.166:80
        node             10.97.35.60:80     1/3 192.168.166.157:80, 1/3 192.168.166.162:80, 1/3 192.168.166.166:80
        outside          10.97.35.60:80     1/3 192.168.166.157:80, 1/3 192.168.166.162:80, 1/3 192.168.166.166:80
        192.168.166.162  10.97.35.60:80     1/3 192.168.166.157:80, 1/3 192.168.166.162:80 masqueraded, 1/3 192.168.166.166:80
        pod              10.97.35.60:30207  untouched
        ",
    );
}

#[test]
fn a_node_port_masquerades_everyone() {
    document().check(
        "
        pod              192.0.2.11:30207  1/3 192.168.166.157:80 masqueraded, 1/3 192.168.166.162:80 masqueraded, 1/3 192.168.166.166:80 masqueraded
        node             192.0.2.11:30207  1/3 192.168.166.157:80 masqueraded, 1/3 192.168.166.162:80 masqueraded, 1/3 192.168.166.166:80 masqueraded
        outside          192.0.2.11:30207  1/3 192.168.166.157:80 masqueraded, 1/3 192.168.166.162:80 masqueraded, 1/3 192.168.166.166:80 masqueraded
        192.168.166.157  192.0.2.11:30207  1/3 192.168.166.157:80 masqueraded, 1/3 192.168.166.162:80 masqueraded, 1/3 192.168.166.166:80 masqueraded
        outside          192.0.2.11:80     untouched
        outside          192.0.2.12:30207  untouched
        ",
    );
}
