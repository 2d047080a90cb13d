//! Traffic to cluster IPs.

use super::table::check;

const CLUSTER: &str = "
apiVersion: v1
kind: Service
metadata: {name: svc1, namespace: ns1}
spec:
  clusterIP: 172.30.0.41
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc1-1, namespace: ns1, labels: {kubernetes.io/service-name: svc1}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints:
- {addresses: [10.180.0.1], nodeName: here}
---
apiVersion: v1
kind: Service
metadata: {name: svc2, namespace: ns2}
spec:
  clusterIP: 172.30.0.42
  ports:
  - {name: http, port: 80}
  - {name: https, port: 443, targetPort: 8443}
  - {name: dns-udp, protocol: UDP, port: 53}
  - {name: dns-tcp, protocol: TCP, port: 53}
  - {name: dns-sctp, protocol: SCTP, port: 53}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc2-1, namespace: ns2, labels: {kubernetes.io/service-name: svc2}}
addressType: IPv4
ports:
- {name: http, port: 8080}
- {name: https, port: 8443}
- {name: dns-udp, protocol: UDP, port: 5353}
- {name: dns-tcp, protocol: TCP, port: 53535}
- {name: dns-sctp, protocol: SCTP, port: 53}
endpoints:
- {addresses: [10.180.2.1], nodeName: there}
- {addresses: [10.180.0.1], nodeName: here}
";

#[test]
fn each_port_and_protocol_of_a_cluster_ip_leads_to_its_own_endpoints() {
    check(
        CLUSTER,
        "
        # from    to                    goes to
        pod       172.30.0.41:80        10.180.0.1:80
        pod       172.30.0.42:80        10.180.0.1:8080, 10.180.2.1:8080
        pod       172.30.0.42:443       10.180.0.1:8443, 10.180.2.1:8443
        pod       172.30.0.42:53/UDP    10.180.0.1:5353, 10.180.2.1:5353
        pod       172.30.0.42:53/TCP    10.180.0.1:53535, 10.180.2.1:53535
        pod       172.30.0.42:53/SCTP   10.180.0.1:53, 10.180.2.1:53
        ",
    );
}

#[test]
fn what_no_service_asks_for_is_left_alone() {
    check(
        CLUSTER,
        "
        # from    to                    goes to
        pod       172.30.0.41:443       no match
        pod       172.30.0.42:8443      no match
        pod       172.30.0.42:80/UDP    no match
        pod       172.30.0.42:443/SCTP  no match
        pod       172.30.0.43:80        no match
        pod       10.180.0.1:80         no match
        pod       node:80               no match
        external  node:80               no match
        ",
    );
}

#[test]
fn services_of_others_and_services_without_a_cluster_ip_are_not_served() {
    for (field, other) in [
        ("clusterIP: 172.30.0.41", "clusterIP: None"),
        (
            "clusterIP: 172.30.0.41",
            "clusterIP: 172.30.0.41\n  type: ExternalName\n  externalName: example.com",
        ),
        (
            "{name: svc1, namespace: ns1}",
            "{name: svc1, namespace: ns1, labels: {service.kubernetes.io/service-proxy-name: other}}",
        ),
    ] {
        let changed = CLUSTER.replace(field, other);
        assert_ne!(changed, CLUSTER, "{field}");
        check(
            &changed,
            "
            pod  172.30.0.41:80  no match
            pod  172.30.0.42:80  10.180.0.1:8080, 10.180.2.1:8080
            ",
        );
    }
}
