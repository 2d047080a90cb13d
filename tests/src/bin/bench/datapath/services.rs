//! The Services: ten that are measured, and others that only are there.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

/// How many are measured.
pub(super) const MEASURED: u32 = 10;
/// So many lead to the pod beside the client, and as many to the one on the other node.
const TO_EACH: u32 = MEASURED / 2;

/// All pods of the topology.
pub(super) const PODS: &str = "192.168.166.0/24";
const BESIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 166, 157);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 168, 166, 162);

/// What a measured Service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A pod on the node that the traffic comes to first.
    Local,
    /// A pod on the other node.
    Remote,
}

/// The measured Services that lead to it.
pub(super) fn leading_to(destination: Destination) -> impl Iterator<Item = u32> {
    match destination {
        Destination::Local => 0..TO_EACH,
        Destination::Remote => TO_EACH..MEASURED,
    }
}

/// The port that the pods behind Service `index` listen on for it. All have another, so that a pod is as many targets as Services
/// lead to it.
pub(super) fn target_port(index: u32) -> u16 {
    8001 + u16::try_from(index % TO_EACH).unwrap_or_default()
}

/// The port that they listen on for those who come without a Service. It is another one: who reaches one address and port in both
/// ways may use one source port for both, and that is no matter of speed.
pub(super) fn direct_port(index: u32) -> u16 {
    target_port(index) + 1000
}

/// The NodePort of measured Service `index`.
pub(super) fn node_port(index: u32) -> u16 {
    30_001 + u16::try_from(index).unwrap_or_default()
}

/// The ClusterIP of Service `index`; its port is 80.
pub(super) fn cluster_ip(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 1, 1).to_bits() + index).into()
}

/// The Service and its slice. One endpoint each; nothing is at those of the ones that are not measured.
pub(super) fn documents(index: u32) -> [Value; 2] {
    let name = format!("service-{index}");
    let is_measured = index < MEASURED;
    let (address, port, node) = match index {
        _ if !is_measured => (
            Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 0).to_bits() + index),
            8080,
            "node3",
        ),
        0..TO_EACH => (BESIDE, target_port(index), "node1"),
        _ => (REMOTE, target_port(index), "node2"),
    };
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name},
            "spec": {
                "type": if is_measured { "NodePort" } else { "ClusterIP" },
                "clusterIP": cluster_ip(index), "clusterIPs": [cluster_ip(index)],
                "ports": [{
                    "name": "http", "protocol": "TCP", "port": 80, "targetPort": port,
                    "nodePort": is_measured.then(|| node_port(index)),
                }],
            },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name},
            },
            "ports": [{"name": "http", "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}, "nodeName": node}],
        }),
    ]
}
