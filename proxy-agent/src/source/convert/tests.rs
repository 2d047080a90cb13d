//! Tables: which objects are ours and what one bad value costs.

use serde_json::{Value, json};

use super::*;
use crate::model::{
    EndpointSelector, EndpointSlice, Family, Node, Service, SliceEndpoint, TrafficPolicy, WeightRule, Weights,
};

/// Sets `pointer` of `object` to `value`, making the objects on the way.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn web() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {}},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {}},
    })
}

fn read_service(object: Value) -> Result<Option<Service>, ConvertError> {
    service(&serde_json::from_value(object).unwrap())
}

fn web_with(pointer: &str, value: Value) -> Service {
    read_service(with(web(), pointer, value)).unwrap().unwrap()
}

fn slice() -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.9"]}],
    })
}

fn read_slice(object: Value) -> Result<Option<EndpointSlice>, ConvertError> {
    endpoint_slice(&serde_json::from_value(object).unwrap())
}

#[test]
fn a_service_that_is_not_ours_is_none() {
    for (pointer, value) in [
        ("/spec/clusterIP", json!("None")),
        ("/spec/clusterIP", json!("")),
        ("/spec/clusterIP", json!(null)),
        ("/spec/clusterIPs", json!(["None"])),
        ("/spec/type", json!("ExternalName")),
        (
            "/metadata/labels",
            json!({"service.kubernetes.io/service-proxy-name": ""}),
        ),
        ("/spec", json!(null)),
    ] {
        assert_eq!(
            read_service(with(web(), pointer, value.clone())),
            Ok(None),
            "{pointer} {value}"
        );
    }
    assert!(read_service(web()).unwrap().is_some());
}

#[test]
fn a_service_carries_what_its_fields_say() {
    let mut object = web();
    object["spec"] = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1", "10.96.0.2"],
        "externalIPs": ["203.0.113.011"], "loadBalancerSourceRanges": [" 203.0.113.0/25"],
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}, {"port": 1, "nodePort": 0}],
        "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
    });
    object["status"]["loadBalancer"]["ingress"] = json!([
        {"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "VIP"}, {"ip": "192.0.2.3", "ipMode": "Proxy"},
        {"hostname": "lb.example"},
    ]);

    let service = read_service(object).unwrap().unwrap();

    let show = |addresses: &[std::net::IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(service.name.to_string(), "shop/web");
    assert_eq!(show(&service.cluster_ips), ["10.96.0.1", "fd00::1"]);
    assert_eq!(show(&service.external_ips), ["203.0.113.11"]);
    assert_eq!(show(&service.load_balancer_ips), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(service.source_ranges[0].to_string(), "203.0.113.0/25");
    assert_eq!(
        (service.ports[0].protocol, service.ports[0].node_port),
        (Protocol::Udp, Some(30053))
    );
    assert_eq!(
        (service.ports[1].protocol, service.ports[1].node_port),
        (Protocol::Tcp, None)
    );
    assert_eq!(service.internal_traffic_policy, TrafficPolicy::Local);
    assert_eq!(service.external_traffic_policy, TrafficPolicy::Local);
    assert_eq!(
        (service.session_affinity, service.health_check_node_port),
        (Some(5), Some(32000))
    );
}

#[test]
fn affinity_without_a_timeout_lasts_three_hours() {
    assert_eq!(
        web_with("/spec/sessionAffinity", json!("ClientIP")).session_affinity,
        Some(10_800)
    );
    assert_eq!(
        web_with("/spec/sessionAffinity", json!("None")).session_affinity,
        None
    );
}

#[test]
fn a_namespace_that_is_not_said_is_default() {
    assert_eq!(
        web_with("/metadata/namespace", json!(null)).name.to_string(),
        "default/web"
    );
}

#[test]
fn bad_values_that_kube_proxy_ignores_are_ignored() {
    let service = web_with("/spec/externalIPs", json!(["fast", "203.0.113.1"]));
    assert_eq!(service.external_ips.len(), 1);
    let service = web_with(
        "/spec/loadBalancerSourceRanges",
        json!(["10.0.0.0", "10.0.0.0/8"]),
    );
    assert_eq!(service.source_ranges.len(), 1);
    let service = web_with("/spec/externalTrafficPolicy", json!("Nearby"));
    assert_eq!(service.external_traffic_policy, TrafficPolicy::Cluster);
}

#[test]
fn an_error_names_the_object_the_field_the_value_and_the_remedy() {
    let ports = json!([{"port": 80}, {"port": 70000}]);
    let error = read_service(with(web(), "/spec/ports", ports)).unwrap_err();
    let expected = "Service shop/web: spec.ports[1].port is \"70000\": write a port number from 1 to 65535";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_the_model_cannot_take_is_an_error_at_its_field() {
    for (pointer, value, field) in [
        ("/spec/clusterIP", json!("10.96"), "spec.clusterIP"),
        (
            "/spec/clusterIPs",
            json!(["10.96.0.1", "x"]),
            "spec.clusterIPs[1]",
        ),
        ("/spec/ports", json!([{"port": 0}]), "spec.ports[0].port"),
        (
            "/spec/ports",
            json!([{"port": 80, "nodePort": -1}]),
            "spec.ports[0].nodePort",
        ),
        (
            "/spec/ports",
            json!([{"port": 80, "protocol": "tcp"}]),
            "spec.ports[0].protocol",
        ),
        (
            "/spec/healthCheckNodePort",
            json!(65536),
            "spec.healthCheckNodePort",
        ),
        ("/metadata/name", json!(null), "metadata.name"),
    ] {
        let error = read_service(with(web(), pointer, value.clone())).unwrap_err();
        assert_eq!(error.field, field, "{value}");
    }
    let error = read_slice(with(slice(), "/ports", json!([{"port": 65536}]))).unwrap_err();
    assert_eq!(error.field, "ports[0].port");
}

#[test]
fn a_slice_that_is_not_ours_is_none() {
    let labels = json!({"kubernetes.io/service-name": "web", "service.kubernetes.io/headless": ""});
    for (pointer, value) in [
        ("/addressType", json!("FQDN")),
        ("/metadata/labels", json!({})),
        ("/metadata/labels", json!({"kubernetes.io/service-name": ""})),
        ("/metadata/labels", labels),
    ] {
        assert_eq!(
            read_slice(with(slice(), pointer, value.clone())),
            Ok(None),
            "{pointer} {value}"
        );
    }
}

#[test]
fn conditions_that_are_not_said_mean_ready_and_not_terminating() {
    let slice = read_slice(slice()).unwrap().unwrap();
    let endpoint = &slice.endpoints[0];
    assert_eq!(
        (endpoint.ready, endpoint.serving, endpoint.terminating),
        (true, true, false)
    );
    assert_eq!((slice.family, slice.service.as_str()), (Family::V4, "web"));
    assert_eq!(
        endpoint.address.to_string(),
        "10.0.0.1",
        "only the first address counts"
    );
}

#[test]
fn an_endpoint_carries_the_name_of_the_pod_it_is() {
    for (target, pod) in [
        (json!({"kind": "Pod", "name": "web-1"}), Some("web-1")),
        (json!({"kind": "Node", "name": "web-1"}), None),
        (json!({"name": "web-1"}), None),
        (json!({"kind": "Pod"}), None),
        (json!(null), None),
    ] {
        let object = with(slice(), "/endpoints/0/targetRef", target.clone());
        let slice = read_slice(object).unwrap().unwrap();
        assert_eq!(slice.endpoints[0].pod.as_deref(), pod, "{target}");
    }
}

fn weights_of(annotation: &str) -> Weights {
    let annotations = json!({"kube-portal.io/weights": annotation, "example.com/other": "*=9"});
    web_with("/metadata/annotations", annotations).weights
}

#[test]
fn weights_are_read_from_the_annotation_in_its_order() {
    let network = |text: &str| EndpointSelector::Network(text.parse().unwrap());
    let expected = [
        (EndpointSelector::Pod("web-canary-1.a".to_owned()), 1),
        (EndpointSelector::PodPrefix("web-canary-".to_owned()), 2),
        (EndpointSelector::PodPrefix(String::new()), 3),
        (EndpointSelector::Node("old".to_owned()), 0),
        (network("10.1.2.3/32"), 4),
        (network("fd00::1/128"), 5),
        (network("10.1.0.0/16"), 6),
        (EndpointSelector::All, 65_535),
    ];
    let rules = expected.map(|(selector, weight)| WeightRule { selector, weight });
    let text = "pod/web-canary-1.a=1,pod/web-canary-*=2, pod/*=3,\n node/old = 0 ,010.001.2.03=04,fd00::1=5,\
                10.1.77.77/16=6,*=65535";
    assert_eq!(weights_of(text), Weights::new(rules.into()));
}

#[test]
fn a_service_without_the_annotation_or_with_an_empty_one_has_no_weights() {
    let without = web_with("/metadata/annotations", json!({"example.com/other": "*=9"})).weights;
    for weights in [without, weights_of(""), weights_of(" \n")] {
        assert_eq!(weights, Weights::default());
    }
}

#[test]
fn a_malformed_weight_costs_all_weights_and_not_the_service_and_is_named() {
    let form = "write SELECTOR=WEIGHT, with commas between entries";
    let selector = "select by an address, a CIDR, pod/NAME, pod/PREFIX*, node/NAME or *";
    let weight = "write a weight from 0 to 65535";
    for (entry, remedy) in [
        ("10.0.0.1", form),
        ("", form),
        ("10.0.0.1=", weight),
        ("10.0.0.1=65536", weight),
        ("10.0.0.1=-1", weight),
        ("10.0.0.1=+1", weight),
        ("10.0.0.1=1.5", weight),
        ("10.0.0.1=1=2", weight),
        ("=1", selector),
        ("10.0.0=1", selector),
        ("10.0.0.0/33=1", selector),
        ("web=1", selector),
        ("pod/=1", selector),
        ("pod/We_b=1", selector),
        ("pod/a*b=1", selector),
        ("pod/a b=1", selector),
        ("node/=1", selector),
        ("node/a*=1", selector),
        ("zone/a=1", selector),
    ] {
        let weights = weights_of(&format!("10.0.0.9=9, {entry} "));
        let expected = format!(
            "Service shop/web: metadata.annotations[kube-portal.io/weights], entry 2, is {entry:?}: {remedy}"
        );
        assert_eq!(weights.fault(), Some(expected.as_str()));
        let slice = read_slice(slice()).unwrap().unwrap();
        let ninth = SliceEndpoint {
            address: [10, 0, 0, 9].into(),
            ..slice.endpoints[0].clone()
        };
        assert_eq!(weights.weight_of(&ninth), 1);
    }
}

#[test]
fn an_endpoint_carries_its_conditions_node_and_hints() {
    let endpoints = json!([{
        "addresses": ["10.0.0.1"], "nodeName": "here",
        "conditions": {"ready": false, "serving": false, "terminating": true},
        "hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "here"}]},
    }]);
    let slice = read_slice(with(slice(), "/endpoints", endpoints))
        .unwrap()
        .unwrap();
    let endpoint = &slice.endpoints[0];
    assert_eq!(
        (endpoint.ready, endpoint.serving, endpoint.terminating),
        (false, false, true)
    );
    assert_eq!(endpoint.node_name.as_deref(), Some("here"));
    assert_eq!(
        (&endpoint.zone_hints[..], &endpoint.node_hints[..]),
        (&["a".into()][..], &["here".into()][..])
    );
}

#[test]
fn a_bad_endpoint_or_a_port_without_a_number_costs_only_itself() {
    let endpoints = json!([{"addresses": ["fd00::1"]}, {"addresses": []}, {"addresses": ["x"]}, {"addresses": ["10.0.0.2"]}]);
    let object = with(slice(), "/endpoints", endpoints);
    let object = with(
        object,
        "/ports",
        json!([{"name": "a"}, {"name": "b", "port": 0}, {"port": 1}]),
    );
    let slice = read_slice(object).unwrap().unwrap();
    assert_eq!(slice.endpoints.len(), 1);
    assert_eq!(slice.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_node_carries_its_addresses_networks_and_zone() {
    let object = json!({
        "metadata": {"name": "here", "labels": {"topology.kubernetes.io/zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd01::/64"]},
        "status": {"addresses": [
            {"type": "Hostname", "address": "here"}, {"type": "InternalIP", "address": "192.168.0.2"},
            {"type": "ExternalIP", "address": "203.0.113.9"},
        ]},
    });
    let node = node(&serde_json::from_value(object).unwrap()).unwrap().unwrap();
    let expected = Node {
        name: "here".to_owned(),
        addresses: vec!["192.168.0.2".parse().unwrap(), "203.0.113.9".parse().unwrap()],
        pod_cidrs: vec!["10.1.0.0/24".parse().unwrap(), "fd01::/64".parse().unwrap()],
        zone: Some("a".to_owned()),
    };
    assert_eq!(node, expected);
}
