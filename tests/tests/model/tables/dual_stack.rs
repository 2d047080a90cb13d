//! The families of a Service are two Services that know nothing of each other.

use super::table::check;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: svc1, namespace: ns1}
spec:
  type: LoadBalancer
  clusterIP: 172.30.0.41
  clusterIPs: [172.30.0.41, 'fd00:172:30::41']
  externalIPs: [192.168.99.11, '2001:db8:99::11']
  loadBalancerSourceRanges: [203.0.113.0/25, '2001:db8:2::/64']
  ports: [{name: p80, port: 80, nodePort: 3001}]
status:
  loadBalancer: {ingress: [{ip: 1.2.3.4}, {ip: '2001:db8:1234::4'}]}
";

const SLICE_4: &str = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc1-4, namespace: ns1, labels: {kubernetes.io/service-name: svc1}}
addressType: IPv4
ports: [{name: p80, port: 80}]
endpoints: [{addresses: [10.180.0.1], nodeName: here}]
";

const SLICE_6: &str = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc1-6, namespace: ns1, labels: {kubernetes.io/service-name: svc1}}
addressType: IPv6
ports: [{name: p80, port: 8080}]
endpoints:
- {addresses: ['fd00:10:180::1'], nodeName: here}
- {addresses: ['fd00:10:180:2::1'], nodeName: there}
";

#[test]
fn each_family_has_its_own_endpoints_at_its_own_addresses() {
    check(
        &format!("{SERVICE}{SLICE_4}{SLICE_6}"),
        "
        # from          to                      goes to
        pod             172.30.0.41:80          10.180.0.1:80
        external        node:3001               10.180.0.1:80 masquerade
        external        192.168.99.11:80        10.180.0.1:80 masquerade
        external        1.2.3.4:80              10.180.0.1:80 masquerade
        pod6            [fd00:172:30::41]:80    [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080
        external6       [fd00:172:30::41]:80    [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080 masquerade
        external6       node6:3001              [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080 masquerade
        external6       [2001:db8:99::11]:80    [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080 masquerade
        external6       [2001:db8:1234::4]:80   [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080 masquerade
        fd00:10:180::1  [fd00:172:30::41]:80    [fd00:10:180::1]:8080 hairpin, [fd00:10:180:2::1]:8080
        ",
    );
}

#[test]
fn ranges_of_one_family_say_nothing_about_the_other() {
    check(
        &format!("{SERVICE}{SLICE_4}{SLICE_6}"),
        "
        # from     to                     goes to
        blocked    1.2.3.4:80             DROP
        blocked6   [2001:db8:1234::4]:80  DROP
        ",
    );
    let only_6 = SERVICE.replace("203.0.113.0/25, ", "");
    check(
        &format!("{only_6}{SLICE_4}{SLICE_6}"),
        "
        blocked    1.2.3.4:80             10.180.0.1:80 masquerade
        blocked6   [2001:db8:1234::4]:80  DROP
        ",
    );
}

#[test]
fn a_family_without_endpoints_is_refused_while_the_other_is_served() {
    check(
        &format!("{SERVICE}{SLICE_4}"),
        "
        # from     to                     goes to
        pod        172.30.0.41:80         10.180.0.1:80
        pod6       [fd00:172:30::41]:80   REJECT
        external6  node6:3001             REJECT
        external6  [2001:db8:1234::4]:80  REJECT
        ",
    );
}

#[test]
fn policy_local_is_decided_in_each_family() {
    let local = SERVICE.replace("spec:", "spec:\n  externalTrafficPolicy: Local");
    check(
        &format!("{local}{SLICE_4}{SLICE_6}").replace("nodeName: here}]", "nodeName: there}]"),
        "
        # from     to                     goes to
        external   node:3001              DROP
        external6  node6:3001             [fd00:10:180::1]:8080
        pod6       node6:3001             [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080
        ",
    );
}

#[test]
fn addresses_of_a_family_that_the_service_has_no_cluster_ip_of_are_not_served() {
    let single = SERVICE.replace("[172.30.0.41, 'fd00:172:30::41']", "[172.30.0.41]");
    check(
        &format!("{single}{SLICE_4}{SLICE_6}"),
        "
        # from     to                     goes to
        pod        172.30.0.41:80         10.180.0.1:80
        external6  [2001:db8:99::11]:80   no match
        external6  [2001:db8:1234::4]:80  no match
        external6  node6:3001             no match
        ",
    );
}

#[test]
fn the_order_of_cluster_ips_does_not_matter() {
    let six_first = SERVICE
        .replace("clusterIP: 172.30.0.41", "clusterIP: 'fd00:172:30::41'")
        .replace(
            "[172.30.0.41, 'fd00:172:30::41']",
            "['fd00:172:30::41', 172.30.0.41]",
        );
    check(
        &format!("{six_first}{SLICE_4}{SLICE_6}"),
        "
        pod   172.30.0.41:80        10.180.0.1:80
        pod6  [fd00:172:30::41]:80  [fd00:10:180::1]:8080, [fd00:10:180:2::1]:8080
        ",
    );
}
