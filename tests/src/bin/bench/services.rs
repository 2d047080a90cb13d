//! The Services: ten that are measured, and others that only are there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{agent::Agent, manifests::Manifests, signals};
use proxy_agent::model::Family;
use serde_json::{Value, json};

/// How many are measured.
pub(crate) const MEASURED: u32 = 10;
/// So many lead to the pod beside the client, and as many to the one on the other node.
const TO_EACH: u32 = MEASURED / 2;

/// How long a proxy may take for all Services before something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// All pods of the topology, by their IPv4 addresses.
pub(crate) const PODS: &str = "192.168.166.0/24";
const BESIDE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 168, 166, 157),
    Ipv6Addr::new(0xfd00, 0x10, 0x166, 0, 0, 0, 0, 0x157),
);
const REMOTE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 168, 166, 162),
    Ipv6Addr::new(0xfd00, 0x10, 0x166, 0, 0, 0, 0, 0x162),
);
/// Of those that are not measured, the first.
const NOBODY: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 128, 0, 0),
    Ipv6Addr::new(0xfd00, 0x128, 0, 0, 0, 0, 0, 0),
);
const FIRST_CLUSTER_IP: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 96, 1, 1),
    Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 1, 1),
);

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

/// The ClusterIP of Service `index` of a family; its port is 80.
pub(crate) fn cluster_ip(index: u32, family: Family) -> IpAddr {
    numbered(FIRST_CLUSTER_IP, index, family)
}

/// Tells agents of so many Services of each of these families.
pub(crate) fn write(manifests: &Manifests, count: u32, families: &[Family]) -> Result<()> {
    let documents =
        (0..count).flat_map(|index| families.iter().flat_map(move |family| documents(index, *family)));
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

/// The Service of a family and its slice. One endpoint each; nothing is at those of the ones that are not measured.
pub(crate) fn documents(index: u32, family: Family) -> [Value; 2] {
    let name = format!("service-{index}-{family}").to_lowercase();
    let (address, port, node) = match index {
        MEASURED.. => (numbered(NOBODY, index, family), 8080, "node3"),
        0..TO_EACH => (numbered(BESIDE, 0, family), target_port(index), "node1"),
        _ => (numbered(REMOTE, 0, family), target_port(index), "node2"),
    };
    let node_port = (index < MEASURED && family == Family::V4).then(|| node_port(index));
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name},
            "spec": {
                "type": if node_port.is_some() { "NodePort" } else { "ClusterIP" },
                "clusterIP": cluster_ip(index, family), "clusterIPs": [cluster_ip(index, family)],
                "ports": [{
                    "name": "http", "protocol": "TCP", "port": 80, "targetPort": port, "nodePort": node_port,
                }],
            },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family.to_string(),
            "metadata": {
                "namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name},
            },
            "ports": [{"name": "http", "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}, "nodeName": node}],
        }),
    ]
}

fn numbered((v4, v6): (Ipv4Addr, Ipv6Addr), index: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(v4.to_bits() + index).into(),
        Family::V6 => Ipv6Addr::from_bits(v6.to_bits() + u128::from(index)).into(),
    }
}
