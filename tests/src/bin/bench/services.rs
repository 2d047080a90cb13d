//! The Services: ten that are measured, and others that only are there.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{agent::Agent, manifests::Manifests, signals};
use serde_json::{Value, json};

/// How many are measured.
pub(crate) const MEASURED: u32 = 10;
/// So many lead to the pod beside the client, and as many to the one on the other node.
const TO_EACH: u32 = MEASURED / 2;

/// How long a proxy may take for all Services before something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// All pods of the topology.
pub(crate) const PODS: &str = "192.168.166.0/24";
const BESIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 166, 157);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 168, 166, 162);

/// What a measured Service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A pod on the node that the traffic comes to first.
    Local,
    /// A pod on the other node.
    Remote,
}

/// The measured Services that lead to it.
pub(crate) fn leading_to(destination: Destination) -> impl Iterator<Item = u32> {
    match destination {
        Destination::Local => 0..TO_EACH,
        Destination::Remote => TO_EACH..MEASURED,
    }
}

/// The port that the pods behind Service `index` listen on for it. All have another, so that a pod is as many targets as Services
/// lead to it.
pub(crate) fn target_port(index: u32) -> u16 {
    8001 + u16::try_from(index % TO_EACH).unwrap_or_default()
}

/// The port that they listen on for those who come without a Service. It is another one: who reaches one address and port in both
/// ways may use one source port for both, and that is no matter of speed.
pub(crate) fn direct_port(index: u32) -> u16 {
    target_port(index) + 1000
}

/// The NodePort of measured Service `index`.
pub(crate) fn node_port(index: u32) -> u16 {
    30_001 + u16::try_from(index).unwrap_or_default()
}

/// The ClusterIP of Service `index`; its port is 80.
pub(crate) fn cluster_ip(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 1, 1).to_bits() + index).into()
}

/// Tells agents of so many Services.
pub(crate) fn write(manifests: &Manifests, count: u32) -> Result<()> {
    let documents = (0..count).flat_map(documents);
    let text: Vec<String> = documents.map(|document| document.to_string()).collect();
    // JSON is YAML.
    manifests.write_text("services", &text.join("\n---\n"))
}

/// Waits until an agent serves so many ClusterIPs.
pub(crate) fn wait_for(agent: &Agent, count: usize) -> Result<()> {
    agent.wait_within(PATIENCE, "the Services", |rows| {
        let served = rows.iter().filter(|row| row.kind == "ClusterIP").count();
        let is_enough = served == count || signals::check().is_err();
        ensure!(is_enough, "{served} of {count} ClusterIPs are served");
        Ok(())
    })?;
    signals::check()
}

/// The Service and its slice. One endpoint each; nothing is at those of the ones that are not measured.
pub(crate) fn documents(index: u32) -> [Value; 2] {
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
