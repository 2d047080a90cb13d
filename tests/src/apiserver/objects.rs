//! Documents of Services and EndpointSlices.

use serde_json::{Value, json};

/// A Service.
#[must_use]
pub fn service(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    })
}

/// A slice of `service`, IPv6 if the first address is. `endpoints` are as in the API.
#[must_use]
pub fn slice(namespace: &str, name: &str, service: &str, ports: &Value, endpoints: &Value) -> Value {
    let first = endpoints[0]["addresses"][0].as_str().unwrap_or_default();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": if first.contains(':') { "IPv6" } else { "IPv4" },
        "ports": ports, "endpoints": endpoints,
    })
}

/// Endpoints that say nothing but their addresses.
#[must_use]
pub fn endpoints(addresses: &[&str]) -> Value {
    let endpoint = |address| json!({"addresses": [address]});
    addresses.iter().map(endpoint).collect()
}
