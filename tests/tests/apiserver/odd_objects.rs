//! What the API server accepts although hardly anybody means it.

use harness::apiserver::{
    objects::{endpoints, service, slice},
    shared,
};
use serde_json::{Value, json};

#[test]
fn odd_slices_cost_only_themselves() {
    let Some(cluster) = shared("odd_slices_cost_only_themselves") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "odd-slices");
    cluster.create_namespace(ns).unwrap();
    admin.apply(&service(ns, "web", &json!({
        "ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.96.20.1", "clusterIPs": ["10.96.20.1", "fd00:10:96::2001"],
        "ports": [{"name": "http", "port": 80}],
    }))).unwrap();
    let http = json!([{"name": "http", "port": 8080}]);
    let v4 = endpoints(&["10.244.20.9"]);
    let of_web = |name: &str, ports: &Value, endpoints: &Value| slice(ns, name, "web", ports, endpoints);
    let with = |mut object: Value, field: &str, value: Value| {
        object[field] = value;
        object
    };
    let labelled = |object: Value, labels: Value| {
        with(
            object,
            "metadata",
            json!({"namespace": ns, "name": "labels", "labels": labels}),
        )
    };
    for odd in [
        of_web("ports-without-number", &json!([{"name": "http"}]), &v4),
        of_web("no-ports", &json!([]), &v4),
        of_web("null-ports", &json!(null), &v4),
        of_web("no-endpoints", &http, &json!([])),
        with(
            of_web("names", &http, &endpoints(&["web.example"])),
            "addressType",
            json!("FQDN"),
        ),
        of_web(
            "sctp",
            &json!([{"name": "http", "port": 8080, "protocol": "SCTP"}]),
            &v4,
        ),
        of_web(
            "twice",
            &json!([{"name": "http", "port": 1}, {"name": "other", "port": 1}]),
            &endpoints(&["10.244.20.1", "10.244.20.1"]),
        ),
        of_web(
            "many-addresses",
            &http,
            &json!([{"addresses": ["10.244.20.2", "10.244.20.3"]}]),
        ),
        of_web("six", &http, &endpoints(&["fd00:10:244::a"])),
        of_web(
            "elsewhere",
            &http,
            &json!([{
                "addresses": ["10.244.20.4"], "nodeName": "no-such-node", "zone": "nowhere", "hostname": "a",
                "hints": {"forZones": [{"name": "nowhere"}]}, "deprecatedTopology": {"a": "b"},
                "targetRef": {"kind": "Pod", "name": "gone"},
            }]),
        ),
        of_web("zeros", &http, &endpoints(&["10.244.020.005"])),
        with(
            labelled(of_web("-", &http, &v4), json!({"kubernetes.io/service-name": ""})),
            "ports",
            json!([]),
        ),
    ] {
        admin
            .create(&odd)
            .unwrap_or_else(|error| panic!("not accepted: {odd}: {error:#}"));
    }
    cluster.expect(ns, &[
        "web:http ClusterIP 10.96.20.1:80/TCP > 10.244.20.1:1 10.244.20.2:8080 10.244.20.4:8080 10.244.20.5:8080",
        "web:http ClusterIP [fd00:10:96::2001]:80/TCP > [fd00:10:244::a]:8080",
    ]).unwrap();
}

#[test]
fn odd_services_cost_only_themselves() {
    let Some(cluster) = shared("odd_services_cost_only_themselves") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "odd-services");
    cluster.create_namespace(ns).unwrap();
    let plain = json!([{"port": 80}]);
    for odd in [
        service(
            ns,
            "foreign",
            &json!({"clusterIP": "10.96.21.1", "ports": plain, "externalIPs": ["2001:db8::1", "203.0.113.60", "203.0.113.60"]}),
        ),
        service(
            ns,
            "stolen",
            &json!({"clusterIP": "10.96.21.2", "ports": plain, "externalIPs": ["10.96.21.3"]}),
        ),
        service(ns, "victim", &json!({"clusterIP": "10.96.21.3", "ports": plain})),
        service(
            ns,
            "both",
            &json!({"clusterIP": "10.96.21.4", "ports": [
                {"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 53}, {"name": "sctp", "port": 53, "protocol": "SCTP"},
            ]}),
        ),
        service(
            ns,
            "named-target",
            &json!({"clusterIP": "10.96.21.5", "ports": [{"port": 80, "targetPort": "http", "appProtocol": "x.example/y"}]}),
        ),
        service(
            ns,
            "mapped",
            &json!({"clusterIP": "10.96.21.6", "ports": plain, "externalIPs": ["::ffff:203.0.113.61"]}),
        ),
        service(
            ns,
            "zeros",
            &json!({"clusterIP": "10.96.21.7", "ports": plain, "externalIPs": ["203.0.113.062"]}),
        ),
        service(
            ns,
            "sticky",
            &json!({"clusterIP": "10.96.21.8", "ports": plain, "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86400}}}),
        ),
        service(
            ns,
            "ranges",
            &json!({"type": "LoadBalancer", "clusterIP": "10.96.21.9", "ports": [{"port": 80, "nodePort": 32109}], "loadBalancerSourceRanges": [" 10.0.0.0/8 "]}),
        ),
        service(
            ns,
            "no-node-ports",
            &json!({"type": "LoadBalancer", "clusterIP": "10.96.21.10", "ports": plain, "allocateLoadBalancerNodePorts": false}),
        ),
    ] {
        admin
            .create(&odd)
            .unwrap_or_else(|error| panic!("not accepted: {odd}: {error:#}"));
    }
    // What one Service claims never takes another's cluster IP away.
    cluster
        .expect(
            ns,
            &[
                "both:tcp ClusterIP 10.96.21.4:53/TCP >",
                "both:udp ClusterIP 10.96.21.4:53/UDP >",
                "foreign ClusterIP 10.96.21.1:80/TCP >",
                "foreign ExternalIP 203.0.113.60:80/TCP >",
                "mapped ClusterIP 10.96.21.6:80/TCP >",
                "mapped ExternalIP 203.0.113.61:80/TCP >",
                "named-target ClusterIP 10.96.21.5:80/TCP >",
                "no-node-ports ClusterIP 10.96.21.10:80/TCP >",
                "ranges ClusterIP 10.96.21.9:80/TCP >",
                "ranges NodePort *:32109/TCP >",
                "sticky ClusterIP 10.96.21.8:80/TCP >",
                "stolen ClusterIP 10.96.21.2:80/TCP >",
                "victim ClusterIP 10.96.21.3:80/TCP >",
                "zeros ClusterIP 10.96.21.7:80/TCP >",
                "zeros ExternalIP 203.0.113.62:80/TCP >",
            ],
        )
        .unwrap();
}

#[test]
fn the_longest_names_that_there_can_be_are_served_and_shown_whole() {
    let Some(cluster) = shared("the_longest_names_that_there_can_be_are_served_and_shown_whole") else {
        return;
    };
    let long = |letter: &str| letter.repeat(63);
    let (admin, ns) = (cluster.server.admin(), long("n"));
    cluster.create_namespace(&ns).unwrap();
    let ports = json!([{"name": long("p"), "port": 80}]);
    admin
        .create(&service(
            &ns,
            &long("s"),
            &json!({"clusterIP": "10.96.22.1", "ports": ports}),
        ))
        .unwrap();
    admin
        .create(&slice(
            &ns,
            "a.".repeat(126).trim_end_matches('.'),
            &long("s"),
            &ports,
            &endpoints(&["10.244.22.1"]),
        ))
        .unwrap();
    let line = format!(
        "{}:{} ClusterIP 10.96.22.1:80/TCP > 10.244.22.1:80",
        long("s"),
        long("p")
    );
    cluster.expect(&ns, &[&line]).unwrap();
}
