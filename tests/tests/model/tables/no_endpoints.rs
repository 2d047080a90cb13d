//! A Service that nobody answers for is refused at each of its addresses.

use super::table::check;

const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: svc1, namespace: ns1}
spec:
  type: LoadBalancer
  clusterIP: 172.30.0.41
  externalIPs: [192.168.99.11]
  ports: [{name: p80, port: 80, nodePort: 3001}]
status:
  loadBalancer: {ingress: [{ip: 1.2.3.4}]}
";

const REFUSED: &str = "
    # from    to                 goes to
    pod       172.30.0.41:80     REJECT
    node      172.30.0.41:80     REJECT
    external  172.30.0.41:80     REJECT
    pod       192.168.99.11:80   REJECT
    external  192.168.99.11:80   REJECT
    pod       node:3001          REJECT
    external  node:3001          REJECT
    external  node-2nd:3001      REJECT
    pod       1.2.3.4:80         REJECT
    external  1.2.3.4:80         REJECT
    node      1.2.3.4:80         REJECT
";

fn slice(endpoint: &str) -> String {
    format!(
        "{WEB}---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: svc1-1, namespace: ns1, labels: {{kubernetes.io/service-name: svc1}}}}
addressType: IPv4
ports: [{{name: p80, port: 80}}]
endpoints: [{endpoint}]
"
    )
}

#[test]
fn a_service_without_slices_is_refused_everywhere() {
    check(WEB, REFUSED);
}

#[test]
fn an_endpoint_without_an_address_serves_nobody() {
    check(&slice("{addresses: []}"), REFUSED);
}

#[test]
fn a_slice_that_is_not_the_services_serves_nobody() {
    let ready = slice("{addresses: [10.180.0.1]}");
    check(&ready, "pod  172.30.0.41:80  10.180.0.1:80");
    for (field, other) in [
        (
            "kubernetes.io/service-name: svc1",
            "kubernetes.io/service-name: svc2",
        ),
        ("name: svc1-1, namespace: ns1", "name: svc1-1, namespace: ns2"),
        (
            "{name: p80, port: 80}]\nendpoints",
            "{name: p81, port: 80}]\nendpoints",
        ),
        (
            "{name: p80, port: 80}]\nendpoints",
            "{name: p80, protocol: UDP, port: 80}]\nendpoints",
        ),
        ("{name: p80, port: 80}]\nendpoints", "{name: p80}]\nendpoints"),
        (
            "kubernetes.io/service-name: svc1",
            "kubernetes.io/service-name: svc1, service.kubernetes.io/headless: ''",
        ),
    ] {
        let changed = ready.replace(field, other);
        assert_ne!(changed, ready, "{field}");
        check(&changed, REFUSED);
    }
}
